use std::fmt;

use lockkeeper_names::{CachePath, Digest};

use crate::extent::Extents;
use crate::places::Kind;
use crate::records::{DamagedRecord, Update};

/// One difference between the cache and what was last synced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The file has content that was not synced.
    Written {
        /// The file.
        path: CachePath,
        /// Its size in bytes.
        size: u64,
        /// Its content now.
        digest: Digest,
        /// The content last synced, absent if the path never was.
        base: Option<Digest>,
    },
    /// The file was synced and is gone.
    Deleted {
        /// The file.
        path: CachePath,
        /// The content last synced.
        base: Digest,
    },
}

impl Change {
    /// The file that changed.
    pub fn path(&self) -> &CachePath {
        match self {
            Self::Written { path, .. } | Self::Deleted { path, .. } => path,
        }
    }
}

/// Why something below a root is not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SkipReason {
    /// A symlink, which is never followed.
    Symlink,
    /// A socket, pipe or device.
    Special,
    /// A name that is not valid UTF-8.
    Name,
    /// A folder below more than a hundred others.
    Depth,
    /// A file with several names in a pull: edits of one would show in the other.
    HardLink,
}

impl SkipReason {
    /// Why something that is neither a file nor a folder is skipped.
    pub(crate) fn of(kind: Kind) -> Self {
        if kind == Kind::Symlink { Self::Symlink } else { Self::Special }
    }
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Symlink => "is a symlink",
            Self::Special => "is a socket, pipe or device",
            Self::Name => "has a name that is not valid UTF-8",
            Self::Depth => "lies too deep",
            Self::HardLink => "has several names",
        })
    }
}

/// Something that is not synced and was left alone. If it stands where a synced file or folder was, that does not count as deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Its path; bytes that are not UTF-8 are replaced.
    pub path: String,
    /// Why.
    pub reason: SkipReason,
}

/// What changed in some extents since they were last synced.
#[derive(Debug, Default)]
pub struct Scan {
    /// The changes, sorted by path.
    pub changes: Vec<Change>,
    /// What is not synced.
    pub skipped: Vec<Skipped>,
    /// The folders whose record can't be read.
    pub damaged: Vec<DamagedRecord>,
    /// The folders, each with a final slash, in which a pull was cut off: they may hold old and new files side by side.
    /// The next pull of each clears it.
    pub interrupted: Vec<String>,
    /// What becomes the base when the changes are pushed, and proofs of unchanged files found by hashing.
    pub(crate) updates: Vec<Update>,
    pub(crate) within: Extents,
}
