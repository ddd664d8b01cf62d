//! Contents, each stored once, under its digest.
//!
//! ```text
//! blobs   { _id: digest, size, version, pending: [{ id, key, at }], done: true, data | upload, trash: [upload] }
//! chunks  { _id: "upload/00000000", data }
//! ```
//!
//! Short content lies in the blob itself, long content in chunks that carry the identifier of the upload which made them. A
//! blob without `done` is being uploaded.
//!
//! # Why nothing that is referred to is ever deleted
//!
//! Whoever is about to refer to a blob, or to stop doing so, first makes a *claim*: an entry in `pending`. Then it writes or deletes
//! the document of the file, and then it *leaves*. Every step on a blob gives it a new `version`.
//!
//! To delete a blob is to (1) have a claim and know the version, (2) ask for a file that refers to the blob, (3) delete it if the
//! version is the same and no other claim is there. Suppose that somebody has written a reference. If its claim came after (1),
//! the version is another one. If the claim was there at (1), then at (3) it is still there, or it was left in between, which
//! changed the version, or it was left before (1), after the reference was written, and (2) finds that.
//!
//! # Why nothing is forgotten
//!
//! A claim is left only by somebody who has seen a reference and the same version since, or while another claim is
//! there, whose owner then has to look itself. So the last one to leave has looked. What a crash leaves is a claim; a push finds
//! it when it is [old](Blobs::sweep), and leaves in the name of the dead.

use bson::raw::{BindRawBsonRef, cstr};
use bson::{RawArrayBuf, RawDocument, RawDocumentBuf, rawdoc};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, LocalBoxStream};
use lockkeeper_sdk::{Body, Error, Object, Result};

use crate::budget::Share;
use crate::connection::bytes;
use crate::fault::Fault;
use crate::reply::{number, text, texts};
use crate::store::{Collection, Store};

/// Up to this size, a content is sent without asking first whether it is there already.
pub const SMALL: u64 = 4096;
/// About how long a blob is without its content.
const BLOB: usize = 1024;
/// How often something is tried while others change the same document.
const ATTEMPTS: u32 = 16;
/// After how many milliseconds a claim counts as forgotten: a day, longer than any call. If its owner lives, it starts anew.
pub const FORGOTTEN: i64 = 24 * 3600 * 1000;

/// The contents of a store.
pub struct Blobs<'a>(pub &'a Store);

/// Somebody's intent to change what refers to a blob.
#[derive(Clone, Debug)]
pub struct Claim {
    digest: String,
    id: String,
    version: String,
    size: u64,
}

/// What became of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// The blob stays, or somebody else decides that.
    Kept,
    /// The blob was deleted.
    Deleted,
    /// Somebody took the claim for a forgotten one.
    Lost,
}

