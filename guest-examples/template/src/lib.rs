//! A datastore extension in one folder: begin here, and replace `remote.rs` by what you sync with.
//!
//! It keeps each version of a file once, under a name that no other version and no other file has, and each push once, as a
//! list of what it changed; all lists in order are the index. Nothing that a push writes is written by another one, so
//! `scoped-sync` can be promised, and a push appears at once or not at all. The price: pushes pile up.
//!
//! The contract, and what each type means, is in `wit/datastore.wit`. `lockkeeper check` finds out whether it is kept.

mod remote;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use remote::Remote;
use wit::exports::lockkeeper::datastore::{capabilities, sync};
use wit::lockkeeper::datastore::host;
use wit::lockkeeper::datastore::types::{
    Change, Error, Failure, PullOptions, PullReport, PushOptions, PushReport, WrittenFile,
};

#[allow(missing_docs, unsafe_code, clippy::all, reason = "generated from the WIT")]
mod wit {
    wit_bindgen::generate!({ path: "../../wit", world: "capable-datastore", generate_all });
    export!(Extension with_types_in self);
    use super::Extension;
}

const CACHE: &str = "/cache";

/// What each path holds: the digest of its content, or nothing if it was deleted.
type Index = BTreeMap<String, Option<String>>;

struct Extension;

impl capabilities::Guest for Extension {
    fn capabilities() -> capabilities::CapabilityFlags {
        capabilities::CapabilityFlags::SCOPED_SYNC
    }
}

impl sync::Guest for Extension {
    fn push(options: PushOptions) -> Result<PushReport, Error> {
        let remote = Remote::configured()?;
        let index = remote.index()?;
        let mut report = PushReport { files: 0, unchanged: 0, bytes: 0, deletions: 0 };
        let (mut push, mut conflicts) = (Index::new(), Vec::new());
        for change in changes(&options)? {
            match (judge(&index, &change), change) {
                (Verdict::Conflict, change) => conflicts.push(path(&change).to_owned()),
                (verdict, Change::Deleted(file)) => {
                    report.deletions += 1;
                    if verdict == Verdict::Send {
                        push.insert(file.path, None);
                    }
                }
                (Verdict::Send, Change::Written(file)) => {
                    report.files += 1;
                    push.insert(file.path, Some(file.digest));
                }
                (Verdict::Done, Change::Written(_)) => report.unchanged += 1,
            }
        }
        if !conflicts.is_empty() {
            return Err(Error::Conflict(conflicts));
        }
        if push.is_empty() {
            return Ok(report);
        }
        for (path, digest) in &push {
            let Some(digest) = digest else { continue };
            let content = read(path)?;
            if blake3::hash(&content).to_hex().as_str() != digest {
                return Err(retry(path, "it changed while it was being pushed"));
            }
            remote.put(path, digest, &content)?;
            report.bytes += content.len() as u64;
            check_cancelled()?;
        }
        // From here on, readers see the push.
        remote.commit(&push)?;
        for path in push.keys() {
            if let Some(Some(replaced)) = index.get(path) {
                remote.forget(path, replaced)?;
            }
        }
        Ok(report)
    }

    fn pull(options: PullOptions) -> Result<PullReport, Error> {
        let remote = Remote::configured()?;
        let scope = options.scope.unwrap_or_default();
        let mut report = PullReport { files: 0, bytes: 0, deletions: 0 };
        for (path, digest) in remote.index()? {
            if !path.starts_with(&scope) {
                continue;
            }
            let Some(digest) = digest else {
                report.deletions += u64::from(host::delete(&path));
                continue;
            };
            if !host::wants(&path, &digest) {
                continue;
            }
            let content = remote.get(&path, &digest)?;
            if blake3::hash(&content).to_hex().as_str() != digest {
                return Err(retry(&path, "the remote holds something else than was pushed"));
            }
            write(&path, &content)?;
            report.files += 1;
            report.bytes += content.len() as u64;
            check_cancelled()?;
        }
        Ok(report)
    }
}

/// What to do about a change.
#[derive(PartialEq)]
enum Verdict {
    /// The remote holds what the change was based on: carry it out.
    Send,
    /// The remote is as the change wants it.
    Done,
    /// Somebody else changed the file.
    Conflict,
}

fn judge(index: &Index, change: &Change) -> Verdict {
    let held = index.get(path(change));
    match (change, held) {
        (Change::Written(file), Some(Some(held))) if *held == file.digest => Verdict::Done,
        (Change::Written(file), Some(Some(held))) if Some(held) == file.base.as_ref() => Verdict::Send,
        (Change::Deleted(file), Some(Some(held))) if *held == file.base => Verdict::Send,
        (_, Some(Some(_))) => Verdict::Conflict,
        // Deleted there, edited here.
        (Change::Written(file), Some(None)) if file.base.is_some() => Verdict::Conflict,
        (Change::Written(_), _) => Verdict::Send,
        (Change::Deleted(_), _) => Verdict::Done,
    }
}

fn path(change: &Change) -> &str {
    match change {
        Change::Written(file) => &file.path,
        Change::Deleted(file) => &file.path,
    }
}

/// What the host says has changed, or every file, if it doesn't know.
fn changes(options: &PushOptions) -> Result<Vec<Change>, Error> {
    let mut changes = Vec::new();
    if options.changes.is_none() {
        everything(options.scope.as_deref().unwrap_or_default().trim_end_matches('/'), &mut changes)?;
    }
    loop {
        let page = host::next_changes(1024);
        if page.is_empty() {
            return Ok(changes);
        }
        changes.extend(page);
    }
}

fn everything(folder: &str, changes: &mut Vec<Change>) -> Result<(), Error> {
    let entries = fs::read_dir(Path::new(CACHE).join(folder)).map_err(|error| cache(folder, &error))?;
    for entry in entries {
        let entry = entry.map_err(|error| cache(folder, &error))?;
        let path = PathBuf::from(folder).join(entry.file_name()).to_string_lossy().into_owned();
        if entry.path().is_dir() {
            everything(&path, changes)?;
        } else {
            let content = read(&path)?;
            let digest = blake3::hash(&content).to_hex().to_string();
            let size = content.len() as u64;
            changes.push(Change::Written(WrittenFile { path, size, digest, base: None }));
        }
    }
    Ok(())
}

fn read(path: &str) -> Result<Vec<u8>, Error> {
    fs::read(Path::new(CACHE).join(path)).map_err(|error| cache(path, &error))
}

fn write(path: &str, content: &[u8]) -> Result<(), Error> {
    let target = Path::new(CACHE).join(path);
    let written = fs::create_dir_all(target.parent().unwrap_or(Path::new(CACHE)));
    written.and_then(|()| fs::write(&target, content)).map_err(|error| cache(path, &error))
}

fn check_cancelled() -> Result<(), Error> {
    if host::cancelled() { Err(retry("", "the host asked to stop")) } else { Ok(()) }
}

fn cache(path: &str, error: &std::io::Error) -> Error {
    Error::Fatal(failure(path, &format!("the cache: {error}")))
}

fn retry(path: &str, message: &str) -> Error {
    Error::Retry(failure(path, message))
}

fn failure(path: &str, message: &str) -> Failure {
    let path = (!path.is_empty()).then(|| path.to_owned());
    Failure { message: message.to_owned(), path, status: None, request_id: None }
}
