use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use lockkeeper_names::{CachePath, Digest, Scope};

use crate::apply::{self, Applied, OnConflict};
use crate::cache::Cache;
use crate::error::{CacheError, PullError};
use crate::extent::Extents;
use crate::interrupted;
use crate::places;
use crate::plan::Plan;
use crate::shelf::{Local, Shelf};
use crate::staging::Staging;

/// A pull that has not been applied. Dropped, it leaves the cache as it was.
#[derive(Debug)]
pub struct Incoming {
    cache: Cache,
    within: Extents,
    staging: Staging,
    said: Mutex<Said>,
}

/// What the remote said beside the files it sent.
#[derive(Debug)]
struct Said {
    shelf: Shelf,
    /// Files that need not be brought, but whose record or local work is worth a look when the pull is applied.
    offered: BTreeMap<CachePath, Digest>,
    deleted: BTreeSet<CachePath>,
}

impl Incoming {
    pub(crate) fn begin(cache: Cache, within: Extents) -> Result<Self, CacheError> {
        let staging = Staging::make(&cache)?;
        interrupted::settle(&cache, &within)?;
        let said =
            Said { shelf: Shelf::new(cache.clone())?, offered: BTreeMap::new(), deleted: BTreeSet::new() };
        Ok(Self { cache, within, staging, said: Mutex::new(said) })
    }

    /// The staging folder, which stands for the whole cache: a file `data/a` goes to `data/a` below it.
    pub fn folder(&self) -> &Path {
        self.staging.path()
    }

    /// The folder below [`folder`](Self::folder) that stands for a scope, made if it is absent.
    pub fn scope_folder(&self, scope: &Scope) -> Result<PathBuf, CacheError> {
        places::make_all(self.staging.dir(), scope.folder())?;
        Ok(self.folder().join(scope.folder()))
    }

    /// Whether the remote's file is needed: not if it is outside the pull, if it is what was last synced
    /// (then the remote has nothing new, whatever happened here), or if the cache holds exactly this content.
    pub fn wants(&self, path: &str, digest: &str) -> bool {
        let (Some(path), Ok(digest)) = (self.ours(path), Digest::parse(digest)) else { return false };
        let mut said = self.said();
        let Ok(base) = said.shelf.base(&path) else {
            // Whatever is wrong is reported, with the file's name, when the pull is applied.
            return true;
        };
        let nothing_new = base.is_some_and(|base| base.digest == digest);
        let offered = if nothing_new {
            !said.shelf.is_untouched(&path)
        } else {
            let known = said.shelf.known(&path, &self.cache.clock());
            known.is_ok_and(|known| matches!(known.local, Local::File(seen) if seen.digest == digest))
        };
        if offered {
            said.offered.insert(path, digest);
        }
        !(offered || nothing_new)
    }

    /// Notes that the remote deleted the file. True if this repository has synced it, so that the deletion concerns it.
    pub fn delete(&self, path: &str) -> bool {
        let Some(path) = self.ours(path) else { return false };
        let mut said = self.said();
        let known = said.shelf.base(&path).is_ok_and(|base| base.is_some());
        if known {
            said.deleted.insert(path);
        }
        known
    }

    /// Moves what was brought into the cache: all of it, or with [`OnConflict::Stop`] and a conflict, nothing.
    ///
    /// Cut off at any instant, it leaves whole files, old or new, and a mark that [`Scan::interrupted`](crate::Scan) shows;
    /// the same pull done again completes it.
    pub fn apply(self, on_conflict: OnConflict) -> Result<Applied, PullError> {
        let Self { cache, within, staging, said } = self;
        let Said { offered, deleted, .. } = said.into_inner().unwrap_or_else(PoisonError::into_inner);
        let plan = Plan::make(&cache, &within, &staging, offered, deleted)?;
        apply::apply(&cache, &within, &staging, plan, on_conflict)
    }

    fn ours(&self, path: &str) -> Option<CachePath> {
        CachePath::parse(path).ok().filter(|path| self.within.contains(path))
    }

    fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
