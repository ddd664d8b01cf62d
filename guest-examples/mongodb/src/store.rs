//! The collections, and the few things that are done to their documents.

use bson::raw::{CStr, CString, cstr};
use bson::{RawArrayBuf, RawDocumentBuf, rawdoc};

use crate::budget::{Budget, Share};
use crate::bulk::Bulk;
use crate::client::{Client, Slot};
use crate::fault::Fault;
use crate::reply::{Batch, first_batch, next_batch, text};
use crate::wire::Sequence;

/// How many documents are listed at once.
const PAGE: i32 = 5000;

/// How much of a content is in one document.
pub const CHUNK: usize = 2 * 1024 * 1024;

/// A collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Collection {
    /// One document for each path: which blob it is.
    Files,
    /// One document for each content.
    Blobs,
    /// Pieces of what is too long for one document.
    Chunks,
    /// The shards of the index.
    Index,
}

/// The collections of one remote.
pub struct Store {
    client: Client,
    database: String,
    prefix: String,
    chunk: usize,
    budget: Budget,
    pub(crate) bulk: Bulk,
}

/// Where the next page of a listing begins: after which document, and the cursor that may still be there.
pub type Place = (String, i64);

impl Store {
    /// Keeps everything in the collections of `database` whose name begins with `prefix`, in pieces of at most `chunk` bytes.
    pub fn new(client: Client, database: String, prefix: String, chunk: usize) -> Self {
        let budget = Budget::new(client.target().pool * CHUNK);
        Self { client, database, prefix, chunk, budget, bulk: Bulk::default() }
    }

    /// How much of a content is in one document. Everybody who shares a remote has the same.
    pub fn chunk(&self) -> usize {
        self.chunk
    }

    /// Whether a content of this size is in chunks.
    pub fn is_long(&self, size: u64) -> bool {
        size > self.chunk as u64
    }

