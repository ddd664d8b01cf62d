//! Where a guest is stopped: before each operation on what others can see.

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::tree::Fault;

/// Whose eyes see what an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Area {
    /// The remote, which every guest reaches.
    Remote,
    /// The guest's own folder for this scope.
    State,
}

/// How far from its path an operation reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reach {
    /// The path itself.
    Itself,
    /// The path and its direct entries: a listing of a folder.
    Entries,
    /// The path and everything below it: a renamed folder.
    Below,
    /// Everything whose path begins so, slash or not: a listing of a prefix.
    Prefix,
}

/// A part of the remote that an operation read or wrote.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Touch {
    /// Its path.
    pub path: Arc<str>,
    /// How far it reaches.
    pub reach: Reach,
    /// Whether it was written.
    pub writes: bool,
}

impl Touch {
    /// Whether the order of the two can matter.
    pub fn conflicts(&self, other: &Self) -> bool {
        (self.writes || other.writes) && (self.covers(&other.path) || other.covers(&self.path))
    }

    fn covers(&self, path: &str) -> bool {
        if self.reach == Reach::Prefix {
            return path.starts_with(&*self.path);
        }
        let Some(rest) = path.strip_prefix(self.path.trim_end_matches('/')) else { return false };
        match self.reach {
            _ if rest.is_empty() || rest == "/" => true,
            Reach::Itself => false,
            Reach::Entries => {
                rest.strip_prefix('/').is_some_and(|name| !name.trim_end_matches('/').contains('/'))
            }
            Reach::Below | Reach::Prefix => rest.starts_with('/'),
        }
    }
}

/// What came of an operation.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Performed {
    /// It is still to come.
    Not,
    /// It was carried out; a few words about what it gave.
    Done(String),
    /// It failed, for this reason.
    Failed(String),
}

/// An operation of a guest, as the host sees it. A check makes millions of them, so they share what they can.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Operation {
    /// What it does, such as `open`, `write`, `rename`, `PUT`.
    pub call: Cow<'static, str>,
    /// What it works on.
    pub area: Area,
    /// Its path.
    pub path: Arc<str>,
    /// Its second path: where a rename or a link goes.
    pub other: Option<Arc<str>>,
    /// More about it, such as `create, exclusive` or `37 bytes`.
    pub detail: String,
    /// What it read and wrote; known once it was carried out.
    pub touches: Vec<Touch>,
    /// What came of it.
    pub performed: Performed,
    /// How an error of it can be named, for those that can be made to fail.
    pub faults: Cow<'static, [Injected]>,
    /// Whether it hands over bytes that can arrive in part.
    pub tearable: bool,
}

impl Operation {
    /// Whether it changed anything.
    pub fn writes(&self) -> bool {
        self.touches.iter().any(|touch| touch.writes)
    }

    /// Whether the order of the two can matter.
    pub fn conflicts(&self, other: &Self) -> bool {
        self.area == Area::Remote
            && other.area == Area::Remote
            && self.touches.iter().any(|mine| other.touches.iter().any(|its| mine.conflicts(its)))
    }
}

/// A way in which an operation can be made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Injected {
    /// A file operation fails with this error and does nothing.
    File(Fault),
    /// A request is answered with this status and not carried out.
    Status(u16),
    /// A request is carried out, and the connection breaks before the answer.
    LostAnswer,
    /// The connection breaks before the request arrives.
    Reset,
    /// A request is answered with bytes that mean nothing.
    Garbage,
    /// The answer's body ends half way.
    Truncated,
    /// No answer ever comes.
    Hang,
    /// A connection is refused.
    Refused,
}

/// What to do with the operation that a guest waits to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Directive {
    /// Carry it out.
    Proceed,
    /// Make it fail.
    Fail(Injected),
    /// Carry out the first half of it; the guest is dropped next.
    Tear,
}

#[derive(Default)]
struct State {
    /// The operation that the guest is about to do, and the ticket of the one who asked.
    waiting: Option<(u64, Operation)>,
    granted: Option<Directive>,
    /// Wakes up who waits at the gate, where that is not the guest itself but something that it spawned.
    wakers: Vec<Waker>,
    performed: Option<Operation>,
    sleeping: Option<u64>,
    /// How many servers outside of this process are waited for.
    listening: usize,
    tickets: u64,
    last: Option<(Cow<'static, str>, Arc<str>)>,
}

impl State {
    fn wake(&mut self) {
        self.wakers.drain(..).for_each(Waker::wake);
    }
}

/// The gate of one call.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<Mutex<State>>);

impl Gate {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops before an operation until it is granted.
    pub(crate) fn pass(&self, operation: Operation) -> Pass {
        Pass { gate: self.clone(), operation: Some(operation), ticket: 0 }
    }

