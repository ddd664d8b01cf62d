//! The shards of the index, replaced by compare-and-swap on their revision.
//!
//! ```text
//! index   { _id: key, revision, data }                                       of up to a chunk
//!         { _id: key, revision, size, pending: [{ id, on }], trash: [id] }   longer: in the chunks "revision/00000000" and so on
//! chunks  { _id: "revision/00000000", data }
//! ```
//!
//! A revision is a name that nothing else ever has. The chunks of a revision are complete before the document
//! names it, and never change, so whoever reads them reads one version. Their writer announces them in `pending`, with the
//! revision that they replace; when the document has another one, they are of no use any more and the
//! next writer deletes them. A document without `revision` is none yet.

use bson::raw::cstr;
use bson::{RawDocument, RawDocumentBuf, rawdoc};
use lockkeeper_sdk::{Document, DocumentRead, Error, Listed, Result, Swap, Token};

use crate::blobs::{array, chunks, fresh, piece, put_piece, signed};
use crate::connection::bytes;
use crate::fault::Fault;
use crate::reply::{number, text, texts, unreadable};
use crate::store::{Collection, Place, Store};

/// How often a document is read again because its chunks were replaced meanwhile.
const ATTEMPTS: u32 = 8;
/// What the revision of a document in chunks begins with.
const LONG: char = 'c';
/// What that of any other begins with.
const SHORT: char = 's';

/// The documents of a store.
pub struct Documents<'a>(pub &'a Store);

