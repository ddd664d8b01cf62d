//! Making sure that a power failure finds whole files, and records that are not ahead of them.

use std::collections::BTreeSet;
use std::io;

use cap_std::fs::Dir;

use crate::carrier::split;
use crate::error::{At, CacheError};
use crate::places::{self, Place};
use crate::plan::Move;

/// From how many files on syncing the whole file system is cheaper than one file after another.
const MANY: usize = 32;

/// Makes the content of the pulled files durable, before they replace others.
pub(crate) fn files(staging: &Dir, takes: &[Move]) -> Result<(), CacheError> {
    if at_once(staging, takes.len()).at("sync", "")? {
        return Ok(());
    }
    for take in takes {
        let (folder, name) = split(&take.path);
        if let Place::Folder(dir) = places::find(staging, folder)? {
            let file = places::open_file(&dir, name);
            file.and_then(|file| file.sync_all()).at("sync", take.path.as_str())?;
        }
    }
    Ok(())
}

/// Makes the names in the changed folders durable, before the records speak of them.
pub(crate) fn folders<'a>(cache: &Dir, moves: impl Iterator<Item = &'a Move>) -> Result<(), CacheError> {
    let folders: BTreeSet<&str> = moves.map(|step| split(&step.path).0).collect();
    if at_once(cache, folders.len()).at("sync", "")? {
        return Ok(());
    }
    for folder in folders {
        if let Place::Folder(dir) = places::find(cache, folder)? {
            // The handle itself may be one that only names the folder.
            dir.open(".").and_then(|dir| dir.sync_all()).at("sync", folder)?;
        }
    }
    Ok(())
}

/// Syncs the whole file system that `dir` is on. False if the files are too few, or the system can't.
fn at_once(dir: &Dir, files: usize) -> io::Result<bool> {
    if files < MANY || !cfg!(target_os = "linux") {
        return Ok(false);
    }
    #[cfg(target_os = "linux")]
    rustix::fs::syncfs(dir.open(".")?)?;
    #[cfg(not(target_os = "linux"))]
    let _ = dir;
    Ok(true)
}
