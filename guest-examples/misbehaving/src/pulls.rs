//! Pulls that do what a pull must not do.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use lockkeeper_sdk::bindings::lockkeeper::datastore::host;
use lockkeeper_sdk::{Error, PullReport, Result};

const CACHE: &str = "/cache";

/// Writes where nobody asked for anything; what can't be written is left out.
pub(crate) fn outside_scope(mut report: PullReport) -> Result<PullReport> {
    let stray = [
        "stray.json",
        "data/stray.json",
        "data/stray/other/state.json",
        ".lockkeeper/state.json",
        "secrets/key",
        "data/back\\slash",
        "data/line\nbreak",
        "data/.hidden",
    ];
    for path in stray.map(|path| Path::new(CACHE).join(path)) {
        let written = fs::create_dir_all(path.parent().unwrap_or(Path::new(CACHE)));
        if written.and_then(|()| fs::write(&path, "stray")).is_ok() {
            report.files += 1;
            report.bytes += 5;
        }
    }
    Ok(report)
}

/// Says that a file was deleted that the remote holds.
pub(crate) fn delete(mut report: PullReport, path: &str) -> Result<PullReport> {
    report.deletions += u64::from(host::delete(path));
    Ok(report)
}

/// Brings half of the files that the cache has room for.
pub(crate) fn half(root: &str) -> Result<()> {
    let failed = |error: io::Error| Error::fatal(format!("can't bring half: {error}"));
    let root = Path::new(root);
    let mut found = Vec::new();
    files(root, &mut found).map_err(failed)?;
    found.sort();
    for file in found.iter().take(found.len().div_ceil(2)) {
        let target = Path::new(CACHE).join(file.strip_prefix(root).unwrap_or(file));
        // In a scoped pull, only the scope can be written.
        let folder = target.parent().map_or(Ok(()), fs::create_dir_all);
        let _ = folder.and_then(|()| fs::copy(file, target));
    }
    Ok(())
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if !path.is_dir() {
            found.push(path);
        } else if !path.ends_with(".lockkeeper") {
            files(&path, found)?;
        }
    }
    Ok(())
}