impl Documents<'_> {
    /// Reads a document, without its content if it is the one that is known.
    pub async fn read(&self, key: &str, known: Option<&Token>) -> Result<DocumentRead, Fault> {
        let known = known.map_or("", |token| token.0.as_str());
        for _ in 0..ATTEMPTS {
            let unless_known =
                rawdoc! { "$cond": [{ "$eq": ["$revision", { "$literal": known }] }, "$$REMOVE", "$data"] };
            let fields = rawdoc! { "revision": 1, "size": 1, "data": unless_known };
            let Some(found) = self.0.find(Collection::Index, rawdoc! { "_id": key }, fields).await? else {
                return Ok(DocumentRead::Absent);
            };
            let Some(revision) = text(&found, "revision") else { return Ok(DocumentRead::Absent) };
            if revision == known {
                return Ok(DocumentRead::Unchanged);
            }
            if let Some(bytes) = self.content(&found, revision).await? {
                let token = Token(revision.to_owned());
                return Ok(DocumentRead::Changed(Document { bytes, token }));
            }
        }
        Err(Fault::Other(Error::retry("this document is damaged, or others keep changing it")))
    }

    /// The content of a revision, `None` if it was replaced.
    async fn content(&self, found: &RawDocument, revision: &str) -> Result<Option<Vec<u8>>, Fault> {
        if !revision.starts_with(LONG) {
            return Ok(Some(found.get_binary("data").map_err(|_| unreadable("data"))?.bytes.to_vec()));
        }
        let size = number(found, "size")
            .and_then(|size| usize::try_from(size).ok())
            .ok_or_else(|| unreadable("size"))?;
        let mut content = Vec::new();
        for part in 0_u32.. {
            if content.len() >= size {
                break;
            }
            let Some(data) = piece(self.0, revision, part).await? else { return Ok(None) };
            content.extend(data);
        }
        Ok(Some(content))
    }

    /// Writes a document if it is still the expected one, or still absent.
    pub async fn swap(&self, key: &str, expected: Option<&Token>, content: &[u8]) -> Result<Swap, Fault> {
        let expected = expected.map(|token| token.0.as_str());
        let long = self.0.is_long(content.len() as u64);
        let revision = format!("{}{}", if long { LONG } else { SHORT }, fresh());
        let mut update = if long {
            self.upload(key, expected, &revision, content).await?;
            rawdoc! {
                "$set": { "revision": revision.as_str(), "size": signed(content.len() as u64) },
                "$unset": { "data": "" },
                "$pull": { "pending": { "id": revision.as_str() } },
            }
        } else {
            let mut fields = rawdoc! { "revision": revision.as_str() };
            fields.append(cstr!("data"), bytes(content));
            rawdoc! { "$set": fields, "$unset": { "size": "" } }
        };
        let former = expected.filter(|expected| expected.starts_with(LONG));
        if let Some(former) = former {
            update.append(cstr!("$addToSet"), rawdoc! { "trash": former });
        }
        let swapped = self.replace(key, expected, &revision, long, update).await?;
        if long || former.is_some() {
            // The swap is done or not; what this leaves behind, the next one takes away.
            let _ = self.tidy(key).await;
        }
        Ok(if swapped { Swap::Swapped(Token(revision)) } else { Swap::Mismatch })
    }

    async fn replace(
        &self,
        key: &str,
        expected: Option<&str>,
        revision: &str,
        long: bool,
        update: RawDocumentBuf,
    ) -> Result<bool, Fault> {
        let mut filter = rawdoc! { "_id": key };
        match expected {
            Some(expected) => filter.append(cstr!("revision"), expected),
            None => filter.append(cstr!("revision"), rawdoc! { "$exists": false }),
        }
        let proof = ("revision", revision);
        let swapped = if long {
            filter.append(cstr!("pending.id"), revision);
            self.0.update(Collection::Index, filter, update, proof).await?
        } else if expected.is_none() {
            self.0.upsert(Collection::Index, filter, update).await?
        } else {
            self.0.update(Collection::Index, filter, update, proof).await?
        };
        if swapped {
            return Ok(true);
        }
        // It may have been this very swap, whose first answer was lost.
        let found = self.0.get(Collection::Index, key, rawdoc! { "revision": 1 }, 0).await?;
        Ok(found.as_ref().and_then(|found| text(found, "revision")) == Some(revision))
    }

    /// Sends the chunks of a revision.
    async fn upload(
        &self,
        key: &str,
        expected: Option<&str>,
        revision: &str,
        content: &[u8],
    ) -> Result<(), Fault> {
        let pending = rawdoc! { "id": revision, "on": expected.unwrap_or_default() };
        let announce = rawdoc! { "$addToSet": { "pending": pending } };
        let upsert = || self.0.upsert(Collection::Index, rawdoc! { "_id": key }, announce.clone());
        // Two who make the same document at once may meet; then it is there.
        if !upsert().await? && !upsert().await? {
            return Err(Fault::Other(Error::retry("others keep changing this document")));
        }
        for (number, piece) in (0_u32..).zip(content.chunks(self.0.chunk())) {
            put_piece(self.0, revision, number, piece).await?;
        }
        Ok(())
    }

    /// Deletes the chunks of revisions that were replaced, or that can't become current any more.
    async fn tidy(&self, key: &str) -> Result<(), Fault> {
        let fields = rawdoc! { "revision": 1, "pending": 1, "trash": 1 };
        let Some(found) = self.0.find(Collection::Index, rawdoc! { "_id": key }, fields).await? else {
            return Ok(());
        };
        let current = text(&found, "revision").unwrap_or_default();
        let pending = found.get_array("pending").ok().into_iter().flatten();
        let pending = pending.filter_map(|entry| entry.ok()?.as_document());
        let late: Vec<_> = pending
            .filter(|entry| text(entry, "on") != Some(current))
            .filter_map(|entry| text(entry, "id"))
            .collect();
        let trash: Vec<_> = texts(&found, "trash").into_iter().chain(late.iter().copied()).collect();
        if trash.is_empty() {
            return Ok(());
        }
        for revision in &trash {
            self.0.delete_all(Collection::Chunks, &chunks(revision)).await?;
        }
        let update = rawdoc! {
            "$pull": { "pending": { "id": { "$in": array(late) } } },
            "$pullAll": { "trash": array(trash) },
        };
        self.0.update_any(Collection::Index, rawdoc! { "_id": key }, update).await
    }

    /// Lists one page of the documents below a prefix.
    pub async fn list(
        &self,
        prefix: &str,
        place: Option<Place>,
    ) -> Result<(Vec<Listed>, Option<Place>), Fault> {
        let (found, next) = self.0.list(Collection::Index, prefix, rawdoc! { "revision": 1 }, place).await?;
        let listed = found.iter().filter_map(|found| {
            let (key, revision) = (text(found, "_id")?, text(found, "revision")?);
            Some(Listed { key: key.to_owned(), token: Some(Token(revision.to_owned())) })
        });
        Ok((listed.collect(), next))
    }
}
