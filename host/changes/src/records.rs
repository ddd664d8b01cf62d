//! The record of the last sync: one small file for each folder of the cache.
//!
//! The record of the folder `data/a` is `.lockkeeper/synced/dirs/data/dirs/a/files`. What it says of other folders lies
//! below its `dirs`, so no name in the cache can collide with it, and reading a scope opens only that scope's records.

use std::collections::BTreeMap;
use std::io;

use cap_std::fs::Dir;
use lockkeeper_names::{CachePath, Digest};
use serde::{Deserialize, Serialize};

use crate::crash;
use crate::error::{At, CacheError};
use crate::extent::Extents;
use crate::places::{self, Place};
use crate::stat::Stat;

const FILES: &str = "files";
const VERSION: u32 = 1;

/// What was last synced in one folder, by file name.
pub(crate) type Record = BTreeMap<String, Entry>;

/// What was last synced at one path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) digest: Digest,
    /// The stat that proves that the local file still has this content. Absent if none does: then it is hashed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) stat: Option<Stat>,
}

/// A path's new entry; none forgets the path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Update {
    pub(crate) path: CachePath,
    pub(crate) entry: Option<Entry>,
}

/// A folder whose record can't be read. Its files count as never synced: nothing of them is deleted or overwritten, a
/// remote that differs is a conflict. The next sync of the folder writes the record anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedRecord {
    /// The folder, relative to the cache.
    pub folder: String,
    /// What is wrong with its record.
    pub problem: String,
}

#[derive(Serialize, Deserialize)]
struct Document<Files> {
    version: u32,
    files: Files,
}

/// Where the records of a folder and of those below it lie, below the state folder.
pub(crate) fn place(folder: &str) -> String {
    format!("synced/dirs/{}", folder.replace('/', "/dirs/"))
}

/// Reads the record in `dir`. A damaged one is empty and says so.
pub(crate) fn load(dir: Option<&Dir>, folder: &str) -> Result<(Record, Option<DamagedRecord>), CacheError> {
    let bytes = match dir.map(|dir| dir.read(FILES)) {
        None => return Ok(Default::default()),
        Some(Err(error)) if error.kind() == io::ErrorKind::NotFound => return Ok(Default::default()),
        Some(read) => read.at("read the record of", folder)?,
    };
    match parse(&bytes) {
        Ok(record) => Ok((record, None)),
        Err(problem) => Ok((Record::new(), Some(DamagedRecord { folder: folder.to_owned(), problem }))),
    }
}

fn parse(bytes: &[u8]) -> Result<Record, String> {
    let document: Document<serde_json::Value> =
        serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if document.version != VERSION {
        return Err(format!("its version is {}, this program knows {VERSION}", document.version));
    }
    serde_json::from_value(document.files).map_err(|error| error.to_string())
}

/// Reads a folder's record, given the state folder.
pub(crate) fn find(state: Option<&Dir>, folder: &str) -> Result<Record, CacheError> {
    let Some(state) = state else { return Ok(Record::new()) };
    let dir = places::find(state, &place(folder))?.folder();
    Ok(load(dir.as_ref(), folder)?.0)
}

/// Writes updates into the records, each folder's at once. Folders left without files lose their record.
pub(crate) fn update(state: &Dir, mut updates: Vec<Update>, within: &Extents) -> Result<(), CacheError> {
    updates.sort_by(|a, b| a.path.split().cmp(&b.path.split()));
    for folder in updates.chunk_by(|a, b| a.path.split().0 == b.path.split().0) {
        let path = folder.first().and_then(|update| update.path.split().0).unwrap_or_default();
        crash::point().at("write the record of", path)?;
        update_folder(state, path, folder, within)?;
    }
    Ok(())
}

fn update_folder(state: &Dir, folder: &str, updates: &[Update], within: &Extents) -> Result<(), CacheError> {
    let dir = places::make_all(state, &place(folder))?;
    let (mut record, _) = load(Some(&dir), folder)?;
    let before = record.clone();
    for update in updates {
        let name = update.path.split().1;
        match update.entry {
            Some(entry) => record.insert(name.to_owned(), entry),
            None => record.remove(name),
        };
    }
    if record.is_empty() {
        return forget(state, folder, &dir, within);
    }
    if record == before {
        return Ok(());
    }
    let document = Document { version: VERSION, files: &record };
    let bytes = serde_json::to_vec(&document).map_err(io::Error::from).at("write the record of", folder)?;
    places::replace(&dir, FILES, &bytes).at("write the record of", folder)
}

/// Removes a record that has become empty, and its folder and parents while nothing else is in them.
///
/// It stops at the extents: above them, other processes may be making folders.
fn forget(state: &Dir, folder: &str, dir: &Dir, within: &Extents) -> Result<(), CacheError> {
    match dir.remove_file(FILES) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).at("write the record of", folder);
        }
        _ => {}
    }
    let mut folder = folder;
    while within.has_below(folder)
        && let Some((parent, name)) = folder.rsplit_once('/')
        && let Place::Folder(siblings) = places::find(state, &format!("{}/dirs", place(parent)))?
        && remove_empty(&siblings, name).is_ok()
    {
        folder = parent;
    }
    Ok(())
}

fn remove_empty(siblings: &Dir, name: &str) -> io::Result<()> {
    if let Place::Folder(dir) = places::enter(siblings, name)? {
        // What a killed process left, and a folder that no longer holds any.
        let _ = dir.remove_file(format!("{FILES}.new"));
        let _ = dir.remove_dir("dirs");
    }
    siblings.remove_dir(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_a_later_version_is_not_guessed_at() {
        let later = br#"{"version":2,"files":[]}"#;
        assert_eq!(parse(later), Err("its version is 2, this program knows 1".to_owned()));
        for damaged in [&b""[..], b"{", b"{\"version\":1}", b"{\"version\":1,\"files\":{\"a\":1}}", b"\xff"] {
            assert!(parse(damaged).is_err());
        }
    }

    #[test]
    fn no_name_in_the_cache_collides_with_a_record() {
        assert_eq!(place("data/files"), "synced/dirs/data/dirs/files");
        assert_eq!(place("data/dirs"), "synced/dirs/data/dirs/dirs");
    }
}
