//! Bringing the files of the remote.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;

use crate::body::copy;
use crate::index::{Index, Layout, Loaded};
use crate::path::check_scope;
use crate::progress::Progress;
use crate::retry::{backoff, check_cancelled};
use crate::shard::{Entry, Shard, staged_key};
use crate::{Error, Host, PullOptions, PullReport, Remote, Result};

/// How often a shard is read again because its files changed meanwhile.
const ATTEMPTS: u32 = 5;

/// Brings every file that the host wants, and names those that were deleted.
pub async fn pull<R: Remote>(
    host: &dyn Host,
    remote: &R,
    layout: Layout,
    options: &PullOptions,
) -> Result<PullReport> {
    let scope = options.scope.as_deref().unwrap_or_default();
    check_scope(scope)?;
    let pull = Pull {
        index: Index::new(host, remote, layout, scope, None),
        progress: Progress::new(host),
        report: RefCell::new(PullReport { files: 0, bytes: 0, deletions: 0 }),
    };
    pull.index.each_shard(async |loaded| pull.shard(loaded).await).await?;
    Ok(pull.report.into_inner())
}

struct Pull<'a, R> {
    index: Index<'a, R>,
    progress: Progress<'a>,
    report: RefCell<PullReport>,
}

impl<R: Remote> Pull<'_, R> {
    /// Brings the files of one version of a shard: their digests prove that none is older or newer.
    async fn shard(&self, mut loaded: Loaded) -> Result<()> {
        let host = self.index.requests.host;
        check_cancelled(host)?;
        let brought = RefCell::new(BTreeMap::new());
        let mut attempt = 1;
        while let Some(path) = self.bring(&loaded.shard, &brought).await? {
            if attempt == ATTEMPTS {
                let message = "the remote's content of this file is not what the index lists: it is being changed, or damaged";
                return Err(Error::retry(message).at(&path));
            }
            host.pause(backoff(attempt)).await;
            attempt += 1;
            let shard = loaded.shard.scope;
            loaded = self
                .index
                .read(&shard, None)
                .await?
                .ok_or_else(|| Error::retry("this shard of the index is gone").at(&shard))?;
        }
        let brought = brought.into_inner();
        let mut report = self.report.borrow_mut();
        report.files += brought.len() as u64;
        report.bytes += brought.values().map(|entry| entry.size).sum::<u64>();
        for path in loaded.shard.deleted.keys().filter(|path| path.starts_with(self.index.scope)) {
            if !loaded.shard.files.contains_key(path) && host.delete(path) {
                report.deletions += 1;
            }
        }
        Ok(())
    }

    /// Makes `brought` what this version of the shard lists. Answers with a file whose content the
    /// remote doesn't have, if there is one.
    async fn bring(
        &self,
        shard: &Shard,
        brought: &RefCell<BTreeMap<String, Entry>>,
    ) -> Result<Option<String>> {
        let host = self.index.requests.host;
        brought.borrow_mut().extract_if(.., |path, _| !shard.files.contains_key(path)).try_for_each(
            |(path, _)| {
                fs::remove_file(host.cache().join(&path)).map_err(|error| Error::cache(&path, &error))
            },
        )?;
        let missing = RefCell::new(None);
        let files = shard.files.iter().filter(|(path, entry)| {
            path.starts_with(self.index.scope)
                && brought.borrow().get(*path) != Some(entry)
                && host.wants(path, &entry.digest)
        });
        let bring = async |(path, entry): (&String, &Entry)| {
            if self.fetch(shard, path, entry).await? {
                brought.borrow_mut().insert(path.clone(), entry.clone());
            } else {
                missing.replace(Some(path.clone()));
            }
            Ok(())
        };
        self.index.requests.each(files, bring).await?;
        Ok(missing.into_inner())
    }

    /// Writes a file to the cache; false, and no file, if the remote holds other content.
    async fn fetch(&self, shard: &Shard, path: &str, entry: &Entry) -> Result<bool> {
        let requests = &self.index.requests;
        let staged = staged_key(&shard.scope, path, &entry.digest);
        let publishing = shard.unfinished.publish.contains_key(path);
        let keys = publishing.then_some(staged.as_str()).into_iter().chain([path]);
        let target = requests.host.cache().join(path);
        if let Some(folder) = target.parent() {
            fs::create_dir_all(folder).map_err(|error| Error::cache(path, &error))?;
        }
        for key in keys {
            let found = requests.get(key, async |object| {
                let file = File::create(&target).map_err(|error| Error::cache(path, &error))?;
                let part = self.progress.part();
                let copied = copy(object, file, |bytes| part.add(bytes)).await;
                let (size, digest) = copied.map_err(|error| error.at(path))?;
                let right = size == entry.size && digest == entry.digest;
                if right {
                    part.done();
                }
                Ok(right)
            });
            if found.await.map_err(|error| error.at(path))? == Some(true) {
                return Ok(true);
            }
        }
        match fs::remove_file(&target) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::cache(path, &error)),
            _ => Ok(false),
        }
    }
}