    /// Waits until so much of a content, or a chunk of it, may be in memory. Who has room must not ask for more.
    pub async fn room(&self, size: u64) -> Share<'_> {
        self.budget.take(usize::try_from(size).unwrap_or(CHUNK).min(CHUNK)).await
    }

    /// The client.
    pub fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn name(&self, collection: Collection) -> String {
        let name = match collection {
            Collection::Files => "files",
            Collection::Blobs => "blobs",
            Collection::Chunks => "chunks",
            Collection::Index => "index",
        };
        format!("{}.{name}", self.prefix)
    }

    pub(crate) async fn read(
        &self,
        slot: &Slot<'_>,
        mut command: RawDocumentBuf,
    ) -> Result<RawDocumentBuf, Fault> {
        command.append(cstr!("readConcern"), rawdoc! { "level": "majority" });
        self.client.request_in(slot, &self.database, &command, None).await
    }

    /// Writes, and waits until a majority has it. What one of the documents asks for doesn't depend on the others.
    pub(crate) async fn write(
        &self,
        slot: &Slot<'_>,
        verb: &CStr,
        collection: Collection,
        field: &str,
        documents: &[RawDocumentBuf],
    ) -> Result<RawDocumentBuf, Fault> {
        let patience = i64::try_from(self.client.target().socket_timeout.as_millis()).unwrap_or(i64::MAX);
        let mut command = RawDocumentBuf::new();
        command.append(verb, self.name(collection));
        command.append(cstr!("ordered"), false);
        // The server gives up first, so that its answer is not taken for silence.
        command.append(cstr!("writeConcern"), rawdoc! { "w": "majority", "wtimeout": patience / 4 * 3 });
        let sequence = Sequence { field, documents };
        self.client.request_in(slot, &self.database, &command, Some(&sequence)).await
    }

    /// Finds a document.
    pub async fn find(
        &self,
        collection: Collection,
        filter: RawDocumentBuf,
        projection: RawDocumentBuf,
    ) -> Result<Option<RawDocumentBuf>, Fault> {
        let command = rawdoc! {
            "find": self.name(collection), "filter": filter, "projection": projection, "limit": 1, "singleBatch": true,
        };
        Ok(first_batch(&self.read(&self.client.slot().await, command).await?)?.documents.pop())
    }

    /// Finds documents, of which there are few.
    pub async fn find_few(
        &self,
        collection: Collection,
        filter: RawDocumentBuf,
        projection: RawDocumentBuf,
    ) -> Result<Vec<RawDocumentBuf>, Fault> {
        let command = rawdoc! {
            "find": self.name(collection), "filter": filter, "projection": projection,
            "limit": PAGE, "batchSize": PAGE, "singleBatch": true,
        };
        Ok(first_batch(&self.read(&self.client.slot().await, command).await?)?.documents)
    }

    /// Lists the documents whose `_id` starts with `prefix`, in order, one page at a time.
    pub async fn list(
        &self,
        collection: Collection,
        prefix: &str,
        projection: RawDocumentBuf,
        place: Option<Place>,
    ) -> Result<(Vec<RawDocumentBuf>, Option<Place>), Fault> {
        let batch = match &place {
            Some((_, cursor)) if *cursor != 0 => {
                self.more(&self.client.slot().await, collection, *cursor).await.ok()
            }
            _ => None,
        };
        let after = place.map(|(after, _)| after);
        let Batch { documents, cursor } = match batch {
            Some(batch) => batch,
            // A cursor dies with its server, or of age; the listing goes on without it.
            None => self.list_after(collection, prefix, projection, after.as_deref()).await?,
        };
        let last = documents.last().and_then(|last| last.get_str("_id").ok()).map(str::to_owned).or(after);
        let next = last.filter(|_| cursor != 0).map(|last| (last, cursor));
        Ok((documents, next))
    }

    async fn list_after(
        &self,
        collection: Collection,
        prefix: &str,
        projection: RawDocumentBuf,
        after: Option<&str>,
    ) -> Result<Batch, Fault> {
        let mut range = RawDocumentBuf::new();
        match after {
            Some(after) => range.append(cstr!("$gt"), after),
            None => range.append(cstr!("$gte"), prefix),
        }
        if let Some(end) = successor(prefix) {
            range.append(cstr!("$lt"), end);
        }
        let command = rawdoc! {
            "find": self.name(collection), "filter": { "_id": range }, "projection": projection, "sort": { "_id": 1 }, "batchSize": PAGE,
        };
        first_batch(&self.read(&self.client.slot().await, command).await?)
    }

    /// The next page. If its answer is lost, the cursor has gone on all the same.
    pub(crate) async fn more(
        &self,
        slot: &Slot<'_>,
        collection: Collection,
        cursor: i64,
    ) -> Result<Batch, Fault> {
        let command = rawdoc! { "getMore": cursor, "collection": self.name(collection), "batchSize": PAGE };
        next_batch(&self.client.request_once(slot, &self.database, &command, None).await?)
    }

    /// Deletes every document whose `_id` starts with `prefix`, which is not empty.
    pub async fn delete_all(&self, collection: Collection, prefix: &str) -> Result<(), Fault> {
        let Some(end) = successor(prefix) else { return Ok(()) };
        self.delete_where(collection, rawdoc! { "_id": { "$gte": prefix, "$lt": end } }).await
    }

    /// Deletes every document that matches.
    pub async fn delete_where(&self, collection: Collection, filter: RawDocumentBuf) -> Result<(), Fault> {
        let statement = rawdoc! { "q": filter, "limit": 0 };
        self.write(&self.client.slot().await, cstr!("delete"), collection, "deletes", &[statement]).await?;
        Ok(())
    }

    /// Says whether documents are found quickly by a field.
    pub async fn has_index(&self, collection: Collection, field: &str) -> Result<bool, Fault> {
        let command = rawdoc! { "listIndexes": self.name(collection) };
        match self.client.request(&self.database, &command, None).await {
            Ok(answer) => {
                let indexes = first_batch(&answer)?.documents;
                Ok(indexes.iter().any(|index| text(index, "name") == Some(field)))
            }
            Err(fault) if fault.is_missing_collection() => Ok(false),
            Err(fault) => Err(fault),
        }
    }

    /// Makes sure that documents are found quickly by a field.
    pub async fn index(&self, collection: Collection, field: &str) -> Result<(), Fault> {
        let mut key = RawDocumentBuf::new();
        key.append(CString::try_from(field).map_err(|error| Fault::Protocol(error.to_string()))?, 1);
        let mut indexes = RawArrayBuf::new();
        indexes.push(rawdoc! { "key": key, "name": field });
        let command = rawdoc! { "createIndexes": self.name(collection), "indexes": indexes };
        self.client.request(&self.database, &command, None).await?;
        Ok(())
    }
}

/// The least text that is greater than every text with this prefix; none for the empty one.
///
/// Texts are compared by their bytes, and the order of code points is that of the bytes.
fn successor(prefix: &str) -> Option<String> {
    let mut chars: Vec<char> = prefix.chars().collect();
    while let Some(last) = chars.pop() {
        let next = match last {
            '\u{d7ff}' => Some('\u{e000}'),
            last => char::from_u32(u32::from(last) + 1),
        };
        if let Some(next) = next {
            chars.push(next);
            return Some(chars.into_iter().collect());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_holds_what_has_the_prefix_and_nothing_else() {
        for (prefix, next) in [
            ("data/", Some("data0")),
            ("a\u{d7ff}", Some("a\u{e000}")),
            ("a\u{10ffff}", Some("b")),
            ("\u{10ffff}", None),
            ("", None),
        ] {
            assert_eq!(successor(prefix).as_deref(), next, "{prefix:?}");
        }
        let end = successor("data/web/").unwrap();
        for (key, inside) in [
            ("data/web/\u{10ffff}", true),
            ("data/web/", true),
            ("data/web-2/x", false),
            ("data/web", false),
            ("data/web0", false),
        ] {
            assert_eq!("data/web/" <= key && key < end.as_str(), inside, "{key}");
        }
    }
}
