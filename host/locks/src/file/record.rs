//! The records of who holds a lock.
//!
//! A record is a file that its holder keeps locked for as long as it lives, so a reader that gets the lock knows
//! that the holder is gone. It gets its final name only when it is locked and complete. Its name is never used
//! again, so whoever finds it stale may remove it without looking twice.

use std::fs::{self, DirEntry, File, TryLockError};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::lock_file::LockFile;
use crate::{Holder, LockError, LockKey, Mode, Released};

const FOLDER: &str = ".holders";
const ENDING: &str = "json";
const UNFINISHED: &str = "unfinished";
/// More than any record has; a longer one is not read to its end.
const LONGEST_RECORD: u64 = 1 << 20;

/// The records of one key.
pub(super) struct Records {
    key: LockKey,
    folder: PathBuf,
}

impl Records {
    /// Names the records of `key`, whose folder is `key_folder`.
    pub(super) fn new(key: LockKey, key_folder: &Path) -> Self {
        Self { key, folder: key_folder.join(FOLDER) }
    }

    /// Makes the folder, and the key's folder with it.
    pub(super) fn create_folder(&self) -> Result<(), LockError> {
        fs::create_dir_all(&self.folder).map_err(LockError::io("make the folder", &self.folder))
    }

    /// Writes a record, which lasts until it is dropped. Only whoever has the gate may.
    pub(super) fn write(&self, holder: &Holder) -> Result<Record, LockError> {
        let unfinished = self.path(&holder.id, UNFINISHED);
        let text = serde_json::to_vec(holder);
        let text = text.map_err(|error| LockError::io("write", &unfinished)(error.into()))?;
        let file = LockFile::create_new(unfinished.clone())?;
        // From here on the file goes away again whatever happens.
        let mut record = Record { id: holder.id.clone(), path: unfinished, file };
        record.file.write(&text)?;
        if !record.file.try_lock(Mode::Exclusive)? {
            return Err(LockError::locking(&record.path, io::ErrorKind::WouldBlock.into()));
        }
        let path = self.path(&holder.id, ENDING);
        fs::rename(&record.path, &path).map_err(LockError::io("rename", &record.path))?;
        record.path = path;
        Ok(record)
    }

    /// Removes every record. Only whoever has the gate and the exclusive lock may: then all of them are stale,
    /// also an unfinished one, which nobody else could tell from one that is being written.
    pub(super) fn clear(&self) {
        for entry in entries(&self.folder).unwrap_or_default() {
            let name = entry.file_name();
            let parts = name.to_str().and_then(|name| name.split_once('.'));
            if !parts.is_some_and(|(id, ending)| is_id(id) && [ENDING, UNFINISHED].contains(&ending)) {
                continue;
            }
            // A record that can't be removed misleads nobody: nothing holds it locked.
            let _ = fs::remove_file(entry.path());
        }
    }

    /// Lists who holds the key and who stands first in line. Stale records are removed.
    pub(super) fn list(&self) -> Result<Vec<Holder>, LockError> {
        let mut holders = Vec::new();
        for entry in entries(&self.folder)? {
            let name = entry.file_name();
            let Some((id, ENDING)) = name.to_str().and_then(|name| name.split_once('.')) else { continue };
            if let Found::Live(holder) = self.look(id) {
                holders.push(holder);
            }
        }
        holders.sort_by(|a, b| (a.waiting, &a.since, &a.id).cmp(&(b.waiting, &b.since, &b.id)));
        Ok(holders)
    }

    /// Lists for a message, where a list that can't be read must not end the wait. Leaves out who asks.
    pub(super) fn shown_except(&self, id: Option<&str>) -> Vec<Holder> {
        let mut holders = self.list().unwrap_or_default();
        holders.retain(|holder| Some(holder.id.as_str()) != id);
        holders
    }

    /// Removes the record of a holder that is gone.
    pub(super) fn release(&self, id: &str) -> Result<Released, LockError> {
        match self.look(id) {
            Found::Live(holder) => Err(LockError::StillHeld { holder: Box::new(holder) }),
            Found::Stale => Ok(Released::Stale),
            Found::Nothing => Err(LockError::NotHeld { key: self.key.clone(), id: id.to_owned() }),
        }
    }

    /// Finds out whether a holder lives, and removes its record if it doesn't.
    fn look(&self, id: &str) -> Found {
        if !is_id(id) {
            return Found::Nothing;
        }
        let path = self.path(id, ENDING);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Found::Nothing,
            Err(_) => return Found::Live(Holder::unknown(&self.key, id)),
        };
        match file.try_lock_shared() {
            Ok(()) => match fs::remove_file(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Found::Nothing,
                // Removed, or in a folder that we may only read: it's stale either way.
                Ok(()) | Err(_) => Found::Stale,
            },
            Err(TryLockError::WouldBlock | TryLockError::Error(_)) => Found::Live(self.read(file, id)),
        }
    }

    fn read(&self, file: File, id: &str) -> Holder {
        let unknown = || Holder::unknown(&self.key, id);
        let mut text = Vec::new();
        if file.take(LONGEST_RECORD).read_to_end(&mut text).is_err() {
            return unknown();
        }
        match serde_json::from_slice::<Holder>(&text) {
            // What the file's place says is certain.
            Ok(holder) => Holder { id: id.to_owned(), key: self.key.clone(), ..holder },
            Err(_) => unknown(),
        }
    }

    fn path(&self, id: &str, ending: &str) -> PathBuf {
        self.folder.join(format!("{id}.{ending}"))
    }
}

/// Whether the text is what [`Holder::new`] makes. Nothing that is named otherwise is ever opened or removed, whatever
/// somebody put into the folder or onto the command line.
fn is_id(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

enum Found {
    Live(Holder),
    Stale,
    Nothing,
}

/// A record of this process, removed when dropped.
pub(super) struct Record {
    id: String,
    path: PathBuf,
    file: LockFile,
}

impl Record {
    /// The id that it is known by.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Removes it, and says whether that worked.
    pub(super) fn remove(&self) -> Result<(), LockError> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(LockError::io("remove", &self.path)(error))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        // A record that stays behind is unlocked, hence stale, and somebody else removes it.
        let _ = self.remove();
    }
}

/// Lists the holders of every key whose folder lies below `dir`, by key.
pub(super) fn all_below(dir: &Path) -> Result<Vec<Holder>, LockError> {
    let mut holders = Vec::new();
    let mut folders = vec![(dir.to_owned(), String::new())];
    while let Some((folder, prefix)) = folders.pop() {
        for entry in entries(&folder)? {
            let name = entry.file_name();
            // Not a folder, or not a segment of a key: nothing of ours.
            let Some(key) = name.to_str().and_then(|name| LockKey::parse(&format!("{prefix}{name}")).ok())
            else {
                continue;
            };
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push((entry.path(), format!("{key}/")));
                holders.extend(Records::new(key, &entry.path()).list()?);
            }
        }
    }
    // The sort is stable, so that the order within a key stays.
    holders.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(holders)
}

/// What a folder holds; nothing if there is no such folder.
fn entries(folder: &Path) -> Result<Vec<DirEntry>, LockError> {
    let read = || LockError::io("read the folder", folder);
    match fs::read_dir(folder) {
        Ok(entries) => entries.collect::<io::Result<_>>().map_err(read()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(read()(error)),
    }
}
