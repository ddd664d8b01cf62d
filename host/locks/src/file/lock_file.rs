use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::PathBuf;

use crate::{LockError, Mode};

/// An open file that may be locked. Dropping it unlocks it.
pub(super) struct LockFile {
    file: File,
    path: PathBuf,
}

impl LockFile {
    /// Opens a file to be locked, and makes it if need be.
    pub(super) fn open(path: PathBuf) -> Result<Self, LockError> {
        // For writing too: a network file system gives an exclusive lock to nobody else.
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        Ok(Self { file: file.map_err(LockError::io("open", &path))?, path })
    }

    /// Makes a file that must not be there yet.
    pub(super) fn create_new(path: PathBuf) -> Result<Self, LockError> {
        let file = File::create_new(&path);
        Ok(Self { file: file.map_err(LockError::io("make", &path))?, path })
    }

    /// Writes to it.
    pub(super) fn write(&self, text: &[u8]) -> Result<(), LockError> {
        (&self.file).write_all(text).map_err(LockError::io("write", &self.path))
    }

    /// Tries to lock it without waiting, and says whether that worked.
    pub(super) fn try_lock(&self, mode: Mode) -> Result<bool, LockError> {
        let taken = match mode {
            Mode::Shared => self.file.try_lock_shared(),
            Mode::Exclusive => self.file.try_lock(),
        };
        match taken {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Interrupted => Ok(false),
            Err(TryLockError::Error(error)) => Err(LockError::locking(&self.path, error)),
        }
    }

    /// Unlocks it, if it is locked.
    pub(super) fn unlock(&self) -> Result<(), LockError> {
        self.file.unlock().map_err(LockError::io("unlock", &self.path))
    }
}

impl Drop for LockFile {
    fn drop(&mut self) {
        // Closing alone is not enough: between the fork and the exec of a child, the child has the file open too.
        // An error can't be told to anybody from here, and closing follows in any case.
        let _ = self.unlock();
    }
}
