//! Bringing the files of the remote.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;

use crate::body::copy;
use crate::index::{Index, Layout, Loaded};
use crate::path::check_scope;
use crate::requests::Requests;
use crate::retry::{backoff, check_cancelled};
use crate::shard::{Entry, Shard, staged_key};
use crate::{Error, Host, ProgressUpdate, PullOptions, PullReport, Remote, Result};

/// How often a shard is read again because its files changed meanwhile.
const ATTEMPTS: u32 = 5;
/// How many bytes pass between two reports of progress within one file.
const STEP: u64 = 1 << 20;

/// Brings every file that the host wants, and names those that were deleted.
pub async fn pull<R: Remote>(
    host: &dyn Host,
    remote: &R,
    layout: Layout,
    options: &PullOptions,
) -> Result<PullReport> {
    let scope = options.scope.as_deref().unwrap_or_default();
    check_scope(scope)?;
    let index = Index { requests: Requests::new(host, remote), layout };
    let mut report = PullReport { files: 0, bytes: 0, deletions: 0 };
    for candidate in index.candidates(scope).await? {
        if let Some(loaded) = index.read(&candidate).await? {
            pull_shard(&index, loaded, scope, &mut report).await?;
        }
    }
    Ok(report)
}

/// Brings the files of one version of a shard: their digests prove that none is older or newer.
async fn pull_shard<R: Remote>(
    index: &Index<'_, R>,
    mut loaded: Loaded,
    scope: &str,
    report: &mut PullReport,
) -> Result<()> {
    let mut brought = BTreeMap::new();
    let mut attempt = 1;
    while let Some(path) = bring(index, &loaded.shard, scope, &mut brought, report).await? {
        if attempt == ATTEMPTS {
            let message = "the remote's content of this file is not what the index lists: it is being changed, or damaged";
            return Err(Error::retry(message).at(&path));
        }
        index.requests.host.pause(backoff(attempt)).await;
        attempt += 1;
        let shard = loaded.shard.scope;
        loaded = index
            .read(&shard)
            .await?
            .ok_or_else(|| Error::retry("this shard of the index is gone").at(&shard))?;
    }
    report.files += brought.len() as u64;
    report.bytes += brought.values().map(|entry| entry.size).sum::<u64>();
    for path in loaded.shard.deleted.keys().filter(|path| path.starts_with(scope)) {
        if !loaded.shard.files.contains_key(path) && index.requests.host.delete(path) {
            report.deletions += 1;
        }
    }
    Ok(())
}

/// Makes `brought` what this version of the shard lists. Answers with the first file whose content the
/// remote doesn't have.
async fn bring<R: Remote>(
    index: &Index<'_, R>,
    shard: &Shard,
    scope: &str,
    brought: &mut BTreeMap<String, Entry>,
    report: &PullReport,
) -> Result<Option<String>> {
    let stale: Vec<_> = brought.keys().filter(|path| !shard.files.contains_key(*path)).cloned().collect();
    for path in stale {
        fs::remove_file(index.requests.host.cache().join(&path))
            .map_err(|error| Error::cache(&path, &error))?;
        brought.remove(&path);
    }
    let mut done = ProgressUpdate {
        files: report.files + brought.len() as u64,
        bytes: report.bytes + brought.values().map(|entry| entry.size).sum::<u64>(),
        total_bytes: None,
    };
    for (path, entry) in shard.files.iter().filter(|(path, _)| path.starts_with(scope)) {
        check_cancelled(index.requests.host)?;
        if brought.get(path) == Some(entry) || !index.requests.host.wants(path, &entry.digest) {
            continue;
        }
        if !fetch(index, shard, path, entry, done).await? {
            return Ok(Some(path.clone()));
        }
        brought.insert(path.clone(), entry.clone());
        done.files += 1;
        done.bytes += entry.size;
        index.requests.host.progress(done);
    }
    Ok(None)
}

/// Writes a file to the cache; false, and no file, if the remote holds other content.
async fn fetch<R: Remote>(
    index: &Index<'_, R>,
    shard: &Shard,
    path: &str,
    entry: &Entry,
    done: ProgressUpdate,
) -> Result<bool> {
    let host = index.requests.host;
    let staged = staged_key(&shard.scope, path, &entry.digest);
    let publishing = shard.unfinished.publish.contains_key(path);
    let keys = publishing.then_some(staged.as_str()).into_iter().chain([path]);
    let target = host.cache().join(path);
    if let Some(folder) = target.parent() {
        fs::create_dir_all(folder).map_err(|error| Error::cache(path, &error))?;
    }
    for key in keys {
        let found = index.requests.get(key, async |object| {
            let mut done = done;
            let file = File::create(&target).map_err(|error| Error::cache(path, &error))?;
            let mut told = done.bytes;
            let each = |read| {
                done.bytes += read;
                if done.bytes - told >= STEP {
                    told = done.bytes;
                    host.progress(done);
                }
            };
            copy(object, file, each).await.map_err(|error| error.at(path))
        });
        let found = found.await.map_err(|error| error.at(path))?;
        if found.is_some_and(|(size, digest)| size == entry.size && digest == entry.digest) {
            return Ok(true);
        }
    }
    match fs::remove_file(&target) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::cache(path, &error)),
        _ => Ok(false),
    }
}
