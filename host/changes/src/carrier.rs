use std::io;
use std::path::PathBuf;

use cap_std::fs::Dir;
use lockkeeper_names::CachePath;

use crate::apply::Applied;
use crate::cache::Cache;
use crate::conflicts::{Conflicts, Resolved};
use crate::crash;
use crate::decide::Verdict;
use crate::error::{At, CacheError, PullError};
use crate::extent::Extents;
use crate::places::{self, Kind, Place, join};
use crate::plan::Move;
use crate::records::{Entry, Update};
use crate::stat::{Clock, Stat};
use crate::sync;

/// Moves a pull's files into the cache.
///
/// A file is looked at once more right before it is replaced or deleted: if it is no longer what the plan saw, the pull ends.
pub(crate) struct Carrier<'a> {
    cache: &'a Cache,
    within: &'a Extents,
    staging: &'a Dir,
    keep_local: bool,
    conflicts: Conflicts<'a>,
    applied: &'a mut Applied,
}

impl<'a> Carrier<'a> {
    pub(crate) fn new(
        cache: &'a Cache,
        within: &'a Extents,
        staging: &'a Dir,
        state: &'a Dir,
        keep_local: bool,
        applied: &'a mut Applied,
    ) -> Self {
        Self { cache, within, staging, keep_local, conflicts: Conflicts::new(state), applied }
    }

    /// Does the deletes, then moves the files in, makes both durable, and returns what to record.
    pub(crate) fn carry_out(&mut self, deletes: &[Move], takes: &[Move]) -> Result<Vec<Update>, PullError> {
        sync::files(self.staging, takes)?;
        for delete in deletes {
            self.delete(delete)?;
        }
        for folder in by_folder(takes) {
            self.take_folder(folder)?;
        }
        sync::folders(self.cache.folder(), deletes.iter().chain(takes))?;

        let deleted = deletes.iter().map(|delete| Update { path: delete.path.clone(), entry: None });
        let mut updates: Vec<Update> = deleted.collect();
        let clock = self.cache.clock();
        clock.read();
        for folder in by_folder(takes) {
            self.record_folder(folder, &clock, &mut updates)?;
        }
        Ok(updates)
    }

    fn delete(&mut self, delete: &Move) -> Result<(), PullError> {
        let (folder, name) = split(&delete.path);
        crash::point().at("delete", delete.path.as_str())?;
        let dir = places::find(self.cache.folder(), folder)?.folder();
        let mut other = None;
        match (delete.verdict, &dir) {
            (Verdict::Delete { seen }, Some(dir)) => match stat(dir, &delete.path)? {
                Some((Kind::File, stat)) if stat == seen => {
                    dir.remove_file(name).at("delete", delete.path.as_str())?;
                    self.applied.deletions += 1;
                }
                Some(_) => return Err(PullError::Changed { path: delete.path.clone() }),
                None => {}
            },
            (Verdict::Conflict, Some(dir)) if !self.keep_local && stat(dir, &delete.path)?.is_some() => {
                other = Some(self.conflicts.keep(dir, name, delete.path.as_str())?);
                self.applied.deletions += 1;
            }
            _ => {}
        }
        if delete.verdict == Verdict::Conflict {
            self.applied.resolved.push(Resolved { path: delete.path.clone(), other });
        }
        Ok(self.prune(folder)?)
    }

    /// Removes folders that a delete left empty, up to those that were asked for.
    fn prune(&self, folder: &str) -> Result<(), CacheError> {
        let mut folder = folder;
        while self.within.has_below(folder)
            && let Some((parent, name)) = folder.rsplit_once('/')
            && let Place::Folder(dir) = places::find(self.cache.folder(), parent)?
            && dir.remove_dir(name).is_ok()
        {
            folder = parent;
        }
        Ok(())
    }

    /// Moves in the files of one folder.
    fn take_folder(&mut self, takes: &[Move]) -> Result<(), PullError> {
        let Some(first) = takes.first() else { return Ok(()) };
        let (folder, _) = split(&first.path);
        let Place::Folder(from) = places::find(self.staging, folder)? else {
            return Err(PullError::Changed { path: first.path.clone() });
        };
        let mut to = None;
        for take in takes {
            let (_, name) = split(&take.path);
            let path = take.path.as_str();
            crash::point().at("move in", path)?;
            let conflict = take.verdict == Verdict::Conflict;
            if conflict && self.keep_local {
                let other = Some(self.conflicts.keep(&from, name, path)?);
                self.applied.resolved.push(Resolved { path: take.path.clone(), other });
                continue;
            }
            let mut other = None;
            let to = match &mut to {
                Some(to) => to,
                None => to.insert(self.make_folder(folder, conflict, &take.path, &mut other)?),
            };
            self.make_room(to, take, &mut other)?;
            from.rename(name, to, name).at("move in", path)?;
            self.applied.files += 1;
            self.applied.bytes += take.staged.map_or(0, |seen| seen.stat.size);
            if conflict {
                self.applied.resolved.push(Resolved { path: take.path.clone(), other });
            }
        }
        Ok(())
    }

