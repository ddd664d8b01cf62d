use std::fs::File;
use std::path::{Path, PathBuf};

use cap_fs_ext::OpenOptionsFollowExt;
use cap_std::fs::{Dir, MetadataExt, OpenOptions};
use lockkeeper_names::CachePath;

use crate::cache::{Cache, STATE};
use crate::change::{SkipReason, Skipped};
use crate::error::{At, CacheError};
use crate::extent::Extents;
use crate::look::{Found, Seen, look};
use crate::places::{self, DEEPEST, Kind, join};
use crate::stat::Clock;

const FOLDER: &str = "incoming";

/// A folder of its own for the files of one pull, on the file system of the cache. Removed when dropped.
#[derive(Debug)]
pub(crate) struct Staging {
    dir: Dir,
    path: PathBuf,
    parent: Dir,
    name: String,
    _in_use: File,
}

/// A file that a pull brought.
#[derive(Debug)]
pub(crate) struct Staged {
    pub(crate) path: CachePath,
    pub(crate) seen: Seen,
}

impl Staging {
    /// Makes the folder, and removes those that killed processes left.
    ///
    /// Each process holds a shared lock while its folder is in use; whoever gets the exclusive lock knows that none is.
    pub(crate) fn make(cache: &Cache) -> Result<Self, CacheError> {
        let parent = places::make(&cache.make_state()?, FOLDER).at("create the folder", FOLDER)?;
        let mut options = OpenOptions::new();
        options.write(true).create(true).follow(cap_fs_ext::FollowSymlinks::No);
        let lock = parent.open_with("lock", &options).at("open", "incoming/lock")?.into_std();
        if lock.try_lock().is_ok() {
            for entry in parent.entries().at("read", FOLDER)?.flatten() {
                if entry.file_type().is_ok_and(|found| found.is_dir()) {
                    // What can't be removed now is left for the next pull; it is in nobody's way.
                    let _ = parent.remove_dir_all(entry.file_name());
                }
            }
            lock.unlock().at("unlock", "incoming/lock")?;
        }
        lock.lock_shared().at("lock", "incoming/lock")?;
        let (name, dir) = places::make_numbered(&parent).at("create a folder in", FOLDER)?;
        let path = cache.path().join(STATE).join(FOLDER).join(&name);
        Ok(Self { dir, path, parent, name, _in_use: lock })
    }

    pub(crate) fn dir(&self) -> &Dir {
        &self.dir
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The files that were brought below these folders, sorted, and what was found that is no file.
    pub(crate) fn files(
        &self,
        within: &Extents,
        clock: &Clock<'_>,
    ) -> Result<(Vec<Staged>, Vec<Skipped>), CacheError> {
        let mut walk = Walk { within, clock, files: Vec::new(), skipped: Vec::new() };
        walk.folder(&self.dir, "", 0)?;
        walk.files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok((walk.files, walk.skipped))
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // A leftover is removed by the next pull.
        let _ = self.parent.remove_dir_all(&self.name);
    }
}

struct Walk<'a> {
    within: &'a Extents,
    clock: &'a Clock<'a>,
    files: Vec<Staged>,
    skipped: Vec<Skipped>,
}

impl Walk<'_> {
    fn folder(&mut self, dir: &Dir, path: &str, depth: usize) -> Result<(), CacheError> {
        let mut folders = Vec::new();
        for entry in dir.entries().at("read the pulled", path)? {
            let entry = entry.at("read the pulled", path)?;
            let below = join(path, &entry.file_name().to_string_lossy());
            let Ok(name) = entry.file_name().into_string() else {
                self.skip(below, SkipReason::Name);
                continue;
            };
            match Kind::of_entry(&entry).at("read the pulled", &below)? {
                Some(Kind::Folder) => folders.push(name),
                Some(Kind::File) => self.file(dir, below)?,
                Some(kind) => self.skip(below, SkipReason::of(kind)),
                None => {}
            }
        }
        for name in folders {
            let below = join(path, &name);
            if !self.within.touches(&below) {
                continue;
            }
            if depth == DEEPEST {
                self.skip(below, SkipReason::Depth);
            } else if let Some(dir) = places::enter(dir, &name).at("open the pulled", &below)?.folder() {
                self.folder(&dir, &below, depth + 1)?;
            }
        }
        Ok(())
    }

    fn file(&mut self, dir: &Dir, path: String) -> Result<(), CacheError> {
        let Ok(path) = CachePath::parse(&path) else {
            self.skip(path, SkipReason::Name);
            return Ok(());
        };
        if !self.within.contains(&path) {
            return Ok(());
        }
        if dir.symlink_metadata(path.split().1).is_ok_and(|metadata| metadata.nlink() > 1) {
            self.skip(path.to_string(), SkipReason::HardLink);
        } else if let Found::File(seen) = look(dir, &path, None, self.clock)? {
            self.files.push(Staged { path, seen });
        }
        Ok(())
    }

    /// What lies outside is nobody's business.
    fn skip(&mut self, path: String, reason: SkipReason) {
        if self.within.touches(&path) {
            self.skipped.push(Skipped { path, reason });
        }
    }
}