impl Blobs<'_> {
    /// Makes sure that a content is there, and claims it for `key`. A content of some size is not sent if it is there already.
    pub async fn put(&self, key: &str, mut body: Body) -> Result<Claim, Fault> {
        let (digest, size) = (body.digest().to_owned(), body.size());
        let _room = self.0.room(size).await;
        if (size > SMALL || self.0.is_long(size))
            && let Some(claim) = self.claim(key, &digest, size).await?
        {
            // What is not sent is checked all the same.
            while !self.read(&mut body)?.is_empty() {}
            return Ok(claim);
        }
        let claim = Claim::new(&digest, size);
        let mut fields = rawdoc! { "version": claim.version.as_str(), "size": signed(size) };
        let long = self.0.is_long(size);
        if !long {
            let data = self.read(&mut body)?;
            if data.len() as u64 != size {
                return Err(shortened());
            }
            fields.append(cstr!("data"), bytes(&data));
            fields.append(cstr!("done"), true);
        }
        let pending = claim.entry(key, self.0.client().now().await?);
        let update = rawdoc! { "$addToSet": { "pending": pending }, "$set": fields };
        self.upsert(&digest, update).await?;
        if long && let Err(fault) = self.upload(&claim, &mut body).await {
            // Best effort: what stays is found as a forgotten claim.
            if self.0.delete_all(Collection::Chunks, &chunks(&claim.id)).await.is_ok() {
                let _ = self.leave(claim, false).await;
            }
            return Err(fault);
        }
        Ok(claim)
    }

    /// Claims a content if it is there.
    pub async fn claim(&self, key: &str, digest: &str, size: u64) -> Result<Option<Claim>, Fault> {
        let claim = Claim::new(digest, size);
        let pending = claim.entry(key, self.0.client().now().await?);
        let filter = rawdoc! { "_id": digest, "done": true };
        let update =
            rawdoc! { "$addToSet": { "pending": pending }, "$set": { "version": claim.version.as_str() } };
        let proof = ("pending.id", claim.id.as_str());
        Ok(self.0.update(Collection::Blobs, filter, update, proof).await?.then_some(claim))
    }

    /// Two who make the same document at once may meet; then it is there.
    async fn upsert(&self, digest: &str, update: RawDocumentBuf) -> Result<(), Fault> {
        let filter = || rawdoc! { "_id": digest };
        let done = self.0.upsert(Collection::Blobs, filter(), update.clone()).await?
            || self.0.upsert(Collection::Blobs, filter(), update).await?;
        if done { Ok(()) } else { Err(contended()) }
    }

    /// Sends a content in chunks, and says that they are all there.
    async fn upload(&self, claim: &Claim, body: &mut Body) -> Result<(), Fault> {
        let mut sent = 0;
        for number in 0_u32.. {
            let data = self.read(body)?;
            if data.is_empty() {
                break;
            }
            sent += data.len() as u64;
            put_piece(self.0, &claim.id, number, &data).await?;
        }
        if sent != claim.size {
            return Err(shortened());
        }
        let unfinished = rawdoc! { "_id": claim.digest.as_str(), "pending.id": claim.id.as_str(), "done": { "$ne": true } };
        let done = rawdoc! { "$set": { "done": true, "upload": claim.id.as_str() } };
        if self.0.update(Collection::Blobs, unfinished, done, ("upload", claim.id.as_str())).await? {
            return Ok(());
        }
        let blob = self.look(&claim.digest).await?;
        if blob.as_ref().and_then(|blob| text(blob, "upload")) == Some(&claim.id) {
            return Ok(());
        }
        self.0.delete_all(Collection::Chunks, &chunks(&claim.id)).await?;
        match blob {
            // Somebody else was faster.
            Some(blob) if has_claim(&blob, &claim.id) && blob.get_bool("done").unwrap_or_default() => Ok(()),
            _ => Err(Fault::Other(Error::retry("the upload took so long that it was taken for abandoned"))),
        }
    }

    /// Gives up a claim. `referenced` says that its owner has written a reference since; else it is looked for, and a blob
    /// without any is deleted.
    pub async fn leave(&self, claim: Claim, referenced: bool) -> Result<Left, Fault> {
        let Claim { digest, id, mut version, size } = claim;
        let mine = || rawdoc! { "_id": digest.as_str(), "pending.id": id.as_str() };
        let mut referenced = referenced;
        for _ in 0..ATTEMPTS {
            referenced = referenced || self.0.is_referenced(&digest).await?;
            if !referenced && self.remove(&digest, &id, &version, size).await? {
                return Ok(Left::Deleted);
            }
            let left = fresh();
            let update = rawdoc! { "$pull": { "pending": { "id": id.as_str() } }, "$set": { "version": left.as_str() } };
            let mut unchanged = mine();
            unchanged.append(cstr!("version"), version.as_str());
            let mut among_others = mine();
            among_others.append(cstr!("pending.1"), rawdoc! { "$exists": true });
            let proof = ("version", left.as_str());
            if (referenced && self.0.update(Collection::Blobs, unchanged, update.clone(), proof).await?)
                || self.0.update(Collection::Blobs, among_others, update, proof).await?
            {
                return Ok(Left::Kept);
            }
            match self.look(&digest).await? {
                None if !referenced => return Ok(Left::Deleted),
                None => return Ok(Left::Lost),
                Some(blob) if text(&blob, "version") == Some(&left) => return Ok(Left::Kept),
                Some(blob) if !has_claim(&blob, &id) => return Ok(Left::Lost),
                Some(_) => {}
            }
            // Somebody was here since the last look: look again.
            version = fresh();
            referenced = false;
            let update = rawdoc! { "$set": { "version": version.as_str() } };
            self.0.update_any(Collection::Blobs, mine(), update).await?;
        }
        Err(contended())
    }

    /// Deletes a blob if nothing happened to it since `version` and nobody else has a claim.
    async fn remove(&self, digest: &str, id: &str, version: &str, size: u64) -> Result<bool, Fault> {
        let alone = |version: &str| rawdoc! { "_id": digest, "version": version, "pending.id": id, "pending": { "$size": 1 } };
        if !self.0.is_long(size) {
            return self.0.delete(Collection::Blobs, alone(version)).await;
        }
        let Some(blob) = self.look(digest).await? else { return Ok(false) };
        if text(&blob, "version") != Some(version) {
            return Ok(false);
        }
        // First the blob stops being one, then its chunks go, then its document.
        let marked = fresh();
        let mut trash = texts(&blob, "trash");
        trash.extend(text(&blob, "upload"));
        let update = rawdoc! {
            "$unset": { "done": "", "upload": "" },
            "$set": { "version": marked.as_str() },
            "$addToSet": { "trash": { "$each": array(trash.iter().copied()) } },
        };
        if !self.0.update(Collection::Blobs, alone(version), update, ("version", &marked)).await? {
            return Ok(false);
        }
        self.empty(digest, &trash).await?;
        self.0.delete(Collection::Blobs, alone(&marked)).await
    }

    /// Deletes chunks that belong to nothing any more.
    async fn empty(&self, digest: &str, trash: &[&str]) -> Result<(), Fault> {
        if trash.is_empty() {
            return Ok(());
        }
        for upload in trash {
            self.0.delete_all(Collection::Chunks, &chunks(upload)).await?;
        }
        let update = rawdoc! { "$pullAll": { "trash": array(trash.iter().copied()) } };
        self.0.update_any(Collection::Blobs, rawdoc! { "_id": digest }, update).await
    }

    /// Leaves in the name of those who claimed something before a time, by the server's clock, and did not come back.
    pub async fn sweep(&self, before: i64) -> Result<(), Fault> {
        let claimed = rawdoc! { "pending.key": { "$gt": "" } };
        for blob in self.0.find_few(Collection::Blobs, claimed, without_data()).await? {
            let Some(digest) = text(&blob, "_id") else { continue };
            let forgotten = entries(&blob).find(|entry| number(entry, "at").is_some_and(|at| at < before));
            if let Some(id) = forgotten.and_then(|entry| text(entry, "id")) {
                self.bury(digest, &blob, id).await?;
            }
        }
        Ok(())
    }

    async fn bury(&self, digest: &str, blob: &RawDocument, dead: &str) -> Result<(), Fault> {
        let size = number(blob, "size").and_then(|size| u64::try_from(size).ok()).unwrap_or_default();
        let claim = Claim::new(digest, size);
        let now = self.0.client().now().await?;
        // An upload whose claim has another name can't be completed any more.
        let mut trash = texts(blob, "trash");
        if self.0.is_long(size) && text(blob, "upload") != Some(dead) {
            trash.push(dead);
        }
        let unchanged = rawdoc! { "_id": digest, "version": text(blob, "version").unwrap_or_default(), "pending.id": dead };
        let update = rawdoc! {
            "$set": { "version": claim.version.as_str(), "pending.$.id": claim.id.as_str(), "pending.$.at": now },
            "$addToSet": { "trash": { "$each": array(trash.iter().copied()) } },
        };
        if self.0.update(Collection::Blobs, unchanged, update, ("pending.id", claim.id.as_str())).await? {
            self.empty(digest, &trash).await?;
            self.leave(claim, false).await?;
        }
        Ok(())
    }

    async fn look(&self, digest: &str) -> Result<Option<RawDocumentBuf>, Fault> {
        self.0.get(Collection::Blobs, digest, without_data(), BLOB).await
    }

    fn read(&self, body: &mut Body) -> Result<Bytes, Fault> {
        let piece = body.read(self.0.chunk());
        piece.map_err(|error| Fault::Other(Error::fatal(format!("can't read the content: {error}"))))
    }

    /// Opens a content for reading, `None` if it is not there.
    pub async fn get(&self, digest: &str, size: u64) -> Result<Option<Content>, Fault> {
        let fields = rawdoc! { "data": 1, "upload": 1, "size": 1, "done": 1 };
        let length = if self.0.is_long(size) { 0 } else { usize::try_from(size).unwrap_or(usize::MAX) };
        let blob = self.0.get(Collection::Blobs, digest, fields, length).await?;
        let Some(blob) = blob.filter(|blob| blob.get_bool("done").unwrap_or_default()) else {
            return Ok(None);
        };
        if let Ok(data) = blob.get_binary("data") {
            return Ok(Some(Content::Whole(Bytes::copy_from_slice(data.bytes))));
        }
        let damaged = || Fault::Other(Error::fatal(format!("the blob {digest:?} is damaged")));
        let upload = text(&blob, "upload").ok_or_else(damaged)?.to_owned();
        let size = number(&blob, "size").and_then(|size| u64::try_from(size).ok()).ok_or_else(damaged)?;
        Ok(Some(Content::Chunks { upload, size }))
    }
}

