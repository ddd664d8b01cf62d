//! Sending the changes of the cache.
//!
//! 1. Judge every change against the index. One conflict, and nothing is sent.
//! 2. Upload. A new file goes to its own path, where no reader looks for it yet; new content of a file that the
//!    index lists is staged.
//! 3. Name new shards in the shards above them, then commit each by compare-and-swap. From here on, readers see the new files.
//! 4. Settle: move staged content to its path, delete what was deleted.
//!
//! Cut off before 3, the push left objects that nobody reads; after 3, the shard says what remains to be done.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;

use crate::body::{Body, Outcome};
use crate::index::{Index, Layout, Loaded};
use crate::path::{check_digest, check_path, check_scope};
use crate::progress::Progress;
use crate::settle::settle;
use crate::shard::{Entry, Links, Shard, Tombstone, staged_key};
use crate::shards::Shards;
use crate::verdict::{Verdict, judge};
use crate::walk::everything;
use crate::{Change, Error, Host, PushOptions, PushReport, PutNew, Remote, Result, WrittenFile};

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
    let index = Index::new(host, remote, layout, scope, options.fence);
    let changes = if options.changes.is_some() { named(host) } else { everything(host, scope)? };
    changes.iter().try_for_each(check)?;
    let mut shards = Shards::load(&index, &changes).await?;
    let work = shards.divide(&index, changes)?;

    let mut conflicts = Vec::new();
    for (owner, changes) in &work {
        conflicts.extend(conflicting(&shards.get(owner)?.shard, changes));
    }
    refuse(conflicts)?;

    let mut report = PushReport { files: 0, unchanged: 0, bytes: 0, deletions: 0 };
    let mut send = Vec::new();
    let mut write = BTreeMap::new();
    for (owner, changes) in work {
        let shard = &shards.get(&owner)?.shard;
        for change in &changes {
            match change {
                Change::Deleted(_) => report.deletions += 1,
                Change::Written(file) if judge(shard, change) == Verdict::Send => {
                    send.push((shard, file.clone()));
                    report.files += 1;
                    report.bytes += file.size;
                }
                Change::Written(_) => report.unchanged += 1,
            }
        }
        if changes.iter().any(|change| judge(shard, change) != Verdict::Done) {
            write.insert(owner, changes);
        }
    }
    let uploads = upload_all(&index, send).await?;
    shards.register(&index, write.keys()).await?;
    let links: BTreeMap<_, _> = write.keys().map(|scope| (scope.clone(), shards.links(scope))).collect();
    let commits = shards.all().filter_map(|loaded| {
        let scope = &loaded.shard.scope;
        let (changes, links) = (write.get(scope)?, links.get(scope)?.as_ref());
        Some((loaded, changes, links))
    });
    let commit = async |(loaded, changes, links): (&mut Loaded, &Vec<Change>, Option<&Links>)| {
        commit(&index, loaded, changes, links, &uploads).await
    };
    index.requests.each(commits, commit).await?;
    settle(&index, shards.all()).await?;
    Ok(report)
}

fn check(change: &Change) -> Result<()> {
    check_path(change.path())?;
    match change {
        Change::Written(file) => check_digest(&file.digest),
        Change::Deleted(_) => Ok(()),
    }
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

fn conflicting(shard: &Shard, changes: &[Change]) -> Vec<String> {
    let conflicts = changes.iter().filter(|change| judge(shard, change) == Verdict::Conflict);
    conflicts.map(|change| change.path().to_owned()).collect()
}

fn refuse(mut conflicts: Vec<String>) -> Result<()> {
    conflicts.sort();
    if conflicts.is_empty() { Ok(()) } else { Err(Error::Conflict(conflicts)) }
}

async fn upload_all<R: Remote>(index: &Index<'_, R>, send: Vec<(&Shard, WrittenFile)>) -> Result<Uploads> {
    let uploads = RefCell::new(Uploads::new());
    let progress = Progress::new(index.requests.host);
    let upload = async |(shard, file): (&Shard, WrittenFile)| {
        let place = upload(index, shard, &file).await?;
        let part = progress.part();
        part.add(file.size);
        part.done();
        uploads.borrow_mut().insert(file.path, place);
        Ok(())
    };
    index.requests.each(send, upload).await?;
    Ok(uploads.into_inner())
}

async fn upload<R: Remote>(index: &Index<'_, R>, shard: &Shard, file: &WrittenFile) -> Result<Place> {
    let requests = &index.requests;
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
    links: Option<&Links>,
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
            if changed && let Some(links) = links {
                let held = shard.links.get_or_insert_default();
                held.above.extend(links.above.iter().cloned());
                held.below.extend(links.below.iter().cloned());
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
