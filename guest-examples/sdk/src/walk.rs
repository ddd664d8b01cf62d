//! Finding the files of the cache when the host does not know what changed.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use blake3::Hasher;

use crate::{Change, Error, Host, Result, WrittenFile};

/// Takes every file under a scope for one that was never synced: what the remote lacks is sent, and what it
/// holds otherwise is a conflict.
pub(crate) fn everything(host: &dyn Host, scope: &str) -> Result<Vec<Change>> {
    let mut changes = Vec::new();
    walk(host.cache(), scope.trim_end_matches('/'), &mut changes)?;
    Ok(changes)
}

fn walk(cache: &Path, folder: &str, changes: &mut Vec<Change>) -> Result<()> {
    let failed = |error: io::Error| Error::cache(folder, &error);
    let entries = match fs::read_dir(cache.join(folder)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        result => result.map_err(failed)?,
    };
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let Ok(name) = entry.file_name().into_string() else {
            return Err(Error::fatal(format!("{:?} is not valid UTF-8", entry.file_name())).at(folder));
        };
        let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
        let kind = entry.file_type().map_err(failed)?;
        if kind.is_dir() {
            walk(cache, &path, changes)?;
        } else if kind.is_file() {
            let mut hasher = Hasher::new();
            File::open(entry.path())
                .and_then(|file| hasher.update_reader(file).map(drop))
                .map_err(|error| Error::cache(&path, &error))?;
            let (size, digest) = (hasher.count(), hasher.finalize().to_hex().to_string());
            changes.push(Change::Written(WrittenFile { path, size, digest, base: None }));
        }
    }
    Ok(())
}
