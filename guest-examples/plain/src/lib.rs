//! `@lockkeeper/plain`: the smallest useful extension, written against the bare contract.
//!
//! It keeps a plain copy of the cache in a shared folder. It compares no digests, so it finds no
//! conflicts and the last push wins: an extension built on the SDK does better.

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
        if options.changes.is_none() {
            for path in files(Path::new(CACHE), "")? {
                report.bytes += copy(Path::new(CACHE), &root, &path)?;
                report.files += 1;
            }
        }
        loop {
            let changes = host::next_changes(1024);
            if changes.is_empty() {
                return Ok(report);
            }
            for change in changes {
                match change {
                    types::Change::Written(file) => {
                        report.bytes += copy(Path::new(CACHE), &root, &file.path)?;
                        report.files += 1;
                    }
                    types::Change::Deleted(file) => match fs::remove_file(root.join(&file.path)) {
                        Err(error) if error.kind() != io::ErrorKind::NotFound => {
                            return Err(failed(&file.path, error));
                        }
                        _ => report.deletions += 1,
                    },
                }
            }
        }
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

/// Reads the folder to sync with from the configuration.
fn root() -> Result<PathBuf, Error> {
    match store::get("root") {
        Ok(Some(root)) => Ok(PathBuf::from(root)),
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
