//! Sending the changes of the cache.
//!
//! 1. Judge every change against the index. One conflict, and nothing is sent.
//! 2. Upload. A new file goes to its own path, where no reader looks for it yet; new content of a file that the
//!    index lists is staged.
//! 3. Commit each shard by compare-and-swap. From here on, readers see the new files.
//! 4. Settle: move staged content to its path, delete what was deleted.
//!
//! Cut off before 3, the push left objects that nobody reads; after 3, the shard says what remains to be done.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;

use crate::body::{Body, Outcome};
use crate::index::{Index, Layout, Loaded};
use crate::path::{check_digest, check_path, check_scope, depth};
use crate::requests::Requests;
use crate::retry::check_cancelled;
use crate::settle::settle;
use crate::shard::{Entry, Shard, Tombstone, staged_key};
use crate::shards::Shards;
use crate::verdict::{Verdict, judge};
use crate::walk::everything;
use crate::{
    Change, Error, Host, ProgressUpdate, PushOptions, PushReport, PutNew, Remote, Result, WrittenFile,
};

/// How many changes are asked for at a time.
const PAGE: u32 = 1024;

/// Where the new content of a file waits for the commit.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    OwnPath,
    Staged,
}

type Uploads = BTreeMap<String, Place>;

/// Sends the changes that the host names to the remote.
pub async fn push<R: Remote>(
    host: &dyn Host,
    remote: &R,
    layout: Layout,
    options: &PushOptions,
) -> Result<PushReport> {
    let scope = options.scope.as_deref().unwrap_or_default();
    check_scope(scope)?;
    let index = Index { requests: Requests::new(host, remote), layout };
    let changes = if options.changes.is_some() { named(host) } else { everything(host, scope)? };
    let mut shards = Shards::load(&index, scope).await?;
    let work = by_shard(&mut shards, changes).await?;

    let mut conflicts = Vec::new();
    for (owner, changes) in &work {
        conflicts.extend(conflicting(&shards.get(owner).await?.shard, changes));
    }
    refuse(conflicts)?;

    let mut report = PushReport { files: 0, unchanged: 0, bytes: 0, deletions: 0 };
    let mut uploads = Uploads::new();
    for (owner, changes) in &work {
        upload_all(&index, &shards.get(owner).await?.shard, changes, &mut uploads, &mut report).await?;
    }
    for (owner, changes) in &work {
        let loaded = shards.get(owner).await?;
        commit(&index, loaded, changes, &uploads).await?;
        settle(&index, loaded, scope).await?;
    }
    Ok(report)
}

fn named(host: &dyn Host) -> Vec<Change> {
    let mut changes = Vec::new();
    loop {
        let page = host.next_changes(PAGE);
        if page.is_empty() {
            return changes;
        }
        changes.extend(page);
    }
}

/// Groups the changes by the shard that lists their path.
async fn by_shard<R: Remote>(
    shards: &mut Shards<'_, R>,
    mut changes: Vec<Change>,
) -> Result<BTreeMap<String, Vec<Change>>> {
    // A shard that is made for a shallow path takes the deeper ones as well.
    changes.sort_by_key(|change| depth(change.path()));
    let mut work: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for change in changes {
        check_path(change.path())?;
        if let Change::Written(file) = &change {
            check_digest(&file.digest)?;
        }
        work.entry(shards.owner(change.path()).await?).or_default().push(change);
    }
    Ok(work)
}

fn conflicting(shard: &Shard, changes: &[Change]) -> Vec<String> {
    let conflicts = changes.iter().filter(|change| judge(shard, change) == Verdict::Conflict);
    conflicts.map(|change| change.path().to_owned()).collect()
}

fn refuse(mut conflicts: Vec<String>) -> Result<()> {
    conflicts.sort();
    if conflicts.is_empty() { Ok(()) } else { Err(Error::Conflict(conflicts)) }
}

async fn upload_all<R: Remote>(
    index: &Index<'_, R>,
    shard: &Shard,
    changes: &[Change],
    uploads: &mut Uploads,
    report: &mut PushReport,
) -> Result<()> {
    for change in changes {
        check_cancelled(index.requests.host)?;
        match change {
            Change::Deleted(_) => report.deletions += 1,
            Change::Written(file) if judge(shard, change) == Verdict::Send => {
                uploads.insert(file.path.clone(), upload(index, shard, file).await?);
                report.files += 1;
                report.bytes += file.size;
            }
            Change::Written(_) => report.unchanged += 1,
        }
        index.requests.host.progress(ProgressUpdate {
            files: report.files,
            bytes: report.bytes,
            total_bytes: None,
        });
    }
    Ok(())
}

