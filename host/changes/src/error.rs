use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use lockkeeper_names::CachePath;

/// How many paths an error message names before it only counts the rest.
const NAMED: usize = 10;

/// Why the cache could not be read or written. Paths are relative to the cache folder.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The operating system refused.
    #[error("cannot {doing} `{}`", path.display())]
    Io {
        /// What was tried, as a verb.
        doing: &'static str,
        /// The file or folder it was tried on.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file changed each time it was read, so its content has no digest.
    #[error("`{path}` kept changing while it was read; try again when nothing writes to it")]
    Unsettled {
        /// The file.
        path: CachePath,
    },
}

/// Why a pull was not applied.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// These files changed here and in the remote since the last sync. Nothing was changed.
    #[error("changed both here and in the remote since the last sync: {}", Listed(paths))]
    Conflict {
        /// The files, sorted.
        paths: Vec<CachePath>,
    },
    /// A local file changed while the pull was being applied. The pull counts as interrupted; pull again.
    #[error("`{path}` changed while the pull was being applied; pull again")]
    Changed {
        /// The file.
        path: CachePath,
    },
    /// The cache could not be read or written. If files were already moved, the pull counts as interrupted.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

struct Listed<'a>(&'a [CachePath]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, path) in self.0.iter().take(NAMED).enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}`{}`", path.as_str().escape_debug())?;
        }
        match self.0.len().saturating_sub(NAMED) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// Names the file that an I/O error happened at.
pub(crate) trait At<T> {
    fn at(self, doing: &'static str, path: impl AsRef<Path>) -> Result<T, CacheError>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, doing: &'static str, path: impl AsRef<Path>) -> Result<T, CacheError> {
        self.map_err(|source| CacheError::Io { doing, path: path.as_ref().to_owned(), source })
    }
}
