//! `@lockkeeper/plain`: the smallest useful extension, written against the bare contract.
//!
//! It keeps a plain copy of the cache in a shared folder. A push that is cut off leaves some files old and some new until it is
//! repeated, and a repository that holds a file never hears that it was deleted: an extension built on the SDK does better.

use std::path::{Path, PathBuf};
use std::{fs, io};

use wit::exports::lockkeeper::datastore::sync::{
    Error, Guest, PullOptions, PullReport, PushOptions, PushReport,
};
use wit::lockkeeper::datastore::{host, types};
use wit::wasi::config::store;

#[allow(missing_docs, unsafe_code, clippy::all, reason = "generated from the WIT")]
mod wit {
    wit_bindgen::generate!({ path: "../../wit", world: "datastore", generate_all });
    export!(Plain with_types_in self);
    use super::Plain;
}

const CACHE: &str = "/cache";
/// The file that is being written, beside the roots, so that no file of the cache has its name. Its host does one call at a time.
const UNFINISHED: &str = ".unfinished";

struct Plain;

impl Guest for Plain {
    fn push(options: PushOptions) -> Result<PushReport, Error> {
        let root = root()?;
        let mut report = PushReport { files: 0, unchanged: 0, bytes: 0, deletions: 0 };
        let (mut send, mut delete, mut conflicts) = (Vec::new(), Vec::new(), Vec::new());
        for change in changes(&options)? {
            match change {
                types::Change::Written(file) => match held(&root, &file.path)? {
                    Some(held) if held == file.digest => report.unchanged += 1,
                    Some(held) if Some(&held) != file.base.as_ref() => conflicts.push(file.path),
                    _ => send.push(file.path),
                },
                types::Change::Deleted(file) => match held(&root, &file.path)? {
                    Some(held) if held != file.base => conflicts.push(file.path),
                    _ => delete.push(file.path),
                },
            }
        }
        if !conflicts.is_empty() {
            return Err(Error::Conflict(conflicts));
        }
        // Deletes go first: a deleted file may stand where a new one needs a folder, and the other way round.
        for path in delete {
            remove(&root, &path).map_err(|error| failed(&path, error))?;
            report.deletions += 1;
        }
        for path in send {
            report.bytes += copy(Path::new(CACHE), &root, &path)?;
            report.files += 1;
        }
        Ok(report)
    }

    fn pull(_: PullOptions) -> Result<PullReport, Error> {
        let root = root()?;
        let mut report = PullReport { files: 0, bytes: 0, deletions: 0 };
        for path in files(&root, "")? {
            report.bytes += copy(&root, Path::new(CACHE), &path)?;
            report.files += 1;
        }
        Ok(report)
    }
}

/// What the host says has changed, or every file of the cache, if it doesn't know.
fn changes(options: &PushOptions) -> Result<Vec<types::Change>, Error> {
    let mut changes = Vec::new();
    if options.changes.is_none() {
        for path in files(Path::new(CACHE), "")? {
            let digest = held(Path::new(CACHE), &path)?.unwrap_or_default();
            changes.push(types::Change::Written(types::WrittenFile { path, size: 0, digest, base: None }));
        }
    }
    loop {
        let page = host::next_changes(1024);
        if page.is_empty() {
            return Ok(changes);
        }
        changes.extend(page);
    }
}

/// The digest of a file, if there is one.
fn held(root: &Path, path: &str) -> Result<Option<String>, Error> {
    match fs::read(root.join(path)) {
        Ok(content) => Ok(Some(blake3::hash(&content).to_hex().to_string())),
        Err(error) if is_no_file(&error) => Ok(None),
        Err(error) => Err(failed(path, error)),
    }
}

fn is_no_file(error: &io::Error) -> bool {
    use io::ErrorKind::{IsADirectory, NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory | IsADirectory)
}

/// Removes a file, and the folders that it leaves empty.
fn remove(root: &Path, path: &str) -> io::Result<()> {
    match fs::remove_file(root.join(path)) {
        Err(error) if !is_no_file(&error) => return Err(error),
        _ => {}
    }
    let mut folder = Path::new(path).parent();
    while let Some(empty) = folder.filter(|folder| *folder != Path::new("")) {
        if fs::remove_dir(root.join(empty)).is_err() {
            break;
        }
        folder = empty.parent();
    }
    Ok(())
}

/// Reads the folder to sync with from the configuration.
fn root() -> Result<PathBuf, Error> {
    match store::get("root") {
        Ok(Some(root)) if Path::new(&root).is_dir() => Ok(PathBuf::from(root)),
        other => {
            let message = format!("`root` must name a granted folder, got {other:?}");
            Err(Error::Config(types::Failure { message, path: None, status: None, request_id: None }))
        }
    }
}

/// Lists the files below `root` that belong to the cache, starting at the folder `below`.
fn files(root: &Path, below: &str) -> Result<Vec<String>, Error> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root.join(below)).map_err(|error| failed(below, error))? {
        let entry = entry.map_err(|error| failed(below, error))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if below.is_empty() { name } else { format!("{below}/{name}") };
        let kind = entry.file_type().map_err(|error| failed(&path, error))?;
        if kind.is_dir() && path != ".lockkeeper" {
            found.extend(files(root, &path)?);
        } else if kind.is_file() && path != UNFINISHED {
            found.push(path);
        }
    }
    Ok(found)
}

/// Copies one file so that a reader finds its old or its new content, never a part, also after a power failure.
fn copy(from: &Path, to: &Path, path: &str) -> Result<u64, Error> {
    let copy = || {
        let target = to.join(path);
        let unfinished = to.join(UNFINISHED);
        fs::create_dir_all(target.parent().unwrap_or(to))?;
        let bytes = fs::copy(from.join(path), &unfinished)?;
        fs::File::open(&unfinished)?.sync_all()?;
        fs::rename(unfinished, &target)?;
        // Where folders can be synced, the new name is kept as well.
        let _ = target.parent().map(fs::File::open).and_then(Result::ok).map(|folder| folder.sync_all());
        Ok(bytes)
    };
    copy().map_err(|error| failed(path, error))
}

fn failed(path: &str, error: io::Error) -> Error {
    let path = Some(path.to_owned());
    Error::Fatal(types::Failure { message: error.to_string(), path, status: None, request_id: None })
}
