//! Locks that the kernel keeps on files: for one machine, or for one shared file system that carries locks.
//!
//! Each key has a folder, which mirrors its segments, with three names that no segment can have:
//!
//! ```text
//! {dir}/model/aws-ec2/web/.lock      the lock itself, shared or exclusive
//!                        /.gate      held by whoever stands first in line for it
//!                        /.holders/  one record for each holder, and for the first in line
//! ```
//!
//! Everybody passes the gate alone, and whoever has to wait for the lock keeps it meanwhile. So nobody overtakes
//! the first in line, whatever its mode, and neither mode starves. Who comes to the gate next is chance.
//! Records of holders are written by whoever has the lock, of the first in line by whoever has the gate, and removed before
//! either is given back. Only a command inside of another one, which holds the lock shared, passes by the gate.
//!
//! No lock file is ever deleted: whoever had it open would lock a file that others no longer find. The kernel
//! frees the locks of a process that ends in any way, and a child process doesn't inherit them.

mod lock_file;
mod record;

use std::future::ready;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lock_file::LockFile;
use record::{Record, Records};

use crate::patience::Patience;
use crate::{BoxFuture, Guard, Holder, Identity, Lease, LockError, LockKey, LockStore, Mode, Released, Wish};

/// The longest pause of those who wait at the gate, of whom there can be many.
const GATE_PAUSE: Duration = Duration::from_millis(50);
/// The longest pause of the one who has the gate: its tries cost little, and the lock lies idle in between.
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// Locks on files below one folder. Everybody who opens the same folder shares them.
#[derive(Debug, Clone)]
pub struct FileLocks {
    dir: PathBuf,
}

impl FileLocks {
    /// Names the folder. It is made when the first lock is taken; until then it is touched by nothing.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    fn folder(&self, key: &LockKey) -> PathBuf {
        self.dir.join(key.as_str())
    }

    fn records(&self, key: &LockKey) -> Records {
        Records::new(key.clone(), &self.folder(key))
    }

    async fn take(&self, wish: Wish<'_>) -> Result<Lease, LockError> {
        let Wish { key, mode, who, .. } = wish;
        let folder = self.folder(key);
        let records = self.records(key);
        records.create_folder()?;
        let mut patience = Patience::new(wish);

        let gate = LockFile::open(folder.join(".gate"))?;
        while !gate.try_lock(Mode::Exclusive)? {
            patience.pause(GATE_PAUSE, &|| Box::pin(ready(records.shown_except(None)))).await?;
        }

        let lock = LockFile::open(folder.join(".lock"))?;
        let mut in_line: Option<Record> = None;
        while !lock.try_lock(mode)? {
            // Without it, one who is stopped while waiting would hold up everybody and be named to nobody.
            let record = match in_line.take() {
                Some(record) => record,
                None => records.write(&Holder::new(key, mode, who, true))?,
            };
            let id = in_line.insert(record).id();
            patience.pause(LOCK_PAUSE, &|| Box::pin(ready(records.shown_except(Some(id))))).await?;
        }
        let waited = patience.waited();

        drop(in_line);
        if mode == Mode::Exclusive {
            records.clear();
        }
        held(&records, lock, key, mode, who, waited)
    }

    /// Passes by the gate: the lock is held shared already, and whoever has the gate waits for that to end.
    async fn pass_by(&self, wish: Wish<'_>) -> Result<Option<Lease>, LockError> {
        let Wish { key, who, .. } = wish;
        let records = self.records(key);
        records.create_folder()?;
        let lock = LockFile::open(self.folder(key).join(".lock"))?;
        match lock.try_lock(Mode::Shared)? {
            true => held(&records, lock, key, Mode::Shared, who, Duration::ZERO).map(Some),
            false => Ok(None),
        }
    }
}

/// Makes a lease of a lock that was taken, and writes down whose it is.
fn held(
    records: &Records,
    lock: LockFile,
    key: &LockKey,
    mode: Mode,
    who: &Identity,
    waited: Duration,
) -> Result<Lease, LockError> {
    let record = records.write(&Holder::new(key, mode, who, false))?;
    let id = record.id().to_owned();
    Ok(Lease::new(key.clone(), mode, id, waited, Box::new(Held { record, lock })))
}

/// A lock that is held. Dropped in the order of its fields: the record goes first, so none outlives its lock.
struct Held {
    record: Record,
    lock: LockFile,
}

impl Guard for Held {
    fn release(self: Box<Self>) -> BoxFuture<'static, Result<(), LockError>> {
        Box::pin(async move {
            let removed = self.record.remove();
            self.lock.unlock()?;
            removed
        })
    }
}

impl LockStore for FileLocks {
    fn kind(&self) -> &'static str {
        "file"
    }

    fn place(&self) -> String {
        self.dir.canonicalize().unwrap_or_else(|_| self.dir.clone()).display().to_string()
    }

    fn ping(&self) -> BoxFuture<'_, Result<Duration, LockError>> {
        Box::pin(async {
            let begun = Instant::now();
            let folder = Path::new(&self.dir).ancestors().find(|folder| folder.exists());
            let folder = folder.unwrap_or(&self.dir);
            folder.read_dir().map_err(LockError::io("read the folder", folder))?;
            Ok(begun.elapsed())
        })
    }

    fn acquire<'a>(&'a self, wish: Wish<'a>) -> BoxFuture<'a, Result<Lease, LockError>> {
        Box::pin(self.take(wish))
    }

    fn pass<'a>(&'a self, wish: Wish<'a>) -> BoxFuture<'a, Result<Option<Lease>, LockError>> {
        Box::pin(self.pass_by(wish))
    }

    fn holders(&self) -> BoxFuture<'_, Result<Vec<Holder>, LockError>> {
        Box::pin(async { record::all_below(&self.dir) })
    }

    fn release<'a>(&'a self, key: &'a LockKey, id: &'a str) -> BoxFuture<'a, Result<Released, LockError>> {
        Box::pin(async move { self.records(key).release(id) })
    }
}
