//! Finishing what a commit left to be done.

use crate::body::copy;
use crate::index::{Index, Loaded};
use crate::retry::check_cancelled;
use crate::shard::{Entry, Unfinished, staged_key};
use crate::{Error, Level, Remote, Result};

/// Moves staged objects to their own paths and deletes the objects of deleted files, as far as they lie under `scope`.
///
/// Each step may have been done before, by this push or by one that was cut off. What lies outside of the
/// scope may be under way right now, under a lock that this push does not hold.
pub(crate) async fn settle<R: Remote>(index: &Index<'_, R>, loaded: &mut Loaded, scope: &str) -> Result<()> {
    let Unfinished { publish, delete } = loaded.shard.unfinished.clone();
    let mine = |path: &str| path.starts_with(scope);
    let delete: Vec<_> = delete.into_iter().filter(|path| mine(path)).collect();
    let publish: Vec<_> = publish.into_iter().filter(|(path, _)| mine(path)).collect();
    if delete.is_empty() && publish.is_empty() {
        return Ok(());
    }
    // Deletes go first: a deleted file may stand where a new one needs a folder.
    let Index { requests, .. } = index;
    for path in &delete {
        check_cancelled(requests.host)?;
        requests.delete(path).await?;
    }
    for (path, digest) in &publish {
        check_cancelled(requests.host)?;
        let staged = staged_key(&loaded.shard.scope, path, digest);
        let size = loaded.shard.files.get(path).map_or(0, |entry| entry.size);
        let content = Entry { digest: digest.clone(), size };
        let moved = requests.rename(&staged, path, &content).await?;
        if !moved && !holds(index, path, digest).await? {
            requests.host.log(Level::Error, &format!("the pushed content of {path} is gone from the remote"));
        }
    }
    let cleared = index
        .update(loaded, |shard| {
            let before = shard.unfinished.clone();
            shard.unfinished.delete.retain(|path| !delete.contains(path));
            shard
                .unfinished
                .publish
                .retain(|path, digest| !publish.iter().any(|done| (&done.0, &done.1) == (path, digest)));
            Ok(shard.unfinished != before)
        })
        .await;
    match cleared {
        // The work is done; the next push will find that out.
        Err(Error::Retry(failure)) => {
            requests.host.log(Level::Debug, &failure.message);
            Ok(())
        }
        result => result,
    }
}

async fn holds<R: Remote>(index: &Index<'_, R>, path: &str, digest: &str) -> Result<bool> {
    let found = index.requests.get(path, async |object| match copy(object, std::io::sink(), |_| ()).await {
        Ok((_, found)) => Ok(found == digest),
        Err(error) => Err(error.at(path)),
    });
    Ok(found.await?.unwrap_or(false))
}