    /// Enters a folder of the cache, made if absent; over a conflict, what stands in its way is kept aside.
    fn make_folder(
        &mut self,
        folder: &str,
        conflict: bool,
        path: &CachePath,
        other: &mut Option<PathBuf>,
    ) -> Result<Dir, PullError> {
        let mut dir = self.cache.folder().try_clone().at("open", folder)?;
        for (at, name) in places::steps(folder) {
            if let Place::Blocked { .. } = places::enter(&dir, name).at("open", at)? {
                if !conflict {
                    return Err(PullError::Changed { path: path.clone() });
                }
                *other = Some(self.conflicts.keep(&dir, name, at)?);
            }
            dir = places::make(&dir, name).at("create the folder", at)?;
        }
        Ok(dir)
    }

    /// Makes sure that the file can be moved to its place without anything being lost.
    fn make_room(&mut self, to: &Dir, take: &Move, other: &mut Option<PathBuf>) -> Result<(), PullError> {
        let (_, name) = split(&take.path);
        match (stat(to, &take.path)?, take.verdict) {
            (None, Verdict::Take { over: None } | Verdict::Conflict) => {}
            (Some(_), Verdict::Conflict) => {
                *other = Some(self.conflicts.keep(to, name, take.path.as_str())?);
                crash::point().at("move in", take.path.as_str())?;
            }
            (Some((Kind::File, now)), Verdict::Take { over: Some(seen) }) if now == seen => {}
            (Some((Kind::Folder, _)), Verdict::Take { over: None }) => {
                remove_empty_folders(to, name, take.path.as_str())?;
            }
            _ => return Err(PullError::Changed { path: take.path.clone() }),
        }
        Ok(())
    }

    fn record_folder(
        &self,
        takes: &[Move],
        clock: &Clock<'_>,
        updates: &mut Vec<Update>,
    ) -> Result<(), CacheError> {
        let Some(first) = takes.first() else { return Ok(()) };
        let dir = places::find(self.cache.folder(), split(&first.path).0)?.folder();
        for take in takes {
            let Some(seen) = take.staged else { continue };
            let now = dir.as_ref().map(|dir| stat(dir, &take.path)).transpose()?.flatten();
            // The stat proves the content if nobody can have written to the file between its hashing and now.
            let stat = now.map(|(_, stat)| stat);
            let stat = stat.filter(|now| seen.proven && now.is_renamed(&seen.stat) && clock.proves(now));
            let entry = Some(Entry { digest: seen.digest, stat });
            updates.push(Update { path: take.path.clone(), entry });
        }
        Ok(())
    }
}

fn by_folder(moves: &[Move]) -> impl Iterator<Item = &[Move]> {
    moves.chunk_by(|a, b| split(&a.path).0 == split(&b.path).0)
}

pub(crate) fn split(path: &CachePath) -> (&str, &str) {
    let (folder, name) = path.split();
    (folder.unwrap_or_default(), name)
}

fn stat(dir: &Dir, path: &CachePath) -> Result<Option<(Kind, Stat)>, CacheError> {
    match dir.symlink_metadata(split(path).1) {
        Ok(metadata) => Ok(Some((Kind::of(metadata.file_type()), Stat::of(&metadata)))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).at("read", path.as_str()),
    }
}

/// Removes a folder that holds nothing but folders; fails if there is a file.
fn remove_empty_folders(parent: &Dir, name: &str, path: &str) -> Result<(), CacheError> {
    if let Place::Folder(dir) = places::enter(parent, name).at("open", path)? {
        for entry in dir.entries().at("read", path)? {
            let name = entry.at("read", path)?.file_name();
            let name = name.to_string_lossy();
            remove_empty_folders(&dir, &name, &join(path, &name))?;
        }
    }
    parent.remove_dir(name).at("remove the empty folder", path)
}
