//! The keys of a line, and what their order says.

use etcd_client::KeyValue;
use serde::{Deserialize, Serialize};

use crate::{Holder, LockKey, Mode};

/// The line for one lock.
pub(super) struct Line(String);

impl Line {
    pub(super) fn new(prefix: &str, key: &LockKey) -> Self {
        Self(format!("{prefix}{key}//"))
    }

    /// What the keys of all in line begin with.
    pub(super) fn everyone(&self) -> Vec<u8> {
        self.0.clone().into()
    }

    /// What the keys of those begin with who joined a holder.
    pub(super) fn joined(&self) -> Vec<u8> {
        format!("{}j-", self.0).into()
    }

    /// Where a place in line is.
    pub(super) fn place(&self, rank: Rank, id: &str) -> Vec<u8> {
        format!("{}{}-{id}", self.0, rank.letter()).into()
    }

    /// The keys that can be in the way of one who comes later, as a range: all but those who joined.
    pub(super) fn in_the_way_of(&self, mode: Mode) -> (Vec<u8>, Vec<u8>) {
        let first = match mode {
            Mode::Exclusive => 's',
            Mode::Shared => 'x',
        };
        (format!("{}{first}", self.0).into(), format!("{}y", self.0).into())
    }
}

/// In which of its three ways somebody stands in line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rank {
    Alone,
    Shared,
    Joined,
}

impl Rank {
    fn letter(self) -> char {
        match self {
            Self::Alone => 'x',
            Self::Shared => 's',
            Self::Joined => 'j',
        }
    }
}

impl From<Mode> for Rank {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Exclusive => Self::Alone,
            Mode::Shared => Self::Shared,
        }
    }
}

/// The value of a key in line.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Record {
    #[serde(flatten)]
    pub(super) holder: Holder,
    /// The length of its lease, in milliseconds.
    pub(super) lease_ms: u64,
    /// Whether somebody has asked it to stop.
    #[serde(default)]
    pub(super) released: bool,
}

/// Somebody in line.
pub(super) struct Member {
    pub(super) holder: Holder,
    pub(super) place: Vec<u8>,
    pub(super) rank: Rank,
    pub(super) created: i64,
    pub(super) modified: i64,
    pub(super) record: Option<Record>,
}

/// Reads keys, and works out who holds and who waits. Sorted by lock, holders first, in the order of the line.
pub(super) fn members(prefix: &str, keys: &[KeyValue]) -> Vec<Member> {
    let mut members: Vec<Member> = keys.iter().filter_map(|key| member(prefix, key)).collect();
    members.sort_by(|a, b| (&a.holder.key, a.created).cmp(&(&b.holder.key, b.created)));
    let mut before: Option<&LockKey> = None;
    let (mut first, mut alone_before) = (true, false);
    let waiting: Vec<bool> = members
        .iter()
        .map(|member| {
            if before != Some(&member.holder.key) {
                (first, alone_before) = (true, false);
                before = Some(&member.holder.key);
            }
            match member.rank {
                Rank::Joined => false,
                Rank::Shared => {
                    first = false;
                    alone_before
                }
                Rank::Alone => {
                    let waits = !first;
                    (first, alone_before) = (false, true);
                    waits
                }
            }
        })
        .collect();
    for (member, waiting) in members.iter_mut().zip(waiting) {
        member.holder.waiting = waiting;
    }
    members.sort_by(|a, b| (&a.holder.key, a.holder.waiting).cmp(&(&b.holder.key, b.holder.waiting)));
    members
}

fn member(prefix: &str, key: &KeyValue) -> Option<Member> {
    let (lock, place) = key.key_str().ok()?.strip_prefix(prefix)?.split_once("//")?;
    let lock = LockKey::parse(lock).ok()?;
    let (letter, id) = place.split_once('-')?;
    let rank = [Rank::Alone, Rank::Shared, Rank::Joined]
        .into_iter()
        .find(|rank| letter == rank.letter().to_string())?;
    let mode = if rank == Rank::Alone { Mode::Exclusive } else { Mode::Shared };
    let record: Option<Record> = serde_json::from_slice(key.value()).ok();
    let holder = record.as_ref().map_or_else(|| Holder::unknown(&lock, id), |record| record.holder.clone());
    Some(Member {
        // What the key says is certain.
        holder: Holder { id: id.to_owned(), key: lock, mode, ..holder },
        place: key.key().to_vec(),
        rank,
        created: key.create_revision(),
        modified: key.mod_revision(),
        record,
    })
}
