//! The documents that were seen last, in the folder that the host keeps for that.
//!
//! A mirrored document saves the way of its bytes, and nothing more: it counts only if the remote says that the document
//! still has the token that it was read with. So it may be old, damaged or gone.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{Document, Host, Level, Token};

/// The documents that one scope has seen.
pub(crate) struct Mirror<'a> {
    host: &'a dyn Host,
    folder: PathBuf,
}

/// What stands before a document's bytes, on a line of its own.
#[derive(Serialize, Deserialize)]
struct Header {
    key: String,
    token: String,
    /// The hash of the bytes.
    hash: String,
}

impl<'a> Mirror<'a> {
    pub(crate) fn new(host: &'a dyn Host) -> Self {
        Self { host, folder: host.state().join("mirror") }
    }

    /// A document as it was when it was seen last.
    pub(crate) fn read(&self, key: &str) -> Option<Document> {
        let content = fs::read(self.file(key)).ok()?;
        let end = content.iter().position(|byte| *byte == b'\n')?;
        let (header, bytes) = (content.get(..end)?, content.get(end + 1..)?);
        let header: Header = serde_json::from_slice(header).ok()?;
        let whole = header.key == key && header.hash == blake3::hash(bytes).to_hex().as_str();
        whole.then(|| Document { bytes: bytes.to_vec(), token: Token(header.token) })
    }

    /// Keeps a document. If that is not possible, it is read again next time.
    pub(crate) fn write(&self, key: &str, token: &Token, bytes: &[u8]) {
        if let Err(error) = self.try_write(key, token, bytes) {
            self.host.log(Level::Debug, &format!("can't keep {key} for the next call: {error}"));
            self.forget(key);
        }
    }

    fn try_write(&self, key: &str, token: &Token, bytes: &[u8]) -> io::Result<()> {
        let hash = blake3::hash(bytes).to_hex().to_string();
        let header = Header { key: key.to_owned(), token: token.0.clone(), hash };
        let mut content = serde_json::to_vec(&header)?;
        content.push(b'\n');
        content.extend_from_slice(bytes);
        fs::create_dir_all(&self.folder)?;
        let unfinished = self.file(key).with_extension("new");
        fs::write(&unfinished, content)?;
        fs::rename(unfinished, self.file(key))
    }

    /// Forgets a document.
    pub(crate) fn forget(&self, key: &str) {
        // One that stays is asked about next time, and found to be old.
        let _ = fs::remove_file(self.file(key));
    }

    fn file(&self, key: &str) -> PathBuf {
        self.folder.join(Path::new(blake3::hash(key.as_bytes()).to_hex().as_str()))
    }
}