async fn upload<R: Remote>(index: &Index<'_, R>, shard: &Shard, file: &WrittenFile) -> Result<Place> {
    let Index { requests, .. } = index;
    if !shard.files.contains_key(&file.path) {
        let body = Sent::new(requests.host, file);
        if body.judge(requests.put_new(&file.path, async || body.open()).await)? == PutNew::Created {
            return Ok(Place::OwnPath);
        }
        // Left by a push that was cut off, or in the way until a deleted file is gone.
    }
    let staged = staged_key(&shard.scope, &file.path, &file.digest);
    let body = Sent::new(requests.host, file);
    body.judge(requests.put(&staged, async || body.open()).await.map(|()| PutNew::Created))?;
    Ok(Place::Staged)
}

/// A file of the cache on its way, and whether it is still what the host named.
struct Sent<'a> {
    host: &'a dyn Host,
    file: &'a WrittenFile,
    outcome: RefCell<Outcome>,
    gone: Cell<bool>,
}

impl<'a> Sent<'a> {
    fn new(host: &'a dyn Host, file: &'a WrittenFile) -> Self {
        Self { host, file, outcome: RefCell::default(), gone: Cell::new(false) }
    }

    /// Opens the file for one attempt.
    fn open(&self) -> Result<Body> {
        let WrittenFile { path, size, digest, .. } = self.file;
        if self.outcome.borrow().changed() {
            return Err(Error::fatal("no second attempt with a file that changed"));
        }
        match Body::open(&self.host.cache().join(path), *size, digest) {
            Ok(body) => {
                self.outcome.replace(body.outcome());
                Ok(body)
            }
            Err(error) => {
                self.gone.set(error.kind() == io::ErrorKind::NotFound);
                Err(Error::cache(path, &error))
            }
        }
    }

    /// Says what the last attempt came to.
    fn judge(&self, result: Result<PutNew>) -> Result<PutNew> {
        let outcome = self.outcome.borrow();
        if self.gone.get() || outcome.changed() {
            return Err(Error::retry("this file changed while it was being pushed").at(&self.file.path));
        }
        match result {
            Ok(PutNew::Created) if !outcome.complete() => {
                Err(Error::fatal("the remote did not take the whole file").at(&self.file.path))
            }
            result => result,
        }
    }
}

/// Makes the changes visible, all that belong to one shard at once.
async fn commit<R: Remote>(
    index: &Index<'_, R>,
    loaded: &mut Loaded,
    changes: &[Change],
    uploads: &Uploads,
) -> Result<()> {
    index
        .update(loaded, |shard| {
            refuse(conflicting(shard, changes))?;
            let mut changed = false;
            for change in changes {
                let verdict = judge(shard, change);
                match change {
                    Change::Written(file) if verdict == Verdict::Send => {
                        list(shard, file, uploads.get(&file.path).copied())?;
                        changed = true;
                    }
                    Change::Deleted(file) if verdict == Verdict::Send => {
                        let Some(entry) = shard.files.remove(&file.path) else { continue };
                        shard.deleted.insert(file.path.clone(), Tombstone { digest: entry.digest });
                        shard.unfinished.publish.remove(&file.path);
                        shard.unfinished.delete.insert(file.path.clone());
                        changed = true;
                    }
                    _ => {}
                }
            }
            Ok(changed)
        })
        .await
}

fn list(shard: &mut Shard, file: &WrittenFile, place: Option<Place>) -> Result<()> {
    let listed = shard.files.contains_key(&file.path);
    match place {
        Some(Place::Staged) => {
            shard.unfinished.publish.insert(file.path.clone(), file.digest.clone());
        }
        Some(Place::OwnPath) if !listed => {
            shard.unfinished.publish.remove(&file.path);
        }
        // Somebody listed it, or took back what made it unchanged, since it was judged.
        _ => return Err(Error::retry("this file changed in the remote during the push").at(&file.path)),
    }
    let entry = Entry { digest: file.digest.clone(), size: file.size };
    shard.files.insert(file.path.clone(), entry);
    shard.deleted.remove(&file.path);
    shard.unfinished.delete.remove(&file.path);
    Ok(())
}
