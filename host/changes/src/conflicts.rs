use std::path::PathBuf;

use cap_std::fs::Dir;
use lockkeeper_names::CachePath;

use crate::cache::STATE;
use crate::error::{At, CacheError};
use crate::places;

const FOLDER: &str = "conflicts";

/// Where the version that lost a conflict is kept: `.lockkeeper/conflicts/<number>/<its path>`.
pub(crate) struct Conflicts<'a> {
    state: &'a Dir,
    open: Option<(String, Dir)>,
}

impl<'a> Conflicts<'a> {
    pub(crate) fn new(state: &'a Dir) -> Self {
        Self { state, open: None }
    }

    /// Moves a file, folder or link here and says where it went, relative to the cache.
    pub(crate) fn keep(&mut self, from: &Dir, name: &str, path: &str) -> Result<PathBuf, CacheError> {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let (mut number, mut top) = self.folder()?;
        let mut to = places::make_all(&top, folder)?;
        if to.symlink_metadata(name).is_ok() {
            // Never over something kept before.
            self.open = None;
            (number, top) = self.folder()?;
            to = places::make_all(&top, folder)?;
        }
        from.rename(name, &to, name).at("keep a copy of", path)?;
        Ok(PathBuf::from(STATE).join(FOLDER).join(number).join(path))
    }

    fn folder(&mut self) -> Result<(String, Dir), CacheError> {
        let (number, dir) = match self.open.take() {
            Some(open) => open,
            None => {
                let all = places::make(self.state, FOLDER).at("create the folder", FOLDER)?;
                places::make_numbered(&all).at("create a folder in", FOLDER)?
            }
        };
        let again = dir.try_clone().at("open", FOLDER)?;
        self.open = Some((number.clone(), again));
        Ok((number, dir))
    }
}

/// How a conflict was resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The file.
    pub path: CachePath,
    /// Where the version that lost is now, relative to the cache. None if that side had deleted the file.
    pub other: Option<PathBuf>,
}
