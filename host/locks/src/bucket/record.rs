//! What the objects say, and where they are.

use std::time::Duration;

use object_store::path::{Path, PathPart};
use serde::{Deserialize, Serialize};

use crate::{Holder, LockKey, Mode};

/// A record that names nobody, since it is free or has ended, is no longer than this; any other one is.
pub(super) const LONGEST_NAMELESS: u64 = 96;

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

    /// For a shared hold that is over. It names nobody, so its size tells it from one that lives.
    pub(super) fn ended() -> Self {
        Self { state: State::Ended, ..Self::free(0) }
    }

    /// Whether it was written for this hold.
    pub(super) fn is_of(&self, id: &str) -> bool {
        self.holder.as_ref().is_some_and(|holder| holder.id == id)
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
            State::Held if alone => *path == places.record(),
            State::Held => *path == places.shared(&holder.id, self.lease()),
            State::InLine => places.place_in_line(path).is_some(),
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

    pub(super) fn shared(&self, id: &str, lease: Duration) -> Path {
        self.0.clone().join("shared").join(format!("{id}.{}", lease.as_millis()))
    }

    pub(super) fn shared_by_all(&self) -> Path {
        self.0.clone().join("shared")
    }

    pub(super) fn line(&self) -> Path {
        self.0.clone().join("line")
    }

    pub(super) fn in_line(&self, number: u64, id: &str, lease: Duration) -> Path {
        self.line().join(format!("{number:016}-{id}.{}", lease.as_millis()))
    }

    /// The lease of somebody who shares the lock, if an object is such a one's.
    pub(super) fn lease_of_shared(&self, path: &Path) -> Option<Duration> {
        let name = self.name_in("shared", path)?;
        lease_in(&name).map(|(_, lease)| lease)
    }

    /// The number and the lease of a place in line, if an object is one.
    pub(super) fn place_in_line(&self, path: &Path) -> Option<(u64, Duration)> {
        let name = self.name_in("line", path)?;
        let (before, lease) = lease_in(&name)?;
        Some((before.split_once('-')?.0.parse().ok()?, lease))
    }

    fn name_in(&self, folder: &str, path: &Path) -> Option<String> {
        let mut parts = path.prefix_match(&self.0)?;
        let (first, name) = (parts.next()?, parts.next()?);
        (first.as_ref() == folder && parts.next().is_none()).then(|| name.as_ref().to_owned())
    }
}

/// Leases are in names, so that one listing says when each object in it counts as dead. A name that says none is none of ours.
fn lease_in(name: &str) -> Option<(&str, Duration)> {
    let (before, lease) = name.rsplit_once('.')?;
    Some((before, Duration::from_millis(lease.parse().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Identity;

    #[test]
    fn names_say_the_lease_and_those_of_others_say_nothing() {
        let (key, lease) = (LockKey::parse("model/a/b").unwrap(), Duration::from_secs(30));
        let places = Places::new(&Path::from("locks"), &key);
        let shared = places.shared("0123456789ab", lease);
        assert_eq!(shared.as_ref(), "locks/model/a/b/.locked/shared/0123456789ab.30000");
        assert_eq!((places.lease_of_shared(&shared), places.place_in_line(&shared)), (Some(lease), None));
        let place = places.in_line(7, "0123456789ab", lease);
        assert_eq!(place.as_ref(), "locks/model/a/b/.locked/line/0000000000000007-0123456789ab.30000");
        assert_eq!((places.lease_of_shared(&place), places.place_in_line(&place)), (None, Some((7, lease))));
        for name in
            ["", "7", "7-a", "-a.1", "7-a.", "7-a.-1", "7.1", "7-a.99999999999999999999", "x-a.1", "7-a.1/b"]
        {
            let path: Path = format!("{}/{name}", places.line()).into();
            assert_eq!(places.place_in_line(&path), None, "{name:?}");
        }
        for path in [places.record(), places.line(), places.all(), Path::from("locks"), Path::from("")] {
            assert_eq!((places.lease_of_shared(&path), places.place_in_line(&path)), (None, None), "{path}");
        }
    }

    #[test]
    fn the_size_of_a_record_tells_whether_it_names_somebody() {
        let nobody = Identity { user: String::new(), host: String::new(), pid: 0, command: String::new() };
        let key = LockKey::parse("a").unwrap();
        let size = |record: &Record| serde_json::to_vec(record).unwrap().len() as u64;
        for mode in [Mode::Shared, Mode::Exclusive] {
            let holder = Holder::new(&key, mode, &nobody, false);
            let shortest = Record::new(State::Held, 0, &holder, Duration::ZERO);
            assert!(size(&shortest) > LONGEST_NAMELESS);
        }
        for nameless in [Record::free(u64::MAX), Record::ended()] {
            assert!(size(&Record { write: u64::MAX, ..nameless }) <= LONGEST_NAMELESS);
        }
    }
}
