//! The collections, and the few things that are done to their documents.

use bson::raw::cstr;
use bson::{RawArrayBuf, RawDocumentBuf, rawdoc};

use crate::client::Client;
use crate::fault::Fault;
use crate::reply::{Batch, first_batch, next_batch, number, unreadable};
use crate::wire::Sequence;

/// How many documents are listed at once.
const PAGE: i32 = 5000;

/// A collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
}

/// Where the next page of a listing begins: after which document, and the cursor that may still be there.
pub type Place = (String, i64);

impl Store {
    /// Keeps everything in the collections of `database` whose name begins with `prefix`, in pieces of at most `chunk` bytes.
    pub fn new(client: Client, database: String, prefix: String, chunk: usize) -> Self {
        Self { client, database, prefix, chunk }
    }

    /// How much of a content is in one document. Everybody who shares a remote has the same.
    pub fn chunk(&self) -> usize {
        self.chunk
    }

    /// Whether a content of this size is in chunks.
    pub fn is_long(&self, size: u64) -> bool {
        size > self.chunk as u64
    }

    /// The client.
    pub fn client(&self) -> &Client {
        &self.client
    }

    fn name(&self, collection: Collection) -> String {
        let name = match collection {
            Collection::Files => "files",
            Collection::Blobs => "blobs",
            Collection::Chunks => "chunks",
            Collection::Index => "index",
        };
        format!("{}.{name}", self.prefix)
    }

    async fn read(&self, mut command: RawDocumentBuf) -> Result<RawDocumentBuf, Fault> {
        command.append(cstr!("readConcern"), rawdoc! { "level": "majority" });
        self.client.request(&self.database, &command, None).await
    }

    /// Writes, and waits until a majority has it. Answers with the number of documents that were matched or made.
    async fn write(
        &self,
        mut command: RawDocumentBuf,
        field: &str,
        documents: &[RawDocumentBuf],
    ) -> Result<i64, Fault> {
        let patience = i64::try_from(self.client.target().socket_timeout.as_millis()).unwrap_or(i64::MAX);
        // The server gives up first, so that its answer is not taken for silence.
        command.append(cstr!("writeConcern"), rawdoc! { "w": "majority", "wtimeout": patience / 4 * 3 });
        let sequence = Sequence { field, documents };
        let answer = self.client.request(&self.database, &command, Some(&sequence)).await?;
        number(&answer, "n").ok_or_else(|| unreadable("n"))
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
        Ok(first_batch(&self.read(command).await?)?.documents.pop())
    }

    /// Finds documents, of which there are few.
    pub async fn find_few(
        &self,
        collection: Collection,
        filter: RawDocumentBuf,
        projection: RawDocumentBuf,
    ) -> Result<Vec<RawDocumentBuf>, Fault> {
        let command = rawdoc! {
            "find": self.name(collection), "filter": filter, "projection": projection, "limit": PAGE, "singleBatch": true,
        };
        Ok(first_batch(&self.read(command).await?)?.documents)
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
            Some((_, cursor)) if *cursor != 0 => self.more(collection, *cursor).await.ok(),
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
        first_batch(&self.read(command).await?)
    }

    async fn more(&self, collection: Collection, cursor: i64) -> Result<Batch, Fault> {
        let command = rawdoc! { "getMore": cursor, "collection": self.name(collection), "batchSize": PAGE };
        next_batch(&self.client.request(&self.database, &command, None).await?)
    }

    /// Inserts a document; one with its `_id` is a [duplicate](Fault::is_duplicate).
    pub async fn insert(&self, collection: Collection, document: RawDocumentBuf) -> Result<(), Fault> {
        self.insert_many(collection, &[document]).await
    }

    /// Inserts documents.
    pub async fn insert_many(
        &self,
        collection: Collection,
        documents: &[RawDocumentBuf],
    ) -> Result<(), Fault> {
        self.write(rawdoc! { "insert": self.name(collection) }, "documents", documents).await?;
        Ok(())
    }

    /// Updates the document that matches, and says whether one did.
    pub async fn update(
        &self,
        collection: Collection,
        filter: RawDocumentBuf,
        update: RawDocumentBuf,
    ) -> Result<bool, Fault> {
        let statement = rawdoc! { "q": filter, "u": update };
        Ok(self.write(rawdoc! { "update": self.name(collection) }, "updates", &[statement]).await? > 0)
    }

    /// Updates the document that matches, or makes one; one that has its `_id` and doesn't match is a
    /// [duplicate](Fault::is_duplicate).
    pub async fn upsert(
        &self,
        collection: Collection,
        filter: RawDocumentBuf,
        update: RawDocumentBuf,
    ) -> Result<(), Fault> {
        let statement = rawdoc! { "q": filter, "u": update, "upsert": true };
        self.write(rawdoc! { "update": self.name(collection) }, "updates", &[statement]).await?;
        Ok(())
    }

    /// Deletes the document that matches, and says whether one did.
    pub async fn delete(&self, collection: Collection, filter: RawDocumentBuf) -> Result<bool, Fault> {
        let statement = rawdoc! { "q": filter, "limit": 1 };
        Ok(self.write(rawdoc! { "delete": self.name(collection) }, "deletes", &[statement]).await? > 0)
    }

    /// Deletes every document whose `_id` starts with `prefix`, which is not empty.
    pub async fn delete_all(&self, collection: Collection, prefix: &str) -> Result<(), Fault> {
        let Some(end) = successor(prefix) else { return Ok(()) };
        let statement = rawdoc! { "q": { "_id": { "$gte": prefix, "$lt": end } }, "limit": 0 };
        self.write(rawdoc! { "delete": self.name(collection) }, "deletes", &[statement]).await?;
        Ok(())
    }

    /// Deletes every document.
    pub async fn delete_every(&self, collection: Collection) -> Result<(), Fault> {
        let statement = rawdoc! { "q": {}, "limit": 0 };
        self.write(rawdoc! { "delete": self.name(collection) }, "deletes", &[statement]).await?;
        Ok(())
    }

    /// Makes sure that documents are found quickly by a field.
    pub async fn index(&self, collection: Collection, field: &str) -> Result<(), Fault> {
        let mut key = RawDocumentBuf::new();
        key.append(
            bson::raw::CString::try_from(field).map_err(|error| Fault::Protocol(error.to_string()))?,
            1,
        );
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
