//! Finishing what commits left to be done.

use crate::body::copy;
use crate::index::{Index, Loaded};
use crate::shard::{Entry, staged_key};
use crate::{Error, Level, Remote, Result};

/// Moves staged objects to their own paths and deletes the objects of deleted files, as far as they lie under the scope of the call.
///
/// Each step may have been done before, by this push or by one that was cut off. What lies outside of the
/// scope may be under way right now, under a lock that this push does not hold.
pub(crate) async fn settle<'l, R: Remote>(
    index: &Index<'_, R>,
    shards: impl IntoIterator<Item = &'l mut Loaded>,
) -> Result<()> {
    let requests = &index.requests;
    let mut left: Vec<Left> = shards
        .into_iter()
        .map(|loaded| Left::of(loaded, index.scope))
        .filter(|left| !left.is_empty())
        .collect();

    // Deletes go first, those of all shards: a deleted file may stand where a new one needs a folder, and the other way round.
    let delete = left.iter().flat_map(|left| &left.delete);
    requests.each(delete, async |path| requests.delete(path).await).await?;
    let publish = left.iter().flat_map(|left| &left.publish);
    requests
        .each(publish, async |Publish { staged, path, content }| {
            if !requests.rename(staged, path, content).await? && !holds(index, path, &content.digest).await? {
                requests
                    .host
                    .log(Level::Error, &format!("the pushed content of {path} is gone from the remote"));
            }
            Ok(())
        })
        .await?;
    requests.each(&mut left, async |left| left.clear(index).await).await
}

/// What one shard says is left to be done.
struct Left<'l> {
    loaded: &'l mut Loaded,
    delete: Vec<String>,
    publish: Vec<Publish>,
}

struct Publish {
    staged: String,
    path: String,
    content: Entry,
}

impl<'l> Left<'l> {
    fn of(loaded: &'l mut Loaded, scope: &str) -> Self {
        let shard = &loaded.shard;
        let delete = shard.unfinished.delete.iter().filter(|path| path.starts_with(scope)).cloned().collect();
        let publish = shard.unfinished.publish.iter().filter(|(path, _)| path.starts_with(scope));
        let publish = publish.map(|(path, digest)| Publish {
            staged: staged_key(&shard.scope, path, digest),
            path: path.clone(),
            content: Entry {
                digest: digest.clone(),
                size: shard.files.get(path).map_or(0, |entry| entry.size),
            },
        });
        let publish = publish.collect();
        Self { loaded, delete, publish }
    }

    fn is_empty(&self) -> bool {
        self.delete.is_empty() && self.publish.is_empty()
    }

    /// Notes in the shard that it is done.
    async fn clear<R: Remote>(&mut self, index: &Index<'_, R>) -> Result<()> {
        let Self { loaded, delete, publish } = self;
        let cleared = index.update(loaded, |shard| {
            let before = shard.unfinished.clone();
            delete.iter().for_each(|path| {
                shard.unfinished.delete.remove(path);
            });
            for Publish { path, content, .. } in publish.iter() {
                if shard.unfinished.publish.get(path) == Some(&content.digest) {
                    shard.unfinished.publish.remove(path);
                }
            }
            Ok(shard.unfinished != before)
        });
        match cleared.await {
            // The work is done; the next push will find that out.
            Err(Error::Retry(failure)) => {
                index.requests.host.log(Level::Debug, &failure.message);
                Ok(())
            }
            result => result,
        }
    }
}

async fn holds<R: Remote>(index: &Index<'_, R>, path: &str, digest: &str) -> Result<bool> {
    let found = index.requests.get(path, async |object| match copy(object, std::io::sink(), |_| ()).await {
        Ok((_, found)) => Ok(found == digest),
        Err(error) => Err(error.at(path)),
    });
    Ok(found.await?.unwrap_or(false))
}
