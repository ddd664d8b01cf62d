//! Pulls that are overtaken by a push at every request in turn.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail so")]

mod common;

use std::cell::RefCell;
use std::collections::BTreeMap;

use common::{Faulty, Memory, Repository, tree};
use lockkeeper_sdk::Layout;

const SCOPE: &str = "data/a/b/";

fn old() -> BTreeMap<String, String> {
    tree([("data/a/b/deleted", "1"), ("data/a/b/edited", "old"), ("data/a/b/last", "old")])
}

fn new() -> BTreeMap<String, String> {
    tree([("data/a/b/created", "1"), ("data/a/b/edited", "new"), ("data/a/b/last", "new")])
}

#[test]
fn a_reader_that_is_overtaken_by_a_push_sees_old_or_new() {
    for scope in [None, Some(SCOPE)] {
        for held in [tree([]), old()] {
            overtake(scope, &held);
        }
    }
}

fn overtake(scope: Option<&str>, held: &BTreeMap<String, String>) {
    let mut outcomes = (0, 0);
    for at in 0.. {
        let remote = Memory::default();
        let writer = RefCell::new(Repository::with(&old()));
        writer.borrow_mut().push(&remote, None).unwrap();
        let mut reader = Repository::new(Layout::PerScope);
        if !held.is_empty() {
            reader.pull(&remote, None).unwrap();
        }
        writer.borrow().replace(&new());
        let overtaken = Faulty::overtaken(&remote, at, || {
            writer.borrow_mut().push(&remote, Some(SCOPE)).unwrap();
        });
        reader.pull(&overtaken, scope).unwrap();
        let seen = reader.files();
        assert!(seen == old() || seen == new(), "a reader saw a mix: {seen:#?}");
        if seen == new() {
            outcomes.1 += 1
        } else {
            outcomes.0 += 1
        }
        if overtaken.not_overtaken() {
            break;
        }
    }
    assert!(outcomes.0 > 0 && outcomes.1 > 0, "one outcome was never seen: {outcomes:?}");
}
