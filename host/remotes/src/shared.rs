//! The state that the clones of a remote share: a copy-on-write snapshot and a log.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use crate::{Conditions, Entry, Log};

/// Shared state `S`.
#[derive(Debug)]
pub(crate) struct Shared<S>(Arc<Mutex<Inner<S>>>);

#[derive(Debug)]
struct Inner<S> {
    state: Arc<S>,
    log: Log,
    requests: u64,
}

impl<S> Clone for Shared<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S: Clone> Shared<S> {
    pub(crate) fn new(state: S) -> Self {
        Self(Arc::new(Mutex::new(Inner { state: Arc::new(state), log: Log::default(), requests: 0 })))
    }

    fn lock(&self) -> MutexGuard<'_, Inner<S>> {
        // What panicked while it held the lock was a test; the state is whole between two statements.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state as it is now, at no cost.
    pub(crate) fn snapshot(&self) -> Arc<S> {
        self.lock().state.clone()
    }

    pub(crate) fn restore(&self, state: Arc<S>) {
        self.lock().state = state;
    }

    /// A look at the state.
    pub(crate) fn read<R>(&self, look: impl FnOnce(&S) -> R) -> R {
        look(&self.lock().state)
    }

    /// One step on the state. Copies it first if a snapshot is held.
    pub(crate) fn step<R>(&self, step: impl FnOnce(&mut S) -> R) -> R {
        step(Arc::make_mut(&mut self.lock().state))
    }

    /// A write under a condition, in one step or two as the remote has it.
    pub(crate) async fn write<R, E>(
        &self,
        conditions: Conditions,
        check: impl Fn(&S) -> Result<(), E>,
        write: impl FnOnce(&mut S) -> Result<R, E>,
    ) -> Result<R, E> {
        match conditions {
            Conditions::Ignored => self.step(write),
            Conditions::Honoured => self.step(|state| {
                check(state)?;
                write(state)
            }),
            Conditions::NotAtomic => {
                self.read(&check)?;
                Once::default().await;
                self.step(write)
            }
        }
    }

    /// The number of the next request.
    pub(crate) fn number(&self) -> u64 {
        let mut inner = self.lock();
        inner.requests += 1;
        inner.requests
    }

    pub(crate) fn note(&self, entry: Entry) {
        self.lock().log.0.push(entry);
    }

    pub(crate) fn log(&self) -> Log {
        self.lock().log.clone()
    }

    pub(crate) fn clear_log(&self) {
        self.lock().log.0.clear();
    }
}

/// Lets others go on once.
#[derive(Default)]
struct Once(bool);

impl Future for Once {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}
