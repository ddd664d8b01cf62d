use lockkeeper_changes::Applied;
use lockkeeper_names::CachePath;

use crate::report::Settled;

/// What one push or pull of a command moved.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transfer {
    /// Files sent, or moved into the cache.
    pub files: u64,
    /// Bytes of their content.
    pub bytes: u64,
    /// Files deleted in the remote, or in the cache.
    pub deletions: u64,
    /// Local work that a pull left alone, since it was not pushed yet.
    pub kept: Vec<CachePath>,
    /// Conflicts that were settled.
    pub settled: Vec<Settled>,
}

impl Transfer {
    pub(super) fn add(&mut self, other: Self) {
        self.files += other.files;
        self.bytes += other.bytes;
        self.deletions += other.deletions;
        self.kept.extend(other.kept);
        self.settled.extend(other.settled);
    }
}

impl From<Applied> for Transfer {
    fn from(applied: Applied) -> Self {
        Self {
            files: applied.files,
            bytes: applied.bytes,
            deletions: applied.deletions,
            kept: applied.kept,
            settled: applied
                .resolved
                .into_iter()
                .map(|it| Settled { path: it.path, other: it.other })
                .collect(),
        }
    }
}
