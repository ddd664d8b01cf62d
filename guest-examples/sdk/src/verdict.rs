//! Judging one change against the index.

use crate::Change;
use crate::shard::Shard;

/// What to do about a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The remote holds what it was based on: carry it out.
    Send,
    /// The remote is as it wants it.
    Done,
    /// The remote was changed by somebody else.
    Conflict,
}

impl Change {
    /// Its path in the cache.
    pub fn path(&self) -> &str {
        match self {
            Self::Written(file) => &file.path,
            Self::Deleted(file) => &file.path,
        }
    }
}

pub(crate) fn judge(shard: &Shard, change: &Change) -> Verdict {
    let held = shard.files.get(change.path()).map(|entry| entry.digest.as_str());
    match (change, held) {
        (Change::Written(file), Some(held)) if held == file.digest => Verdict::Done,
        (Change::Written(file), Some(held)) if file.base.as_deref() == Some(held) => Verdict::Send,
        // Deleted there, edited here. A file that was never synced is one created anew.
        (Change::Written(file), None) if file.base.is_some() && shard.deleted.contains_key(&file.path) => {
            Verdict::Conflict
        }
        (Change::Written(_), None) => Verdict::Send,
        (Change::Deleted(_), None) => Verdict::Done,
        (Change::Deleted(file), Some(held)) if held == file.base => Verdict::Send,
        (_, Some(_)) => Verdict::Conflict,
    }
}
