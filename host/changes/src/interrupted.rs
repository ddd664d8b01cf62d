//! Marks of pulls that are being applied. One whose process is gone was interrupted.
//!
//! The mark of a pull is `.lockkeeper/interrupted/<digest of its extents>`. It holds the extents and the moves that the
//! pull is about to make, and its process keeps it locked, so that a pull at work is not taken for one that was cut off.
//!
//! The moves tell what a cut-off pull did from what the user did: a deletion that came from the remote is
//! not sent back to it, even if somebody has restored the file there since.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io::{self, Write};

use cap_std::fs::Dir;
use lockkeeper_names::{CachePath, Digest};
use serde::{Deserialize, Serialize};

use crate::cache::Cache;
use crate::error::{At, CacheError};
use crate::extent::Extents;
use crate::places::{self, Kind};
use crate::records::{self, Entry, Update};
use crate::shelf::{Local, Shelf};

const FOLDER: &str = "interrupted";

/// The moves of a pull, by path.
pub(crate) type Moves = BTreeMap<CachePath, Moved>;

/// What a pull does at one path: what was last synced there before and what is after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Moved {
    pub(crate) was: Option<Digest>,
    pub(crate) now: Option<Digest>,
}

/// The mark of a pull that is being applied by this process.
pub(crate) struct Mark {
    _locked: File,
}

/// Pulls that were cut off.
#[derive(Debug, Default)]
pub(crate) struct CutOff {
    /// The folders they may have left mixed, each with a final slash.
    pub(crate) folders: Vec<String>,
    moves: Moves,
}

#[derive(Serialize, Deserialize)]
struct Document {
    within: Vec<String>,
    moves: Moves,
}

impl Mark {
    /// Says that a pull is being applied, until [`clear`] or the process's end.
    pub(crate) fn set(state: &Dir, within: &Extents, moves: Moves) -> Result<Self, CacheError> {
        let set = || {
            let marks = places::make(state, FOLDER)?;
            let name = name(within);
            let new = format!("{name}.new");
            let mut file = places::create(&marks, &new)?.into_std();
            // A file system without locks leaves the mark unlocked: a pull at work then looks interrupted.
            let _ = file.try_lock();
            let document = Document { within: within.prefixes().to_vec(), moves };
            file.write_all(&serde_json::to_vec(&document)?)?;
            marks.rename(&new, &marks, &name)?;
            Ok(Self { _locked: file })
        };
        set().at("mark a pull in", FOLDER)
    }
}

impl CutOff {
    /// Finds the pulls that were cut off in these extents, among `roots`.
    pub(crate) fn find(state: Option<&Dir>, roots: &Extents, within: &Extents) -> Result<Self, CacheError> {
        let mut found = Self::default();
        for (_, extents, moves) in marks(state, roots)? {
            let folders =
                extents.prefixes().iter().filter(|prefix| within.touches(prefix.trim_end_matches('/')));
            found.folders.extend(folders.cloned());
            found.moves.extend(moves.into_iter().filter(|(path, _)| within.contains(path)));
        }
        found.folders = Extents::of(found.folders).prefixes().to_vec();
        Ok(found)
    }

    /// The base of a path whose record may be behind: if the file is what the pull made of it, or is gone, that is the base.
    pub(crate) fn base(
        &self,
        path: &CachePath,
        recorded: Option<Entry>,
        local: Option<Digest>,
    ) -> Option<Entry> {
        match self.moves.get(path) {
            Some(moved)
                if moved.was == recorded.map(|entry| entry.digest)
                    && (local.is_none() || local == moved.now) =>
            {
                local.map(|digest| Entry { digest, stat: None })
            }
            _ => recorded,
        }
    }
}

/// Brings the records up to what cut-off pulls did to the files. Their marks stay until the files are complete.
pub(crate) fn settle(cache: &Cache, within: &Extents) -> Result<(), CacheError> {
    let state = cache.make_base()?;
    let cut_off = CutOff::find(Some(&state), &cache.roots(), within)?;
    let (mut shelf, clock) = (Shelf::new(cache.clone())?, cache.clock());
    let mut updates = Vec::new();
    for path in cut_off.moves.keys() {
        let known = shelf.known(path, &clock)?;
        let local = match known.local {
            Local::File(seen) => Some(seen.digest),
            // Not a word about what lies behind a link.
            Local::Obstacle { kind: Kind::Symlink | Kind::Special, .. } => continue,
            Local::Absent | Local::Obstacle { .. } => None,
        };
        let entry = cut_off.base(path, known.base, local);
        if entry != known.base {
            updates.push(Update { path: path.clone(), entry });
        }
    }
    records::update(&state, updates, within)
}

/// Removes this pull's own mark and those of cut-off pulls whose extents it covers: it has put them right.
pub(crate) fn clear(state: &Dir, roots: &Extents, within: &Extents) -> Result<(), CacheError> {
    let Some(folder) = places::find(state, FOLDER)?.folder() else { return Ok(()) };
    let cut_off = marks(Some(state), roots)?.into_iter();
    let covered = cut_off.filter(|(_, extents, _)| within.cover(extents)).map(|(name, ..)| name);
    for name in covered.chain([name(within)]) {
        match folder.remove_file(&name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).at("clear the mark of a pull in", FOLDER);
            }
            _ => {}
        }
    }
    Ok(())
}

/// The marks that no living process holds: name, extents, moves.
fn marks(state: Option<&Dir>, roots: &Extents) -> Result<Vec<(String, Extents, Moves)>, CacheError> {
    let Some(state) = state else { return Ok(Vec::new()) };
    let Some(folder) = places::find(state, FOLDER)?.folder() else { return Ok(Vec::new()) };
    let mut marks = Vec::new();
    for entry in folder.entries().at("read", FOLDER)? {
        let Ok(name) = entry.at("read", FOLDER)?.file_name().into_string() else { continue };
        if Digest::parse(&name).is_err() {
            continue;
        }
        let file = match places::open_file(&folder, &name) {
            Ok(file) => file.into_std(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error).at("read", FOLDER),
        };
        if matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)) {
            continue;
        }
        marks.push(match serde_json::from_reader(io::BufReader::new(file)) {
            Ok(Document { within, moves }) => (name, Extents::of(within), moves),
            // Damaged by a power failure, it may stand for any extent.
            Err(_) => (name, roots.clone(), Moves::new()),
        });
    }
    Ok(marks)
}

fn name(within: &Extents) -> String {
    Digest::of(within.prefixes().join("\n").as_bytes()).to_string()
}
