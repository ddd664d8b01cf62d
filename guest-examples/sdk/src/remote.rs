//! What the SDK needs of a remote.

use futures_util::stream::LocalBoxStream;

use crate::shard::Entry;
use crate::{Body, Result};

/// The content of an object on its way in, in pieces of any size.
pub type Object<'a> = LocalBoxStream<'a, Result<bytes::Bytes>>;

/// A store of objects and of small documents, both under keys with `/` between their segments.
///
/// Up to [`in_flight`](Self::in_flight) operations run at once, on one thread. Every operation that answers "not there" does so
/// only if the remote said exactly that; a time-out or a refusal is an error. An [`Error::Retry`](crate::Error::Retry) is
/// tried again by the SDK, after the time that it [names](crate::Error::after) if it names one: an operation tries once
/// and says what happened. An operation may be dropped half way; what it leaves must be what a crash could leave.
#[expect(async_fn_in_trait, reason = "a component has one thread, so no future needs to be `Send`")]
pub trait Remote {
    /// How many operations may run at once.
    fn in_flight(&self) -> usize {
        1
    }

    /// Opens an object for reading, `None` if there is none.
    async fn get(&self, key: &str) -> Result<Option<Object<'_>>>;

    /// Creates or replaces an object at once: whoever reads it gets the old bytes or the new ones.
    ///
    /// If `body` fails or ends before [`Body::size`] bytes, the object stays as it was.
    async fn put(&self, key: &str, body: Body) -> Result<()>;

    /// Creates an object at once, unless its key is taken. Of several that try, one succeeds.
    async fn put_new(&self, key: &str, body: Body) -> Result<PutNew>;

    /// Deletes an object. That there is none is no error.
    async fn delete(&self, key: &str) -> Result<()>;

    /// Moves an object over another one, false if there is none at `from`. `content` is what it holds.
    ///
    /// It may be made of several steps as long as `to` gets its new bytes at once and `from` goes last.
    async fn rename(&self, from: &str, to: &str, content: &Entry) -> Result<bool>;

    /// Reads a document. `known` is the version that the caller has already: if the document is still that one, its bytes
    /// need not travel. The token of an answer belongs to the very bytes that the answer holds.
    async fn read_document(&self, key: &str, known: Option<&Token>) -> Result<DocumentRead>;

    /// Writes a document if it is still the one that `expected` was read from, or still absent.
    async fn swap_document(&self, key: &str, expected: Option<&Token>, bytes: &[u8]) -> Result<Swap>;

    /// Lists the documents whose key starts with `prefix`, which ends in `/`, in any order.
    ///
    /// After an [`Error::Retry`](crate::Error::Retry), the stream is polled again and then tries what failed once more, as one made with
    /// [`pages`](crate::pages) does; if it ends instead, the error is final.
    fn list_documents(&self, prefix: &str) -> LocalBoxStream<'_, Result<Listed>>;

    /// Lists the objects whose key starts with `prefix`, which is empty or ends in `/`, in any order; no documents. Errors are as in
    /// [`list_documents`](Self::list_documents).
    fn list_objects(&self, prefix: &str) -> LocalBoxStream<'_, Result<Stored>>;
}

/// What became of an attempt to create an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutNew {
    /// The object is there now, with these bytes.
    Created,
    /// The key is taken, or an object stands where a folder is needed.
    Exists,
}

/// What came of reading a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DocumentRead {
    /// There is none.
    Absent,
    /// It is still the version that the caller knows.
    Unchanged,
    /// It is this.
    Changed(Document),
}

/// A document as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Its content.
    pub bytes: Vec<u8>,
    /// The version that this content is.
    pub token: Token,
}

/// One version of a document, such as an ETag, a generation or a revision.
///
/// Two versions with different bytes never have the same token, not even if the document was deleted and created anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token(pub String);

/// What became of an attempt to swap a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Swap {
    /// The document holds the new bytes, under this token.
    Swapped(Token),
    /// Somebody else wrote it first; nothing was changed.
    Mismatch,
}

/// A document that there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its key.
    pub key: String,
    /// Its version, where the listing tells.
    pub token: Option<Token>,
}

/// An object that there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its key.
    pub key: String,
    /// Its size in bytes.
    pub size: u64,
}
