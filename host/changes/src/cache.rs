use std::path::{Path, PathBuf};
use std::sync::Arc;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use lockkeeper_names::Root;

use crate::change::Scan;
use crate::error::{At, CacheError};
use crate::extent::{Extent, Extents};
use crate::incoming::Incoming;
use crate::places;
use crate::records;
use crate::scan;
use crate::stat::Clock;

/// The folder of the cache that holds the host's own state. Roots don't begin with a dot, so it is never synced.
pub(crate) const STATE: &str = ".lockkeeper";

/// The folder in there that holds what is known about each remote.
const REMOTES: &str = "remotes";

/// A repository's local copy of the data, and what it last synced with one remote.
#[derive(Debug, Clone)]
pub struct Cache {
    path: PathBuf,
    remote: String,
    folder: Arc<Dir>,
    roots: Arc<[Root]>,
}

impl Cache {
    /// Opens the cache in an existing folder, for a remote that is known by this name here, one folder name.
    ///
    /// Each remote has a base of its own: what was synced with one says nothing about another.
    pub fn open(path: &Path, remote: &str, roots: Vec<Root>) -> Result<Self, CacheError> {
        let folder = Dir::open_ambient_dir(path, ambient_authority()).at("open the cache", path)?;
        Ok(Self {
            path: path.to_owned(),
            remote: remote.to_owned(),
            folder: Arc::new(folder),
            roots: roots.into(),
        })
    }

    /// Finds what changed in these extents since they were last synced. Writes nothing and needs no lock.
    ///
    /// The work is bounded by the files in the extents, whatever else the cache holds.
    pub fn changes(&self, within: &[Extent]) -> Result<Scan, CacheError> {
        scan::scan(self, self.extents(within))
    }

    /// Records that the remote now holds the changes of this scan, as they were then.
    ///
    /// A file that was written to since shows up in the next scan. For a scan without changes this records what
    /// spares the next one from hashing again.
    pub fn mark_synced(&self, scan: &Scan) -> Result<(), CacheError> {
        if scan.updates.is_empty() {
            return Ok(());
        }
        records::update(&self.make_base()?, scan.updates.clone(), &scan.within)
    }

    /// Begins a pull into these extents.
    pub fn incoming(&self, within: &[Extent]) -> Result<Incoming, CacheError> {
        Incoming::begin(self.clone(), self.extents(within))
    }

    pub(crate) fn extents(&self, within: &[Extent]) -> Extents {
        Extents::new(within, &self.roots)
    }

    pub(crate) fn roots(&self) -> Extents {
        self.extents(&[Extent::Everything])
    }

    pub(crate) fn folder(&self) -> &Dir {
        &self.folder
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn clock(&self) -> Clock<'_> {
        Clock::new(&self.path)
    }

    /// The folder of what is known about the remote, if there is one.
    pub(crate) fn base(&self) -> Result<Option<Dir>, CacheError> {
        Ok(places::find(&self.folder, &self.base_path())?.folder())
    }

    pub(crate) fn make_base(&self) -> Result<Dir, CacheError> {
        let path = self.base_path();
        places::make_all(&self.folder, &path)
    }

    fn base_path(&self) -> String {
        format!("{STATE}/{REMOTES}/{}", self.remote)
    }

    pub(crate) fn make_state(&self) -> Result<Dir, CacheError> {
        places::make(&self.folder, STATE).at("create the folder", STATE)
    }
}
