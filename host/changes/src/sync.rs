//! Making sure that files survive a power failure.

use std::io;

use cap_std::fs::Dir;

/// From how many files on syncing the whole file system is cheaper than one file after another.
const MANY: usize = 32;

/// Syncs the whole file system that `dir` is on if there are many files to sync. False if they are to be synced one by one.
pub(crate) fn at_once(dir: &Dir, files: usize) -> io::Result<bool> {
    if files < MANY || !cfg!(target_os = "linux") {
        return Ok(false);
    }
    #[cfg(target_os = "linux")]
    rustix::fs::syncfs(dir.open(".")?)?;
    #[cfg(not(target_os = "linux"))]
    let _ = dir;
    Ok(true)
}

/// Syncs the names in a folder.
pub(crate) fn folder(dir: &Dir) -> io::Result<()> {
    // The handle itself may be one that only names the folder.
    dir.open(".")?.sync_all()
}
