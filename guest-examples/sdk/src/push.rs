//! Sending the changes of the cache.
//!
//! 1. Judge every change against the index. One conflict, and nothing is sent.
//! 2. Upload. A new file goes to its own path, where no reader looks for it yet; new content of a file that the
//!    index lists is staged.
//! 3. Commit each shard by compare-and-swap. From here on, readers see the new files.
//! 4. Settle: move staged content to its path, delete what was deleted.
//!
//! Cut off before 3, the push left objects that nobody reads; after 3, the shard says what remains to be done.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};

use crate::body::Body;
use crate::index::{Index, Layout, Loaded};
use crate::path::{check_digest, check_path, check_scope, depth};
use crate::retry::{check_cancelled, retry};
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
pub fn push(
    host: &dyn Host,
    remote: &dyn Remote,
    layout: Layout,
    options: &PushOptions,
) -> Result<PushReport> {
    let scope = options.scope.as_deref().unwrap_or_default();
    check_scope(scope)?;
    let index = Index { host, remote, layout };
    let changes = if options.changes.is_some() { named(host) } else { everything(host, scope)? };
    let mut shards = Shards::load(index, scope)?;
    let work = by_shard(&mut shards, changes)?;

    let mut conflicts = Vec::new();
    for (owner, changes) in &work {
        conflicts.extend(conflicting(&shards.get(owner)?.shard, changes));
    }
    refuse(conflicts)?;

    let mut report = PushReport { files: 0, unchanged: 0, bytes: 0, deletions: 0 };
    let mut uploads = Uploads::new();
    for (owner, changes) in &work {
        upload_all(index, &shards.get(owner)?.shard, changes, &mut uploads, &mut report)?;
    }
    for (owner, changes) in &work {
        let loaded = shards.get(owner)?;
        commit(index, loaded, changes, &uploads)?;
        settle(index, loaded, scope)?;
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
fn by_shard(shards: &mut Shards, mut changes: Vec<Change>) -> Result<BTreeMap<String, Vec<Change>>> {
    // A shard that is made for a shallow path takes the deeper ones as well.
    changes.sort_by_key(|change| depth(change.path()));
    let mut work: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for change in changes {
        check_path(change.path())?;
        if let Change::Written(file) = &change {
            check_digest(&file.digest)?;
        }
        work.entry(shards.owner(change.path())?).or_default().push(change);
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

fn upload_all(
    index: Index,
    shard: &Shard,
    changes: &[Change],
    uploads: &mut Uploads,
    report: &mut PushReport,
) -> Result<()> {
    for change in changes {
        check_cancelled(index.host)?;
        match change {
            Change::Deleted(_) => report.deletions += 1,
            Change::Written(file) if judge(shard, change) == Verdict::Send => {
                uploads.insert(file.path.clone(), upload(index, shard, file)?);
                report.files += 1;
                report.bytes += file.size;
            }
            Change::Written(_) => report.unchanged += 1,
        }
        index.host.progress(ProgressUpdate { files: report.files, bytes: report.bytes, total_bytes: None });
    }
    Ok(())
}

fn upload(index: Index, shard: &Shard, file: &WrittenFile) -> Result<Place> {
    let Index { host, remote, .. } = index;
    if !shard.files.contains_key(&file.path) {
        let created = send(host, file, |body| remote.put_new(&file.path, body, file.size))?;
        if created == PutNew::Created {
            return Ok(Place::OwnPath);
        }
        // Left by a push that was cut off, or in the way until a deleted file is gone.
    }
    let staged = staged_key(&shard.scope, &file.path, &file.digest);
    send(host, file, |body| remote.put(&staged, body, file.size).map(|()| PutNew::Created))?;
    Ok(Place::Staged)
}

/// Sends a file of the cache, unless it is no longer what the host named.
fn send(
    host: &dyn Host,
    file: &WrittenFile,
    put: impl Fn(&mut dyn Read) -> Result<PutNew>,
) -> Result<PutNew> {
    let put = || {
        let local = match File::open(host.cache().join(&file.path)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            result => result.map_err(|error| Error::cache(&file.path, &error))?,
        };
        let mut body = Body::new(local, file.size, &file.digest);
        let result = put(&mut body);
        let sent = !matches!(result, Ok(PutNew::Created)) || body.complete();
        match result {
            _ if body.changed() => Ok(None),
            Ok(_) if !sent => Err(Error::fatal("the remote did not take the whole file")),
            result => result.map(Some),
        }
    };
    let sent = retry(host, put).map_err(|error| error.at(&file.path))?;
    sent.ok_or_else(|| Error::retry("this file changed while it was being pushed").at(&file.path))
}

/// Makes the changes visible, all that belong to one shard at once.
fn commit(index: Index, loaded: &mut Loaded, changes: &[Change], uploads: &Uploads) -> Result<()> {
    index.update(loaded, |shard| {
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
