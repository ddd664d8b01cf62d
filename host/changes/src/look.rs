use std::io;

use cap_std::fs::Dir;
use lockkeeper_names::{CachePath, Digest};

use crate::crash;
use crate::error::{At, CacheError};
use crate::places::{self, Kind};
use crate::records::Entry;
use crate::stat::{Clock, Stat};

/// How often a file is hashed again because it changed meanwhile.
const ATTEMPTS: usize = 5;

/// What stands at a file's path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    Absent,
    File(Seen),
    Other(Kind),
}

/// A file's content, and the stat it had then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) digest: Digest,
    pub(crate) stat: Stat,
    /// Whether the same stat, seen again later, proves the same content.
    pub(crate) proven: bool,
}

impl Seen {
    /// The record entry that says: this content is the base.
    pub(crate) fn entry(&self) -> Entry {
        Entry { digest: self.digest, stat: self.proven.then_some(self.stat) }
    }
}

/// Finds out a file's content, from its record if the stat proves it, by hashing otherwise.
pub(crate) fn look(
    dir: &Dir,
    path: &CachePath,
    entry: Option<&Entry>,
    clock: &Clock<'_>,
) -> Result<Found, CacheError> {
    let (_, name) = path.split();
    for _ in 0..ATTEMPTS {
        let before = match dir.symlink_metadata(name) {
            Ok(metadata) if metadata.is_file() => Stat::of(&metadata),
            Ok(metadata) => return Ok(Found::Other(Kind::of(metadata.file_type()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Absent),
            Err(error) => return Err(error).at("read", path.as_str()),
        };
        if let Some(entry) = entry.filter(|entry| entry.stat == Some(before)) {
            return Ok(Found::File(Seen { digest: entry.digest, stat: before, proven: true }));
        }
        clock.read();
        match hash(dir, name) {
            Ok((digest, after)) if after == before => {
                return Ok(Found::File(Seen { digest, stat: after, proven: clock.proves(&after) }));
            }
            Ok(_) => {}
            // Gone or replaced since: look again.
            Err(error) if dir.symlink_metadata(name).is_ok_and(|now| Stat::of(&now) == before) => {
                return Err(error).at("read", path.as_str());
            }
            Err(_) => {}
        }
    }
    Err(CacheError::Unsettled { path: path.clone() })
}

/// Hashes a file; the stat is the one after the last byte was read.
fn hash(dir: &Dir, name: &str) -> io::Result<(Digest, Stat)> {
    let mut file = places::open_file(dir, name)?;
    let digest = Digest::of_reader(&mut file)?;
    crash::point()?;
    Ok((digest, Stat::of(&file.metadata()?)))
}
