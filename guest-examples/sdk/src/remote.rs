//! What the SDK needs of a remote.

use std::io::Read;

use crate::Result;

/// A store of objects and of small documents, both under keys with `/` between their segments.
///
/// Every operation that answers "not there" does so only if the remote said exactly that; a time-out or a
/// refusal is an error. An [`Error::Retry`](crate::Error::Retry) is tried again by the SDK.
pub trait Remote {
    /// Opens an object for reading, `None` if there is none.
    ///
    /// A reader that fails half way wraps an [`Error`](crate::Error) with `io::Error::other`, or else
    /// counts as interrupted.
    fn get(&self, key: &str) -> Result<Option<Box<dyn Read + '_>>>;

    /// Creates or replaces an object at once: whoever reads it gets the old bytes or the new ones.
    ///
    /// If `body` fails or ends before `size` bytes, the object stays as it was.
    fn put(&self, key: &str, body: &mut dyn Read, size: u64) -> Result<()>;

    /// Creates an object at once, unless its key is taken. Of several that try, one succeeds.
    fn put_new(&self, key: &str, body: &mut dyn Read, size: u64) -> Result<PutNew>;

    /// Deletes an object. That there is none is no error.
    fn delete(&self, key: &str) -> Result<()>;

    /// Moves an object over another one, false if there is none at `from`.
    fn rename(&self, from: &str, to: &str, size: u64) -> Result<bool> {
        let Some(mut body) = self.get(from)? else { return Ok(false) };
        self.put(to, &mut body, size)?;
        drop(body);
        self.delete(from)?;
        Ok(true)
    }

    /// Reads a document, `None` if there is none. The token belongs to the very bytes returned.
    fn read_document(&self, key: &str) -> Result<Option<Document>>;

    /// Writes a document if it is still the one that `expected` was read from, or still absent.
    fn swap_document(&self, key: &str, expected: Option<&Token>, bytes: &[u8]) -> Result<Swap>;

    /// Lists the keys of the documents whose key starts with `prefix`, which ends in `/`, in any order.
    fn list_documents(&self, prefix: &str) -> Result<Box<dyn Iterator<Item = Result<String>> + '_>>;
}

/// What became of an attempt to create an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutNew {
    /// The object is there now, with these bytes.
    Created,
    /// The key is taken, or an object stands where a folder is needed.
    Exists,
}

/// A document as it was read.
#[derive(Clone, Debug)]
pub struct Document {
    /// Its content.
    pub bytes: Vec<u8>,
    /// The version that this content is.
    pub token: Token,
}

/// One version of a document, such as an ETag, a generation or a revision.
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
