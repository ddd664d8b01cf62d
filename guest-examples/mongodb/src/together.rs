//! Requests that are made at the same time travel together.
//!
//! Whoever comes first opens a batch. Until a connection is free and everybody else who can go on has gone on, others join it;
//! then one message carries all of them, and each gets its own answer.

use std::cell::RefCell;
use std::rc::{Rc, Weak};

use futures_channel::oneshot::{self, Sender};

use crate::client::{Client, Slot};
use crate::fault::Fault;
use crate::net::gather;

/// How many travel in one message. Servers take 100,000.
const MOST: usize = 1000;
/// How many bytes travel in one message, unless it carries one item only. Servers take 48 million, and answer with 16.
const LONGEST: usize = 8 * 1024 * 1024;

/// What one request adds to a message.
pub trait Item {
    /// About how many bytes it takes in the message or in its answer.
    fn size(&self) -> usize;

    /// Whether the two of them can't be answered for if they travel together.
    fn clashes(&self, _: &Self) -> bool {
        false
    }
}

/// Where requests of one kind meet.
pub struct Together<I, O>(RefCell<Weak<RefCell<Batch<I, O>>>>);

/// Those that travel together. It is open for as long as its leader, whose future holds it, waits to depart.
struct Batch<I, O> {
    items: Vec<I>,
    answers: Vec<Sender<Result<O, Fault>>>,
    size: usize,
}

impl<I, O> Default for Together<I, O> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}

impl<I: Item, O> Together<I, O> {
    /// Makes a request, together with those that are made meanwhile. `send` makes one of many, and answers them in their order.
    pub async fn join(
        &self,
        client: &Client,
        item: I,
        send: impl AsyncFnOnce(&Slot<'_>, Vec<I>) -> Result<Vec<O>, Fault>,
    ) -> Result<O, Fault> {
        let (sender, answer) = oneshot::channel();
        if let Some(batch) = self.lead(item, sender) {
            let slot = client.slot().await;
            gather().await;
            let Batch { items, answers, .. } = depart(batch);
            match send(&slot, items).await {
                Ok(outcomes) => answers.into_iter().zip(outcomes).for_each(|(answer, outcome)| {
                    // Who doesn't wait any more was given up.
                    let _ = answer.send(Ok(outcome));
                }),
                Err(fault) => answers.into_iter().for_each(|answer| {
                    let _ = answer.send(Err(fault.clone()));
                }),
            }
        }
        let given_up = |_| Err(Fault::Network("the request was given up with another one".to_owned()));
        answer.await.unwrap_or_else(given_up)
    }

    /// Joins the open batch, or opens one that the caller has to lead.
    fn lead(&self, item: I, answer: Sender<Result<O, Fault>>) -> Option<Rc<RefCell<Batch<I, O>>>> {
        let mut open = self.0.borrow_mut();
        if let Some(batch) = open.upgrade() {
            let mut batch = batch.borrow_mut();
            let fits = batch.items.len() < MOST && batch.size + item.size() <= LONGEST;
            if fits && !batch.items.iter().any(|other| item.clashes(other)) {
                batch.size += item.size();
                batch.items.push(item);
                batch.answers.push(answer);
                return None;
            }
        }
        let batch = Batch { size: item.size(), items: vec![item], answers: vec![answer] };
        let batch = Rc::new(RefCell::new(batch));
        *open = Rc::downgrade(&batch);
        Some(batch)
    }
}

/// Closes a batch.
fn depart<I, O>(batch: Rc<RefCell<Batch<I, O>>>) -> Batch<I, O> {
    batch.replace(Batch { items: Vec::new(), answers: Vec::new(), size: 0 })
}
