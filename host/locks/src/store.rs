use std::fmt;
use std::pin::Pin;
use std::time::{Duration, Instant};

use crate::{Holder, Identity, LockError, LockKey, Proof, Waiting};

/// A future on the heap, so that a store can be chosen while running.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Told about a wait once it has lasted a second, and then every ten seconds.
pub type OnWait<'a> = dyn Fn(&Waiting) + Send + Sync + 'a;

/// How a lock is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Together with others who hold it shared.
    Shared,
    /// Alone.
    Exclusive,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Shared => "shared",
            Self::Exclusive => "exclusive",
        })
    }
}

/// A wish for a lock.
#[derive(Clone, Copy)]
pub struct Wish<'a> {
    /// What to lock.
    pub key: &'a LockKey,
    /// How to hold it.
    pub mode: Mode,
    /// Who asks, for others to see.
    pub who: &'a Identity,
    /// How long to wait for it. With zero it is tried once.
    pub wait: Duration,
    /// Told about a long wait.
    pub on_wait: &'a OnWait<'a>,
}

impl<'a> Wish<'a> {
    /// Wishes for a lock at once, without a wait.
    pub fn new(key: &'a LockKey, mode: Mode, who: &'a Identity) -> Self {
        Self { key, mode, who, wait: Duration::ZERO, on_wait: &|_| () }
    }

    /// Waits for so long.
    #[must_use]
    pub fn within(self, wait: Duration) -> Self {
        Self { wait, ..self }
    }

    /// Tells somebody about a long wait.
    #[must_use]
    pub fn telling(self, on_wait: &'a OnWait<'a>) -> Self {
        Self { on_wait, ..self }
    }
}

/// A place that keeps locks.
pub trait LockStore: Send + Sync {
    /// What it is, as `lockkeeper.toml` calls it.
    fn kind(&self) -> &'static str;

    /// Where it is, for people to read. Holds no secret.
    fn place(&self) -> String;

    /// Asks the store for a sign of life, and says how long that took.
    fn ping(&self) -> BoxFuture<'_, Result<Duration, LockError>>;

    /// The number that fences a write, from those of the locks that it is made under: in the order they were taken, the
    /// widest first, each within the one before, the last one exclusive. It is higher than that of each earlier write that they exclude.
    ///
    /// By default, numbers grow over all keys, and the last one is it.
    fn fence(&self, numbers: &[u64]) -> Option<u64> {
        numbers.last().copied()
    }

    /// Takes the lock, and fails with [`LockError::TimedOut`] if it can't be had in time.
    ///
    /// Neither mode is starved by a stream of the other. Dropping the future leaves nothing behind. Locks aren't
    /// reentrant: who holds a key and asks for it again waits for itself.
    fn acquire<'a>(&'a self, wish: Wish<'a>) -> BoxFuture<'a, Result<Lease, LockError>>;

    /// Takes the lock shared at once, past those who wait for it, if somebody holds it shared. `None` if nobody does.
    fn pass<'a>(&'a self, wish: Wish<'a>) -> BoxFuture<'a, Result<Option<Lease>, LockError>>;

    /// Takes a shared lock that somebody who waits for the caller to end holds shared already.
    ///
    /// It doesn't queue behind those who wait for the lock: they wait for that holder, and it waits for the caller.
    fn join<'a>(&'a self, wish: Wish<'a>) -> BoxFuture<'a, Result<Lease, LockError>> {
        Box::pin(async move {
            let begun = Instant::now();
            match self.pass(wish).await? {
                Some(lease) => Ok(lease),
                // That holder is gone, and somebody else was next.
                None => {
                    let left = wish.wait.saturating_sub(begun.elapsed());
                    self.acquire(Wish { mode: Mode::Shared, ..wish }.within(left)).await
                }
            }
        })
    }

    /// Lists who holds which lock now, and who stands first in line, by key. Never takes a lock.
    fn holders(&self) -> BoxFuture<'_, Result<Vec<Holder>, LockError>>;

    /// Ends one hold of a lock, or one wait for it, if `id` still names it. Never takes the lock.
    ///
    /// Where locks have leases, a live holder loses its lock: it is told with its next renewal and stops, and nobody gets the
    /// lock before that, or before the lease has run out. Where they have none, a live holder can't be ended from here.
    fn release<'a>(&'a self, key: &'a LockKey, id: &'a str) -> BoxFuture<'a, Result<Released, LockError>>;
}

/// What [`LockStore::release`] found and cleared away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Released {
    /// The record of a process that is gone; its lock was free already.
    Stale,
    /// A live hold, which ends as soon as its holder notices, and in any case after this long.
    Ending {
        /// The length of its lease.
        within: Duration,
    },
    /// A live process that waited for the lock; it has lost its place in line.
    Waiting,
}

/// What a store keeps alive while a lock is held. Dropping it gives the lock back.
pub trait Guard: Send + Sync {
    /// Gives the lock back, and says whether that worked.
    fn release(self: Box<Self>) -> BoxFuture<'static, Result<(), LockError>>;
}

/// A lock that is held; dropping it gives the lock back.
#[must_use = "dropping a lease gives its lock back"]
pub struct Lease {
    key: LockKey,
    mode: Mode,
    id: String,
    waited: Duration,
    held_since: Instant,
    fence: Option<u64>,
    proof: Proof,
    guard: Box<dyn Guard>,
}

impl Lease {
    /// Wraps what a store keeps alive, at the moment the lock was taken. It has no number and can't be lost.
    pub fn new(key: LockKey, mode: Mode, id: String, waited: Duration, guard: Box<dyn Guard>) -> Self {
        let (held_since, fence, proof) = (Instant::now(), None, Proof::endless());
        Self { key, mode, id, waited, held_since, fence, proof, guard }
    }

    /// Adds what a store with leases knows of it.
    pub(crate) fn leased(self, fence: u64, proof: Proof) -> Self {
        Self { fence: Some(fence), proof, ..self }
    }

    /// What is locked.
    pub fn key(&self) -> &LockKey {
        &self.key
    }

    /// How it is locked.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The [`Holder::id`] under which others see this hold.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// How long it took to get the lock.
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// Since when the lock is held.
    pub fn held_since(&self) -> Instant {
        self.held_since
    }

    /// The fencing number, if the store has some. See [`LockStore::fence`].
    pub fn fence(&self) -> Option<u64> {
        self.fence
    }

    /// Whether the lock is still held.
    pub fn proof(&self) -> &Proof {
        &self.proof
    }

    /// Gives the lock back, and says whether that worked. Either way it's no longer held.
    pub async fn release(self) -> Result<(), LockError> {
        self.guard.release().await
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lease({} {} {})", self.mode, self.key, self.id)
    }
}
