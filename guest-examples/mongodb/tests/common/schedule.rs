//! Running operations request by request, in an order that the test decides.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

type Operation<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// Two operations, one of which runs at a time. Each step ends right before the next request.
pub struct Pair<'a> {
    operations: [Option<Operation<'a>>; 2],
}

/// What an operation came to.
pub type Outcome<T> = Rc<RefCell<Option<T>>>;

/// Makes an operation whose result can be looked at later.
pub fn watched<'a, T: 'a>(operation: impl Future<Output = T> + 'a) -> (Operation<'a>, Outcome<T>) {
    let outcome = Outcome::default();
    let place = outcome.clone();
    (Box::pin(async move { *place.borrow_mut() = Some(operation.await) }), outcome)
}

impl<'a> Pair<'a> {
    pub fn new(one: Operation<'a>, other: Operation<'a>) -> Self {
        Self { operations: [Some(one), Some(other)] }
    }

    /// Runs one of them up to its next request; false if it has ended.
    pub fn step(&mut self, which: usize) -> bool {
        let Some(operation) = &mut self.operations[which] else { return false };
        if let Poll::Ready(()) = operation.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            self.operations[which] = None;
        }
        true
    }

    /// Runs so many steps of one of them.
    pub fn steps(&mut self, which: usize, steps: usize) {
        for _ in 0..steps {
            self.step(which);
        }
    }

    /// Runs one of them to its end.
    pub fn finish(&mut self, which: usize) {
        while self.step(which) {}
    }

    /// Drops one of them where it is, as if its process had been killed.
    pub fn kill(&mut self, which: usize) {
        self.operations[which] = None;
    }
}
