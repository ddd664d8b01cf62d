//! Pushing and pulling, with any remote.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::bucket::Bucket;
use crate::folder::Folder;
use crate::index::{Files, Index, due, object};
use crate::mutation::Mutation;
use crate::types::{Change, Error, PullOptions, PullReport, PushOptions, PushReport, WrittenFile};
use crate::wit::lockkeeper::datastore::host;
use crate::{config, fail, retry};

const CACHE: &str = "/cache";

/// Where versions of files and what is said about them are kept.
pub(crate) trait Remote {
    fn index(&self) -> Result<Index, Error>;
    fn commit(&self, seen: Index, changes: &[Change], files: &Files) -> Result<(), Error>;
    fn get(&self, object: &str) -> Result<Option<Vec<u8>>, Error>;
    fn put(&self, object: &str, content: &[u8]) -> Result<(), Error>;
    fn delete(&self, object: &str) -> Result<(), Error>;

    /// What a push does before anything else, knowing what it will send.
    fn begin(&self, _: &Index, _: &Files) -> Result<(), Error> {
        Ok(())
    }
}

fn remote(mutation: Mutation) -> Result<Box<dyn Remote>, Error> {
    match (config("root")?, config("bucket")?) {
        (Some(root), None) => Ok(Box::new(Folder::open(root, mutation)?)),
        (None, Some(bucket)) => Ok(Box::new(Bucket::open(&bucket, mutation)?)),
        _ => Err(Error::Config(fail("either `root` must name a granted folder, or `bucket` a bucket's URL"))),
    }
}

pub(crate) fn push(options: &PushOptions) -> Result<PushReport, Error> {
    let mutation = Mutation::configured()?;
    let remote = remote(mutation)?;
    let scope = options.scope.as_deref().unwrap_or_default();
    let changes = if options.changes.is_some() { named() } else { everything(scope.trim_end_matches('/'))? };
    let index = remote.index()?;
    let mut files = due(&index.files, &changes)?;
    let mut report = report(&files, &changes);

    match mutation {
        Mutation::FullWalk => {
            let unseen = |path: &&String| !Path::new(CACHE).join(path).exists();
            files.extend(index.files.keys().filter(unseen).map(|path| (path.clone(), None)));
        }
        Mutation::PrefixWithoutSlash if options.scope.is_some() => {
            let mut merged = index.files.clone();
            merged.extend(files.clone());
            if !merged.iter().any(|(path, digest)| path.starts_with(scope) && digest.is_some()) {
                let prefix = scope.trim_end_matches('/');
                let below = merged.into_keys().filter(|path| path.starts_with(prefix));
                files.extend(below.map(|path| (path, None)));
            }
        }
        _ => {}
    }
    let replaced: Vec<String> =
        files.keys().filter_map(|path| Some(object(path, index.files.get(path)?.as_deref()?))).collect();

    remote.begin(&index, &files)?;
    if mutation == Mutation::IndexBeforeObjects {
        remote.commit(index.clone(), &changes, &files)?;
    }
    if mutation == Mutation::DeleteBeforeUpload {
        replaced.iter().try_for_each(|object| remote.delete(object))?;
    }
    for (path, digest) in &files {
        let Some(digest) = digest else { continue };
        let content = fs::read(Path::new(CACHE).join(path)).map_err(|error| failed(path, &error))?;
        if blake3::hash(&content).to_hex().as_str() != digest {
            return Err(retry(format!("{path} changed while it was being pushed")));
        }
        remote.put(&object(path, digest), &content)?;
        report.bytes += content.len() as u64;
    }
    if mutation != Mutation::IndexBeforeObjects && !files.is_empty() {
        remote.commit(index, &changes, &files)?;
    }
    if mutation != Mutation::DeleteBeforeUpload {
        replaced.iter().try_for_each(|object| remote.delete(object))?;
    }
    Ok(report)
}

pub(crate) fn pull(options: &PullOptions) -> Result<PullReport, Error> {
    let mutation = Mutation::configured()?;
    let remote = remote(mutation)?;
    let scope = options.scope.as_deref().unwrap_or_default();
    let everything = mutation == Mutation::ScopeIgnored;
    let mut report = PullReport { files: 0, bytes: 0, deletions: 0 };
    for (path, digest) in remote.index()?.files {
        if !path.starts_with(scope) && !everything {
            continue;
        }
        match digest {
            Some(digest) if everything || host::wants(&path, &digest) => {
                let content = remote
                    .get(&object(&path, &digest))?
                    .filter(|it| blake3::hash(it).to_hex().as_str() == digest);
                let content =
                    content.ok_or_else(|| retry(format!("the remote lacks the content of {path}")))?;
                write(&path, &content).map_err(|error| failed(&path, &error))?;
                report.files += 1;
                report.bytes += content.len() as u64;
            }
            Some(_) => {}
            None => report.deletions += u64::from(host::delete(&path)),
        }
    }
    Ok(report)
}

fn write(path: &str, content: &[u8]) -> io::Result<()> {
    let path = Path::new(CACHE).join(path);
    fs::create_dir_all(path.parent().unwrap_or(Path::new(CACHE)))?;
    fs::write(path, content)
}

fn named() -> Vec<Change> {
    let mut changes = Vec::new();
    loop {
        let page = host::next_changes(1024);
        if page.is_empty() {
            return changes;
        }
        changes.extend(page);
    }
}

/// Takes every file of the cache for one that was never synced.
fn everything(folder: &str) -> Result<Vec<Change>, Error> {
    let mut changes = Vec::new();
    let at = Path::new(CACHE).join(folder);
    for entry in fs::read_dir(&at).map_err(|error| failed(folder, &error))? {
        let entry = entry.map_err(|error| failed(folder, &error))?;
        let path = PathBuf::from(folder).join(entry.file_name()).to_string_lossy().into_owned();
        if entry.path().is_dir() {
            changes.extend(everything(&path)?);
        } else {
            let content = fs::read(entry.path()).map_err(|error| failed(&path, &error))?;
            let digest = blake3::hash(&content).to_hex().to_string();
            changes.push(Change::Written(WrittenFile {
                path,
                size: content.len() as u64,
                digest,
                base: None,
            }));
        }
    }
    Ok(changes)
}

fn report(due: &Files, changes: &[Change]) -> PushReport {
    let mut report = PushReport { files: 0, unchanged: 0, bytes: 0, deletions: 0 };
    for change in changes {
        match change {
            Change::Written(file) if due.contains_key(&file.path) => report.files += 1,
            Change::Written(_) => report.unchanged += 1,
            Change::Deleted(_) => report.deletions += 1,
        }
    }
    report
}

fn failed(path: &str, error: &io::Error) -> Error {
    Error::Fatal(crate::types::Failure {
        path: Some(path.to_owned()),
        ..fail(format!("in the cache: {error}"))
    })
}
