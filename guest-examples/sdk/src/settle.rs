//! Finishing what a commit left to be done.

use crate::body::copy;
use crate::index::{Index, Loaded};
use crate::retry::{check_cancelled, retry};
use crate::shard::{Unfinished, staged_key};
use crate::{Error, Level, Result};

/// Moves staged objects to their own paths and deletes the objects of deleted files, as far as they lie under `scope`.
///
/// Each step may have been done before, by this push or by one that was cut off. What lies outside of the
/// scope may be under way right now, under a lock that this push does not hold.
pub(crate) fn settle(index: Index, loaded: &mut Loaded, scope: &str) -> Result<()> {
    let Unfinished { publish, delete } = loaded.shard.unfinished.clone();
    let mine = |path: &str| path.starts_with(scope);
    let delete: Vec<_> = delete.into_iter().filter(|path| mine(path)).collect();
    let publish: Vec<_> = publish.into_iter().filter(|(path, _)| mine(path)).collect();
    if delete.is_empty() && publish.is_empty() {
        return Ok(());
    }
    // Deletes go first: a deleted file may stand where a new one needs a folder.
    for path in &delete {
        check_cancelled(index.host)?;
        retry(index.host, || index.remote.delete(path)).map_err(|error| error.at(path))?;
    }
    for (path, digest) in &publish {
        check_cancelled(index.host)?;
        let staged = staged_key(&loaded.shard.scope, path, digest);
        let size = loaded.shard.files.get(path).map_or(0, |entry| entry.size);
        let moved =
            retry(index.host, || index.remote.rename(&staged, path, size)).map_err(|error| error.at(path))?;
        if !moved && !holds(index, path, digest)? {
            index.host.log(Level::Error, &format!("the pushed content of {path} is gone from the remote"));
        }
    }
    let cleared = index.update(loaded, |shard| {
        let before = shard.unfinished.clone();
        shard.unfinished.delete.retain(|path| !delete.contains(path));
        shard
            .unfinished
            .publish
            .retain(|path, digest| !publish.iter().any(|done| (&done.0, &done.1) == (path, digest)));
        Ok(shard.unfinished != before)
    });
    match cleared {
        // The work is done; the next push will find that out.
        Err(Error::Retry(failure)) => {
            index.host.log(Level::Debug, &failure.message);
            Ok(())
        }
        result => result,
    }
}

fn holds(index: Index, path: &str, digest: &str) -> Result<bool> {
    retry(index.host, || {
        let Some(mut object) = index.remote.get(path)? else { return Ok(false) };
        match copy(&mut object, std::io::sink(), |_| ()) {
            Ok((_, found)) => Ok(found == digest),
            Err(error) => Err(error.at(path)),
        }
    })
}