    /// Says what came of the operation that was granted last.
    pub(crate) fn performed(&self, operation: Operation) {
        self.state().performed = Some(operation);
    }

    /// Says that the guest waits for a moment in virtual time.
    pub(crate) fn sleeps_until(&self, moment: u64) {
        let mut state = self.state();
        let earliest = state.sleeping.map_or(moment, |other| other.min(moment));
        state.sleeping = Some(earliest);
    }

    /// Says that a server outside of this process is waited for, until what it returns is dropped.
    pub(super) fn listen(&self) -> Listening {
        self.state().listening += 1;
        Listening(self.clone())
    }

    pub(super) fn is_listening(&self) -> bool {
        self.state().listening > 0
    }

    /// The operation that was granted last, such as `open /remote/data/x`.
    pub(super) fn last(&self) -> Option<String> {
        self.state().last.clone().map(|(call, path)| format!("{call} {path}"))
    }

    pub(super) fn grant(&self, directive: Directive) {
        let mut state = self.state();
        state.granted = state.waiting.is_some().then_some(directive);
        state.last =
            state.waiting.as_ref().map(|(_, operation)| (operation.call.clone(), operation.path.clone()));
        state.sleeping = None;
        state.performed = None;
        state.wake();
    }

    /// What was carried out since the last grant, whether the guest waits to do something now, and when it wakes up.
    pub(super) fn look(&self) -> (Option<Operation>, bool, Option<u64>) {
        let mut state = self.state();
        state.granted = None;
        (state.performed.take(), state.waiting.is_some(), state.sleeping)
    }

    /// Has something woken up that sleeps and was spawned by the guest, when the guest itself is.
    pub(super) fn wakes(&self, waker: &Waker) {
        self.state().wakers.push(waker.clone());
    }

    /// Wakes up who sleeps, to look at the clock once more.
    pub(super) fn awaken(&self) {
        let mut state = self.state();
        state.sleeping = None;
        state.wake();
    }

    /// Whether an operation waits that was not granted yet.
    pub(super) fn is_shut(&self) -> bool {
        let state = self.state();
        state.waiting.is_some() && state.granted.is_none()
    }

    pub(super) fn waiting<R>(&self, read: impl FnOnce(Option<&Operation>) -> R) -> R {
        read(self.state().waiting.as_ref().map(|(_, operation)| operation))
    }
}

/// Somebody waits for a server.
pub(super) struct Listening(Gate);

impl Drop for Listening {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.listening = state.listening.saturating_sub(1);
    }
}

/// Waits for an operation to be granted.
pub(crate) struct Pass {
    gate: Gate,
    operation: Option<Operation>,
    ticket: u64,
}

impl Future for Pass {
    type Output = (Directive, Operation);

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let gate = self.gate.clone();
        let mut state = gate.state();
        match &state.waiting {
            Some((ticket, _)) if *ticket == self.ticket && state.granted.is_some() => {
                let directive = state.granted.take().unwrap_or(Directive::Proceed);
                self.ticket = 0;
                if let Some((_, operation)) = state.waiting.take() {
                    state.wake();
                    return Poll::Ready((directive, operation));
                }
            }
            Some(_) => {}
            None => {
                if let Some(operation) = self.operation.take() {
                    state.tickets += 1;
                    self.ticket = state.tickets;
                    state.waiting = Some((self.ticket, operation));
                }
            }
        }
        state.wakers.push(context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Pass {
    /// A guest that no longer wants to do it doesn't wait for it.
    fn drop(&mut self) {
        let mut state = self.gate.state();
        if state.waiting.as_ref().is_some_and(|(ticket, _)| *ticket == self.ticket) {
            state.waiting = None;
            state.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(path: &str, reach: Reach, writes: bool) -> Touch {
        Touch { path: path.into(), reach, writes }
    }

    #[test]
    fn a_listing_conflicts_with_its_entries_and_a_prefix_with_all_below() {
        let write = |path| touch(path, Reach::Itself, true);
        let listing = touch("/remote/a", Reach::Entries, false);
        assert!(listing.conflicts(&write("/remote/a/x")));
        assert!(listing.conflicts(&write("/remote/a")));
        assert!(!listing.conflicts(&write("/remote/a/x/y")));
        assert!(!listing.conflicts(&write("/remote/ab")));
        let folder = touch("/remote/a", Reach::Below, false);
        assert!(folder.conflicts(&write("/remote/a/x/y")));
        assert!(!folder.conflicts(&write("/remote/a-2/x")));
        let prefix = touch("/remote/a", Reach::Prefix, false);
        assert!(prefix.conflicts(&write("/remote/a-2/x")));
        assert!(!prefix.conflicts(&touch("/remote/a/x", Reach::Itself, false)), "two readers");
    }
}
