//! What a power failure could still take.
//!
//! To sync many files at once is much cheaper than each by itself: the first of them writes out the names of all.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// How many files may wait; each of them is open.
const MOST: usize = 64;

/// New files, and folders with new names.
#[derive(Default)]
pub(super) struct Unsynced {
    files: Vec<File>,
    folders: BTreeSet<PathBuf>,
}

impl Unsynced {
    /// Notes a new file and its name.
    pub(super) fn add(&mut self, file: File, name: &Path) -> Result<()> {
        self.add_name(name);
        self.files.push(file);
        if self.files.len() < MOST { Ok(()) } else { self.sync_files() }
    }

    /// Notes a new name of a file whose content is safe.
    pub(super) fn add_name(&mut self, name: &Path) {
        if let Some(folder) = name.parent()
            && !self.folders.contains(folder)
        {
            self.folders.insert(folder.to_owned());
        }
    }

    /// Makes everything safe.
    pub(super) fn sync(&mut self) -> Result<()> {
        self.sync_files()?;
        std::mem::take(&mut self.folders).iter().for_each(|folder| sync_folder(folder));
        Ok(())
    }

    /// A failure is final: some systems say so once, and to sync the same file again then succeeds without its content.
    fn sync_files(&mut self) -> Result<()> {
        let synced = self.files.drain(..).try_for_each(|file| file.sync_all());
        synced.map_err(|error| {
            Error::fatal(format!("can't sync what was written to the remote folder: {error}"))
        })
    }
}

/// Makes new names survive a power failure, where folders can be synced.
pub(super) fn sync_folder(folder: &Path) {
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
}
