//! A remote in a bucket: one index that is replaced under a condition, and merged again when the condition fails.

mod request;

use request::{Answer, Condition, Origin};

use crate::index::{self, Files, Index, due, parse};
use crate::mutation::Mutation;
use crate::sync::Remote;
use crate::types::{Change, Error};
use crate::{fail, retry};

pub(crate) struct Bucket {
    origin: Origin,
    mutation: Mutation,
}

impl Bucket {
    pub(crate) fn open(url: &str, mutation: Mutation) -> Result<Self, Error> {
        let origin = Origin::parse(url);
        let origin =
            origin.ok_or_else(|| Error::Config(fail(format!("`bucket`: {url:?} is no URL of a bucket"))))?;
        Ok(Self { origin, mutation })
    }

    /// Replaces the index; false if the condition doesn't hold.
    fn replace(&self, files: &Files, condition: &Condition) -> Result<bool, Error> {
        let put = |condition| self.origin.send("PUT", "index", condition, &index::format(files));
        let answer = match put(condition)? {
            Answer { status: 409 | 412, .. } if self.mutation == Mutation::ConditionDropped => {
                put(&Condition::None)?
            }
            answer => answer,
        };
        match answer.status {
            409 | 412 => Ok(false),
            _ => answer.succeeded().map(|_| true),
        }
    }
}

impl Remote for Bucket {
    fn index(&self) -> Result<Index, Error> {
        let answer = self.origin.send("GET", "index", &Condition::None, &[])?;
        if answer.status == 404 && answer.says("NoSuchKey") {
            return Ok(Index::default());
        }
        let mut answer = answer.succeeded()?;
        if self.mutation == Mutation::LaterVersion {
            answer.version = self.origin.send("HEAD", "index", &Condition::None, &[])?.succeeded()?.version;
        }
        let version = answer.version.ok_or_else(|| Error::Fatal(fail("the index came without an ETag")))?;
        Ok(Index { files: parse(&answer.body)?, version: Some(version) })
    }

    fn commit(&self, seen: Index, changes: &[Change], files: &Files) -> Result<(), Error> {
        let (mut index, mut files) = (seen, files.clone());
        for _ in 0..8 {
            let condition = match &index.version {
                Some(version) => Condition::Is(version.clone()),
                None => Condition::Absent,
            };
            let mut merged = index.files;
            merged.extend(files);
            if self.replace(&merged, &condition)? {
                return Ok(());
            }
            index = self.index()?;
            files = due(&index.files, changes)?;
        }
        Err(retry("others keep writing the index"))
    }

    fn get(&self, object: &str) -> Result<Option<Vec<u8>>, Error> {
        let answer = self.origin.send("GET", &format!("objects/{object}"), &Condition::None, &[])?;
        if answer.status == 404 {
            return Ok(None);
        }
        Ok(Some(answer.succeeded()?.body))
    }

    fn put(&self, object: &str, content: &[u8]) -> Result<(), Error> {
        self.origin
            .send("PUT", &format!("objects/{object}"), &Condition::None, content)?
            .succeeded()
            .map(drop)
    }

    fn delete(&self, object: &str) -> Result<(), Error> {
        let answer = self.origin.send("DELETE", &format!("objects/{object}"), &Condition::None, &[])?;
        if answer.status == 404 { Ok(()) } else { answer.succeeded().map(drop) }
    }
}
