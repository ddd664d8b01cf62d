use crate::cache::Cache;
use crate::error::CacheError;
use crate::look::{Found, Seen, look};
use crate::places::{self, Place};
use crate::records::{self, Entry, Record};
use crate::stat::{Clock, Stat};

use cap_std::fs::Dir;
use lockkeeper_names::CachePath;

/// Looks up single paths, with the folders on the way to the last one kept open.
///
/// Paths that come sorted read each folder once; memory follows the depth, not the number of files.
#[derive(Debug)]
pub(crate) struct Shelf {
    cache: Cache,
    state: Option<Dir>,
    open: Vec<Level>,
}

#[derive(Debug)]
struct Level {
    folder: String,
    place: Place,
    record: Record,
}

/// What is known of one path.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) base: Option<Entry>,
    pub(crate) local: Local,
}

/// What the cache holds at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Local {
    Absent,
    File(Seen),
    /// Something else is in the way, here or at a parent: a folder, a symlink, a file where a folder should be.
    Obstacle {
        at: String,
        kind: places::Kind,
    },
}

impl Shelf {
    pub(crate) fn new(cache: Cache) -> Result<Self, CacheError> {
        let state = cache.base()?;
        Ok(Self { cache, state, open: Vec::new() })
    }

    /// What was last synced at a path.
    pub(crate) fn base(&mut self, path: &CachePath) -> Result<Option<Entry>, CacheError> {
        let (_, name) = path.split();
        Ok(self.level(path)?.record.get(name).copied())
    }

    /// What was last synced at a path and what is there now; hashes the file if need be.
    pub(crate) fn known(&mut self, path: &CachePath, clock: &Clock<'_>) -> Result<Known, CacheError> {
        let (_, name) = path.split();
        let level = self.level(path)?;
        let base = level.record.get(name).copied();
        let local = match &level.place {
            Place::Absent => Local::Absent,
            Place::Blocked { at, kind } => Local::Obstacle { at: at.clone(), kind: *kind },
            Place::Folder(dir) => match look(dir, path, base.as_ref(), clock)? {
                Found::Absent => Local::Absent,
                Found::File(seen) => Local::File(seen),
                Found::Other(kind) => Local::Obstacle { at: path.to_string(), kind },
            },
        };
        Ok(Known { base, local })
    }

    /// Whether the file's stat alone proves that it is what was last synced.
    pub(crate) fn is_untouched(&mut self, path: &CachePath) -> bool {
        let (_, name) = path.split();
        let Ok(level) = self.level(path) else { return false };
        let (Place::Folder(dir), Some(entry)) = (&level.place, level.record.get(name)) else { return false };
        entry.stat.is_some() && entry.stat == dir.symlink_metadata(name).ok().map(|now| Stat::of(&now))
    }

    fn level(&mut self, path: &CachePath) -> Result<&Level, CacheError> {
        let folder = path.split().0.unwrap_or_default();
        self.open.retain(|level| is_at_or_above(&level.folder, folder));
        let level = match self.open.pop_if(|level| level.folder == folder) {
            Some(level) => level,
            None => Level {
                folder: folder.to_owned(),
                place: places::find(self.cache.folder(), folder)?,
                record: records::find(self.state.as_ref(), folder)?,
            },
        };
        Ok(self.open.push_mut(level))
    }
}

fn is_at_or_above(upper: &str, folder: &str) -> bool {
    folder.strip_prefix(upper).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
