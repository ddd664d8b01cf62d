//! Which content each path has.
//!
//! ```text
//! files   { _id: "data/aws-ec2/web/state.json", blob: digest, size, write }
//! ```
//!
//! `write` is another one after each change. A file without content has the `blob` of none, which is the empty text.

use bson::{RawDocumentBuf, rawdoc};
use lockkeeper_sdk::{Body, Error, PutNew, Result};

use crate::blobs::{Blobs, Claim, Left, fresh, signed};
use crate::fault::Fault;
use crate::reply::{number, text, unreadable};
use crate::store::{Collection, Store};

/// How often something is tried while others change the same file.
const ATTEMPTS: u32 = 8;

/// The files of a store.
pub struct Files<'a>(pub &'a Store);

/// What a path has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The digest of its content, empty if that is empty.
    pub blob: String,
    /// The size of its content.
    pub size: u64,
    /// Which change made it so.
    write: String,
}

impl Manifest {
    fn of(body: &Body) -> Self {
        Self::new(body.digest(), body.size())
    }

    fn new(digest: &str, size: u64) -> Self {
        let blob = if size == 0 { String::new() } else { digest.to_owned() };
        Self { blob, size, write: fresh() }
    }

    fn read(document: &RawDocumentBuf) -> Result<Self, Fault> {
        Ok(Self {
            blob: text(document, "blob").ok_or_else(|| unreadable("blob"))?.to_owned(),
            size: number(document, "size")
                .and_then(|size| size.try_into().ok())
                .ok_or_else(|| unreadable("size"))?,
            write: text(document, "write").ok_or_else(|| unreadable("write"))?.to_owned(),
        })
    }

    fn fields(&self) -> RawDocumentBuf {
        rawdoc! { "blob": self.blob.as_str(), "size": signed(self.size), "write": self.write.as_str() }
    }
}

impl Files<'_> {
    fn blobs(&self) -> Blobs<'_> {
        Blobs(self.0)
    }

    /// What a path has, `None` if there is no such file.
    pub async fn find(&self, key: &str) -> Result<Option<Manifest>, Fault> {
        let found = self.0.find(Collection::Files, rawdoc! { "_id": key }, rawdoc! {}).await?;
        found.as_ref().map(Manifest::read).transpose()
    }

    /// Creates or replaces a file.
    pub async fn put(&self, key: &str, body: Body) -> Result<(), Fault> {
        let new = Manifest::of(&body);
        let claim = self.supply(key, body).await?;
        self.point(key, &new, claim).await
    }

    /// Creates a file, unless there is one.
    pub async fn put_new(&self, key: &str, body: Body) -> Result<PutNew, Fault> {
        if self.find(key).await?.is_some() {
            return Ok(PutNew::Exists);
        }
        let new = Manifest::of(&body);
        let claim = self.supply(key, body).await?;
        let created = self.create(key, &new).await?;
        self.leave(claim, created).await?;
        Ok(if created { PutNew::Created } else { PutNew::Exists })
    }

    /// Deletes a file.
    pub async fn delete(&self, key: &str) -> Result<(), Fault> {
        for _ in 0..ATTEMPTS {
            let Some(old) = self.find(key).await? else { return Ok(()) };
            let claim = self.claim(key, &old).await?;
            let gone = self.0.delete(Collection::Files, unchanged(key, &old)).await?;
            self.leave_to_others(claim).await?;
            if gone {
                return Ok(());
            }
        }
        Err(contended())
    }

    /// Moves a file over another one; false if there is none at `from`.
    pub async fn rename(&self, from: &str, to: &str) -> Result<bool, Fault> {
        let mut moved = false;
        for _ in 0..ATTEMPTS {
            let Some(old) = self.find(from).await? else { return Ok(moved) };
            let claim = self.claim(to, &old).await?;
            if claim.is_none() && !old.blob.is_empty() {
                // Replaced since, or damaged: the next look tells.
                if self.find(from).await?.as_ref() == Some(&old) {
                    return Err(Fault::Other(damaged(&old)));
                }
                continue;
            }
            let new = Manifest { write: fresh(), ..old.clone() };
            self.point(to, &new, claim).await?;
            if from == to || self.0.delete(Collection::Files, unchanged(from, &old)).await? {
                return Ok(true);
            }
            // The first answer was lost, or it was replaced, and then that is to be moved as well.
            moved = true;
        }
        Err(contended())
    }

    /// Makes a path have a content that is claimed, and leaves what it had.
    async fn point(&self, key: &str, new: &Manifest, claim: Option<Claim>) -> Result<(), Fault> {
        let mut done = false;
        for _ in 0..ATTEMPTS {
            match self.find(key).await? {
                None => done = self.create(key, new).await?,
                Some(old) if old.write == new.write => done = true,
                Some(old) => {
                    let former = if old.blob == new.blob { None } else { self.claim(key, &old).await? };
                    let update = rawdoc! { "$set": new.fields() };
                    done = self.0.update(Collection::Files, unchanged(key, &old), update).await?;
                    self.leave_to_others(former).await?;
                }
            }
            if done {
                break;
            }
        }
        self.leave(claim, done).await?;
        if done { Ok(()) } else { Err(contended()) }
    }

    /// Creates a path, and says whether it did.
    async fn create(&self, key: &str, new: &Manifest) -> Result<bool, Fault> {
        let mut document = rawdoc! { "_id": key };
        for element in new.fields().iter().flatten() {
            document.append(element.0, element.1);
        }
        match self.0.insert(Collection::Files, document).await {
            // Unless it was this very insert, whose first answer was lost.
            Err(fault) if fault.is_duplicate() => {
                Ok(self.find(key).await?.is_some_and(|found| found.write == new.write))
            }
            result => result.map(|()| true),
        }
    }

    async fn supply(&self, key: &str, body: Body) -> Result<Option<Claim>, Fault> {
        if body.size() == 0 { Ok(None) } else { self.blobs().put(key, body).await.map(Some) }
    }

    async fn claim(&self, key: &str, of: &Manifest) -> Result<Option<Claim>, Fault> {
        if of.blob.is_empty() { Ok(None) } else { self.blobs().claim(key, &of.blob, of.size).await }
    }

    /// Leaves a claim on what a file has now.
    async fn leave(&self, claim: Option<Claim>, referenced: bool) -> Result<(), Fault> {
        let Some(claim) = claim else { return Ok(()) };
        match self.blobs().leave(claim, referenced).await? {
            Left::Lost if referenced => {
                Err(Fault::Other(Error::retry("this took so long that it was taken for abandoned")))
            }
            _ => Ok(()),
        }
    }

    /// Leaves a claim on what a file had before.
    async fn leave_to_others(&self, claim: Option<Claim>) -> Result<(), Fault> {
        self.leave(claim, false).await
    }
}

/// Says that the content of a file is missing.
pub fn damaged(manifest: &Manifest) -> Error {
    Error::fatal(format!(
        "the remote is damaged: it lists this file, and its content {} is gone",
        manifest.blob
    ))
}

fn unchanged(key: &str, manifest: &Manifest) -> RawDocumentBuf {
    rawdoc! { "_id": key, "write": manifest.write.as_str() }
}

fn contended() -> Fault {
    Fault::Other(Error::retry("others keep changing this file"))
}
