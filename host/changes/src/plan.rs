use std::collections::{BTreeMap, BTreeSet};

use cap_std::fs::Dir;
use lockkeeper_names::{CachePath, Digest};

use crate::cache::Cache;
use crate::change::Skipped;
use crate::decide::{Verdict, decide};
use crate::error::{At, CacheError};
use crate::extent::Extents;
use crate::interrupted::{Moved, Moves};
use crate::look::Seen;
use crate::places::{self, DEEPEST, Kind, Place, join};
use crate::records::{Entry, Update};
use crate::shelf::{Known, Local, Shelf};
use crate::staging::Staging;

/// All that a pull will do, decided before anything is done.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Deletes and conflicts over deletes, sorted.
    pub(crate) deletes: Vec<Move>,
    /// Files to move in and conflicts over them, sorted.
    pub(crate) takes: Vec<Move>,
    /// What changes in the record alone.
    pub(crate) updates: Vec<Update>,
    /// How many of those the remote and the cache came to hold independently of each other.
    pub(crate) adopted: u64,
    /// Local work that the remote has no news of.
    pub(crate) kept: Vec<CachePath>,
    pub(crate) skipped: Vec<Skipped>,
}

/// A path where the disk changes.
#[derive(Debug)]
pub(crate) struct Move {
    pub(crate) path: CachePath,
    pub(crate) verdict: Verdict,
    pub(crate) base: Option<Digest>,
    /// The file that was brought, none for a delete.
    pub(crate) staged: Option<Seen>,
}

impl Plan {
    /// Decides about the files that were brought, those that need not be, and those that the remote deleted.
    pub(crate) fn make(
        cache: &Cache,
        within: &Extents,
        staging: &Staging,
        offered: BTreeMap<CachePath, Digest>,
        deleted: BTreeSet<CachePath>,
    ) -> Result<Self, CacheError> {
        let clock = cache.clock();
        let (files, skipped) = staging.files(within, &clock)?;
        let brought: BTreeSet<&CachePath> = files.iter().map(|file| &file.path).collect();
        let mut plan = Self { skipped, ..Self::default() };

        let mut shelf = Shelf::new(cache.clone())?;
        // A path that is both brought and deleted exists: a file too many is better than one too few.
        for path in deleted.iter().filter(|path| !brought.contains(path) && !offered.contains_key(path)) {
            let known = shelf.known(path, &clock)?;
            plan.add(path, known, None, None);
        }

        let mut shelf = Shelf::new(cache.clone())?;
        for (path, digest) in offered.iter().filter(|(path, _)| !brought.contains(path)) {
            let known = shelf.known(path, &clock)?;
            plan.add_offered(path, known, *digest);
        }

        let gone: BTreeSet<CachePath> = plan.deleted().cloned().collect();
        let mut shelf = Shelf::new(cache.clone())?;
        for file in &files {
            let mut known = shelf.known(&file.path, &clock)?;
            if makes_way(cache.folder(), &known.local, &gone)? {
                known.local = Local::Absent;
            }
            plan.add(&file.path, known, Some(file.seen.digest), Some(file.seen));
        }
        plan.kept.sort();
        Ok(plan)
    }

    /// The paths that both sides changed, sorted.
    pub(crate) fn conflicts(&self) -> Vec<CachePath> {
        let moves = self.deletes.iter().chain(&self.takes);
        let conflicts = moves.filter(|step| step.verdict == Verdict::Conflict);
        let mut paths: Vec<_> = conflicts.map(|step| step.path.clone()).collect();
        paths.sort();
        paths
    }

    /// What the moves do, for the mark.
    pub(crate) fn moves(&self) -> Moves {
        let moves = self.deletes.iter().chain(&self.takes);
        let moved = |step: &Move| Moved { was: step.base, now: step.staged.map(|seen| seen.digest) };
        moves.map(|step| (step.path.clone(), moved(step))).collect()
    }

    fn deleted(&self) -> impl Iterator<Item = &CachePath> {
        let deletes = self.deletes.iter().filter(|step| matches!(step.verdict, Verdict::Delete { .. }));
        deletes.map(|step| &step.path)
    }

    fn add(&mut self, path: &CachePath, known: Known, remote: Option<Digest>, staged: Option<Seen>) {
        let verdict = decide(&known.local, known.base.as_ref(), remote);
        match verdict {
            Verdict::Agree => self.agree(path, known, remote),
            Verdict::Keep => self.kept.push(path.clone()),
            _ => {
                let base = known.base.map(|entry| entry.digest);
                let step = Move { path: path.clone(), verdict, base, staged };
                if remote.is_some() { self.takes.push(step) } else { self.deletes.push(step) }
            }
        }
    }

    fn add_offered(&mut self, path: &CachePath, known: Known, remote: Digest) {
        match decide(&known.local, known.base.as_ref(), Some(remote)) {
            Verdict::Agree => self.agree(path, known, Some(remote)),
            Verdict::Keep => self.kept.push(path.clone()),
            // The cache held the remote's content when it was offered and was written to since: work on top of it.
            _ => {
                let entry = Some(Entry { digest: remote, stat: None });
                self.updates.push(Update { path: path.clone(), entry });
                self.kept.push(path.clone());
            }
        }
    }

    fn agree(&mut self, path: &CachePath, known: Known, remote: Option<Digest>) {
        let entry = match known.local {
            Local::File(seen) if remote.is_some() => Some(seen.entry()),
            _ => None,
        };
        if known.base.map(|entry| entry.digest) != remote {
            self.adopted += 1;
        }
        if known.base != entry {
            self.updates.push(Update { path: path.clone(), entry });
        }
    }
}

/// Whether what is in the way goes with this pull's deletes: a file that is deleted, a folder with nothing else in it.
fn makes_way(cache: &Dir, local: &Local, gone: &BTreeSet<CachePath>) -> Result<bool, CacheError> {
    match local {
        Local::Obstacle { at, kind: Kind::File } => Ok(is_gone(at, gone)),
        Local::Obstacle { at, kind: Kind::Folder } => match places::find(cache, at)? {
            Place::Folder(dir) => is_vacated(&dir, at, gone, 0),
            _ => Ok(false),
        },
        _ => Ok(false),
    }
}

fn is_vacated(dir: &Dir, path: &str, gone: &BTreeSet<CachePath>, depth: usize) -> Result<bool, CacheError> {
    for entry in dir.entries().at("read", path)? {
        let entry = entry.at("read", path)?;
        let Ok(name) = entry.file_name().into_string() else { return Ok(false) };
        let below = join(path, &name);
        let vacated = match Kind::of_entry(&entry).at("read", &below)? {
            None => true,
            Some(Kind::File) => is_gone(&below, gone),
            Some(Kind::Folder) if depth < DEEPEST => match places::enter(dir, &name).at("open", &below)? {
                Place::Folder(dir) => is_vacated(&dir, &below, gone, depth + 1)?,
                _ => false,
            },
            Some(_) => false,
        };
        if !vacated {
            return Ok(false);
        }
    }
    Ok(true)
}

fn is_gone(path: &str, gone: &BTreeSet<CachePath>) -> bool {
    CachePath::parse(path).is_ok_and(|path| gone.contains(&path))
}
