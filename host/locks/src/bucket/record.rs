//! What the objects say, and where they are.

use std::time::Duration;

use object_store::path::{Path, PathPart};
use serde::{Deserialize, Serialize};

use crate::{Holder, LockKey, Mode};

/// A free record is no longer than this, any other one is.
pub(super) const LONGEST_FREE: u64 = 96;

/// What the holder of an object is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum State {
    /// Nobody has it; the record keeps the number.
    Free,
    /// Somebody is the next to have it alone, and waits for those who share it.
    Claimed,
    /// Somebody has it.
    Held,
    /// Somebody waits in line.
    InLine,
    /// It has ended, and can be deleted.
    Ended,
}

/// The content of an object. No two are ever equal, so neither are their entity tags.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) state: State,
    /// How often somebody had or tried to have the lock alone.
    pub(super) number: u64,
    /// A random number, new in each write.
    pub(super) write: u64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) released: bool,
    /// The length of its lease, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) lease_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) holder: Option<Holder>,
}

impl Record {
    pub(super) fn new(state: State, number: u64, holder: &Holder, lease: Duration) -> Self {
        let lease_ms = u64::try_from(lease.as_millis()).ok();
        Self { state, number, write: 0, released: false, lease_ms, holder: Some(holder.clone()) }
    }

    pub(super) fn free(number: u64) -> Self {
        Self { state: State::Free, number, write: 0, released: false, lease_ms: None, holder: None }
    }

    pub(super) fn lease(&self) -> Duration {
        Duration::from_millis(self.lease_ms.unwrap_or(0))
    }

    /// In which order records are listed: by lock, holders first.
    pub(super) fn rank(&self) -> (Option<LockKey>, bool, String) {
        let holder = self.holder.as_ref();
        let since = holder.map(|holder| format!("{} {}", holder.since, holder.id)).unwrap_or_default();
        (holder.map(|holder| holder.key.clone()), self.is_waiting(), since)
    }

    fn is_waiting(&self) -> bool {
        matches!(self.state, State::Claimed | State::InLine)
    }

    /// Who has or wants the lock, if somebody does.
    pub(super) fn into_holder(self) -> Option<Holder> {
        let waiting = self.is_waiting();
        if matches!(self.state, State::Free | State::Ended) {
            return None;
        }
        self.holder.map(|holder| Holder { waiting, ..holder })
    }

    /// Whether a record is where it belongs; what is written elsewhere isn't believed.
    pub(super) fn is_at(&self, prefix: &Path, path: &Path) -> bool {
        let Some(holder) = &self.holder else { return false };
        let places = Places::new(prefix, &holder.key);
        let alone = holder.mode == Mode::Exclusive;
        match self.state {
            State::Free | State::Ended => false,
            State::Claimed => alone && *path == places.record(),
            State::Held => *path == if alone { places.record() } else { places.shared(&holder.id) },
            State::InLine => path.prefix_matches(&places.line()),
        }
    }
}

/// Where the objects of one lock are.
pub(super) struct Places(Path);

impl Places {
    pub(super) fn new(prefix: &Path, key: &LockKey) -> Self {
        // A segment of a key can't begin with a dot.
        let parts =
            prefix.parts().chain(key.segments().map(PathPart::from)).chain([PathPart::from(".locked")]);
        Self(parts.collect())
    }

    /// All objects of this lock.
    pub(super) fn all(&self) -> Path {
        self.0.clone()
    }

    /// All objects of this lock, and of those whose keys continue its own.
    pub(super) fn all_below(&self) -> Path {
        let mut parts: Vec<_> = self.0.parts().map(|part| part.as_ref().to_owned()).collect();
        parts.pop();
        parts.into_iter().collect()
    }

    /// Whether an object is the record of a lock whose key continues this one's.
    pub(super) fn is_nested_record(&self, path: &Path) -> bool {
        path.prefix_matches(&self.all_below())
            && !path.prefix_matches(&self.0)
            && path.filename() == Some("record")
    }

    pub(super) fn record(&self) -> Path {
        self.0.clone().join("record")
    }

    pub(super) fn shared(&self, id: &str) -> Path {
        self.0.clone().join("shared").join(id)
    }

    pub(super) fn shared_by_all(&self) -> Path {
        self.0.clone().join("shared")
    }

    pub(super) fn line(&self) -> Path {
        self.0.clone().join("line")
    }

    pub(super) fn in_line(&self, number: u64, id: &str) -> Path {
        self.line().join(format!("{number:016}-{id}"))
    }
}

/// The number of a place in line, if it is one.
pub(super) fn number_in_line(path: &Path) -> Option<u64> {
    path.filename()?.split_once('-')?.0.parse().ok()
}
