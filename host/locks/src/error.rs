use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::holder::{held_by, quoted, seconds};
use crate::{Holder, LockKey, Loss, Mode};

/// Why a lock could not be taken, read or given back.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// The lock did not become free in time.
    #[error("the {mode} lock `{key}` was not to be had within {}: {}", seconds(*.waited), held_by(.holders))]
    TimedOut {
        /// What was to be locked.
        key: LockKey,
        /// How it was to be locked.
        mode: Mode,
        /// How long was waited.
        waited: Duration,
        /// Who holds it, and who stands first in line.
        holders: Vec<Holder>,
    },

    /// The lock that was to be released belongs to a live process, which alone can give it back: there is no lease.
    #[error("the lock `{}` belongs to a live process: {holder}{}", .holder.key, how_to_end(.holder))]
    StillHeld {
        /// Whose it is.
        holder: Box<Holder>,
    },

    /// The lock that was to be released is not held under this id.
    #[error("the lock `{key}` is not held under the id {}", quoted(.id))]
    NotHeld {
        /// What was to be released.
        key: LockKey,
        /// The id that was given.
        id: String,
    },

    /// The file system keeps no locks, so nothing can be promised on it.
    #[error("the file system of {} has no locks: choose another `[locks] path`", .folder.display())]
    Unsupported {
        /// The folder on that file system.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },

    /// A file of the lock store could not be used.
    #[error("the lock store can't {action} {}", .path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },

    /// A lock that was held, or about to be, is held no longer.
    #[error("the lock `{key}` was lost while it was held: {loss}")]
    Lost {
        /// What was locked.
        key: LockKey,
        /// Why.
        loss: Loss,
    },

    /// The store can't be reached, or doesn't answer.
    #[error("the lock store {store} can't be reached")]
    Unreachable {
        /// Its kind and place.
        store: String,
        /// What went wrong on the way.
        source: Box<dyn Error + Send + Sync>,
    },

    /// The store answered that it won't: the credentials, the rights or the configuration are wrong.
    #[error("the lock store {store} refuses")]
    Refused {
        /// Its kind and place.
        store: String,
        /// What it said.
        source: Box<dyn Error + Send + Sync>,
    },

    /// The store doesn't do what locks need, so nothing can be promised on it.
    #[error("the lock store {store} can't be trusted with locks: {problem}")]
    Untrusted {
        /// Its kind and place.
        store: String,
        /// What it did.
        problem: String,
    },
}

impl LockError {
    /// The error with all its causes, in one line.
    pub(crate) fn full(&self) -> String {
        let mut text = self.to_string();
        let mut source = self.source();
        while let Some(cause) = source {
            text.push_str(&format!(": {cause}"));
            source = cause.source();
        }
        text
    }

    /// Makes the conversion from what the system said while `action` was tried on `path`.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }

    /// Tells a file system without locks from other failures to lock `path`.
    pub(crate) fn locking(path: &Path, source: io::Error) -> Self {
        // An NFS mount without its lock service says ENOLCK.
        const NO_LOCKS: [i32; 4] = [libc::ENOSYS, libc::ENOTSUP, libc::EOPNOTSUPP, libc::ENOLCK];
        let unsupported = source.kind() == io::ErrorKind::Unsupported
            || source.raw_os_error().is_some_and(|code| NO_LOCKS.contains(&code));
        if unsupported {
            return Self::Unsupported { folder: path.parent().unwrap_or(path).to_owned(), source };
        }
        Self::io("lock", path)(source)
    }
}

/// The advice after a holder; none for pid 0, which `kill` takes for the caller's own group.
fn how_to_end(holder: &Holder) -> String {
    match holder.pid {
        0 => String::new(),
        pid => format!("; to end it, run `kill {pid}` on {}", quoted(&holder.host)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_without_locks_is_told_from_other_failures() {
        let failure =
            |code| LockError::locking(Path::new("/srv/locks/.lock"), io::Error::from_raw_os_error(code));
        for code in [libc::ENOSYS, libc::EOPNOTSUPP, libc::ENOLCK] {
            assert_eq!(
                failure(code).to_string(),
                "the file system of /srv/locks has no locks: choose another `[locks] path`"
            );
        }
        assert!(matches!(failure(libc::EIO), LockError::Io { action: "lock", .. }));
    }

    #[test]
    fn a_holder_without_a_known_pid_gets_no_kill_advice() {
        let key = LockKey::parse("sync").unwrap();
        let error = LockError::StillHeld { holder: Box::new(Holder::unknown(&key, "1f")) };
        assert!(!error.to_string().contains("kill"), "{error}");
    }
}