/// Where a content is.
pub enum Content {
    /// Here.
    Whole(Bytes),
    /// In chunks.
    Chunks {
        /// Their name.
        upload: String,
        /// How many bytes there are in all.
        size: u64,
    },
}

impl Content {
    /// The content, one chunk at a time, in the room that there is for it.
    pub fn stream<'a>(self, store: &'a Store, room: Share<'a>) -> Object<'a> {
        let pieces = match self {
            Self::Whole(data) => stream::iter([Ok(data)]).boxed_local(),
            Self::Chunks { upload, size } => pieces(store, upload, size),
        };
        pieces
            .inspect(move |_| {
                let _ = &room;
            })
            .boxed_local()
    }
}

fn pieces(store: &Store, upload: String, size: u64) -> LocalBoxStream<'_, Result<Bytes>> {
    let start = (upload, 0_u32, 0_u64);
    let step = move |(upload, number, read): (String, u32, u64)| async move {
        if read >= size {
            return Ok(None);
        }
        match piece(store, &upload, number).await {
            Ok(Some(data)) => {
                let next = (upload, number + 1, read + data.len() as u64);
                Ok(Some((data, next)))
            }
            Ok(None) => Err(Error::retry("the content was deleted while it was being read")),
            Err(fault) => Err(fault.into_error(store.client().target())),
        }
    };
    stream::try_unfold(start, step).boxed_local()
}

