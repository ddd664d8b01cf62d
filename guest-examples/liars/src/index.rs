//! What the remote holds, and what a change means to it.

use std::collections::BTreeMap;

use crate::types::{Change, Error};
use crate::{fail, types};

/// The digest of each file, `None` if it was deleted.
pub(crate) type Files = BTreeMap<String, Option<String>>;

/// What the remote holds, and the version of that if it is one document.
#[derive(Clone, Default)]
pub(crate) struct Index {
    pub(crate) files: Files,
    pub(crate) version: Option<String>,
}

/// The name of a version of a file: no other file, and no other version, has it.
pub(crate) fn object(path: &str, digest: &str) -> String {
    blake3::hash(format!("{digest} {path}").as_bytes()).to_hex().to_string()
}

/// Writes files down so that a part can't be taken for the whole.
pub(crate) fn format(files: &Files) -> Vec<u8> {
    let mut text = format!("{}\0", files.len());
    for (path, digest) in files {
        text += &format!("{} {path}\0", digest.as_deref().unwrap_or("-"));
    }
    text.into_bytes()
}

pub(crate) fn parse(bytes: &[u8]) -> Result<Files, Error> {
    let read = || {
        let (count, rest) = std::str::from_utf8(bytes).ok()?.split_once('\0')?;
        let mut files = Files::new();
        for line in rest.split_terminator('\0') {
            let (digest, path) = line.split_once(' ')?;
            files.insert(path.to_owned(), (digest != "-").then(|| digest.to_owned()));
        }
        (count.parse() == Ok(files.len()) && (rest.is_empty() || rest.ends_with('\0'))).then_some(files)
    };
    read().ok_or_else(|| types::Error::Fatal(fail("the index is damaged")))
}

pub(crate) enum Verdict {
    Send,
    Done,
    Conflict,
}

pub(crate) fn judge(files: &Files, change: &Change) -> Verdict {
    match change {
        Change::Written(file) => match files.get(&file.path) {
            Some(Some(held)) if *held == file.digest => Verdict::Done,
            Some(Some(held)) if Some(held) != file.base.as_ref() => Verdict::Conflict,
            Some(None) if file.base.is_some() => Verdict::Conflict,
            _ => Verdict::Send,
        },
        Change::Deleted(file) => match files.get(&file.path) {
            Some(Some(held)) if *held == file.base => Verdict::Send,
            Some(Some(_)) => Verdict::Conflict,
            _ => Verdict::Done,
        },
    }
}

/// The changes as the index will list them: those that are still to be made.
pub(crate) fn due(files: &Files, changes: &[Change]) -> Result<Files, Error> {
    let (mut due, mut conflicts) = (Files::new(), Vec::new());
    for change in changes {
        let (path, digest) = match change {
            Change::Written(file) => (&file.path, Some(file.digest.clone())),
            Change::Deleted(file) => (&file.path, None),
        };
        match judge(files, change) {
            Verdict::Send => _ = due.insert(path.clone(), digest),
            Verdict::Done => {}
            Verdict::Conflict => conflicts.push(path.clone()),
        }
    }
    if conflicts.is_empty() { Ok(due) } else { Err(Error::Conflict(conflicts)) }
}
