//! Which content each path has.
//!
//! ```text
//! files   { _id: "data/aws-ec2/web/state.json", blob: digest, size, write }
//! ```
//!
//! `write` is another one after each change. A file without content has the `blob` of none, which is the empty text.

use bson::{RawDocumentBuf, rawdoc};
use futures_util::future::try_join;
use lockkeeper_sdk::{Body, Error, PutNew, Result};

use crate::blobs::{Blobs, Claim, Left, SMALL, fresh, signed};
use crate::fault::Fault;
use crate::reply::{number, text, unreadable};
use crate::store::{Collection, Store};

/// How often something is tried while others change the same file.
const ATTEMPTS: u32 = 8;

/// About how long the document of a file is without its path.
const MANIFEST: usize = 256;

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
        let found = self.0.get(Collection::Files, key, rawdoc! {}, MANIFEST).await?;
        found.as_ref().map(Manifest::read).transpose()
    }

    /// Creates or replaces a file.
    pub async fn put(&self, key: &str, body: Body) -> Result<(), Fault> {
        let new = Manifest::of(&body);
        let claim = self.supply(key, body).await?;
        let done = self.point(key, &new).await?;
        self.leave(claim, done).await?;
        if done { Ok(()) } else { Err(contended()) }
    }

    /// Creates a file, unless there is one.
    pub async fn put_new(&self, key: &str, body: Body) -> Result<PutNew, Fault> {
        // What is small may be sent in vain.
        if body.size() > SMALL && self.find(key).await?.is_some() {
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
            let (old, there) = try_join(self.find(from), self.find(to)).await?;
            let Some(old) = old else { return Ok(moved) };
            if from == to {
                return Ok(true);
            }
            let (claim, former) =
                try_join(self.claim(to, &old), self.claim_former(to, there.as_ref(), &old)).await?;
            if claim.is_none() && !old.blob.is_empty() {
                self.leave_to_others(former).await?;
                // Replaced since, or damaged: the next look tells.
                if self.find(from).await?.as_ref() == Some(&old) {
                    return Err(Fault::Other(damaged(&old)));
                }
                continue;
            }
            let new = Manifest { write: fresh(), ..old.clone() };
            let done = self.change(to, &new, there.as_ref()).await?;
            let gone = done && self.0.delete(Collection::Files, unchanged(from, &old)).await?;
            try_join(self.leave(claim, done), self.leave_to_others(former)).await?;
            if gone {
                return Ok(true);
            }
            // The first answer was lost, or it was replaced, and then that is to be moved as well.
            moved = moved || done;
        }
        Err(contended())
    }

    /// Makes a path have a content that is claimed; false if others keep changing it.
    async fn point(&self, key: &str, new: &Manifest) -> Result<bool, Fault> {
        let mut there = None;
        for _ in 0..ATTEMPTS {
            let former = self.claim_former(key, there.as_ref(), new).await?;
            let done = self.change(key, new, there.as_ref()).await?;
            self.leave_to_others(former).await?;
            if done {
                return Ok(true);
            }
            there = self.find(key).await?;
        }
        Ok(false)
    }

    /// Claims what a path has before it gets something else.
    async fn claim_former(
        &self,
        key: &str,
        there: Option<&Manifest>,
        new: &Manifest,
    ) -> Result<Option<Claim>, Fault> {
        match there {
            Some(there) if there.blob != new.blob => self.claim(key, there).await,
            _ => Ok(None),
        }
    }

    /// Makes a path have something else than what is there, if that is still so.
    async fn change(&self, key: &str, new: &Manifest, there: Option<&Manifest>) -> Result<bool, Fault> {
        let Some(there) = there else { return self.create(key, new).await };
        let update = rawdoc! { "$set": new.fields() };
        let proof = ("write", new.write.as_str());
        // Unless it was this very change, whose first answer was lost.
        Ok(there.write == new.write
            || self.0.update(Collection::Files, unchanged(key, there), update, proof).await?)
    }

    /// Creates a path, and says whether it did.
    async fn create(&self, key: &str, new: &Manifest) -> Result<bool, Fault> {
        let mut document = rawdoc! { "_id": key };
        for element in new.fields().iter().flatten() {
            document.append(element.0, element.1);
        }
        // If there is one, it may be of this very insert, whose first answer was lost.
        Ok(self.0.insert(Collection::Files, document).await?
            || self.find(key).await?.is_some_and(|found| found.write == new.write))
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