/// Writes one chunk.
pub async fn put_piece(store: &Store, upload: &str, number: u32, data: &[u8]) -> Result<(), Fault> {
    let mut document = rawdoc! { "_id": chunk(upload, number) };
    document.append(cstr!("data"), bytes(data));
    // If there is one, its first answer was lost: nobody else makes chunks of this name.
    store.insert(Collection::Chunks, document).await.map(drop)
}

/// Reads one chunk, `None` if it is not there.
pub async fn piece(store: &Store, upload: &str, number: u32) -> Result<Option<Bytes>, Fault> {
    let name = chunk(upload, number);
    let chunk = store.get(Collection::Chunks, &name, rawdoc! { "data": 1 }, store.chunk()).await?;
    let data = chunk.and_then(|chunk| Some(Bytes::copy_from_slice(chunk.get_binary("data").ok()?.bytes)));
    Ok(data.filter(|data| !data.is_empty()))
}

impl Claim {
    fn new(digest: &str, size: u64) -> Self {
        Self { digest: digest.to_owned(), id: fresh(), version: fresh(), size }
    }

    fn entry(&self, key: &str, now: i64) -> RawDocumentBuf {
        rawdoc! { "id": self.id.as_str(), "key": key, "at": now }
    }
}

/// A name that nothing else has.
pub fn fresh() -> String {
    // Without random numbers there are no names; the host has some in every call.
    let half = || getrandom::u64().unwrap_or_default();
    format!("{:016x}{:016x}", half(), half())
}

/// What the names of the chunks of an upload begin with.
pub fn chunks(upload: &str) -> String {
    format!("{upload}/")
}

fn chunk(upload: &str, number: u32) -> String {
    format!("{upload}/{number:08}")
}

pub(crate) fn array<T: BindRawBsonRef>(items: impl IntoIterator<Item = T>) -> RawArrayBuf {
    items.into_iter().collect()
}

/// A size as BSON has it.
pub fn signed(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

fn without_data() -> RawDocumentBuf {
    rawdoc! { "data": 0 }
}

fn entries(blob: &RawDocument) -> impl Iterator<Item = &RawDocument> {
    let pending = blob.get_array("pending").ok().into_iter().flatten();
    pending.filter_map(|entry| entry.ok()?.as_document())
}

fn has_claim(blob: &RawDocument, id: &str) -> bool {
    entries(blob).any(|entry| text(entry, "id") == Some(id))
}

fn contended() -> Fault {
    Fault::Other(Error::retry("others keep changing the same content"))
}

fn shortened() -> Fault {
    Fault::Other(Error::fatal("the content is shorter than it was said to be"))
}
