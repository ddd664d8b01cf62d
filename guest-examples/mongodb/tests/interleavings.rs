//! Two writers that meet at every request, and writers that die at every request: nothing that a file refers to is lost, and what stays
//! behind is cleared away.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail so")]

mod common;
#[path = "common/schedule.rs"]
mod schedule;

use common::{Database, body, content};
use lockkeeper_sdk::shard::Entry;
use lockkeeper_sdk::{Error, PutNew, Remote, Result};
use mongodb::Mongo;
use mongodb::store::Collection;
use pollster::block_on;
use schedule::{Pair, watched};

/// Something that a push does to a file.
#[derive(Clone, Copy, Debug)]
enum Step {
    Put(&'static str, &'static str),
    PutNew(&'static str, &'static str),
    Delete(&'static str),
    Rename(&'static str, &'static str),
}

use Step::{Delete, Put, Rename};

impl Step {
    async fn run(self, remote: &Mongo) -> Result<()> {
        match self {
            Put(key, text) => remote.put(key, body(text)).await,
            Step::PutNew(key, text) => remote.put_new(key, body(text)).await.map(|_| ()),
            Delete(key) => remote.delete(key).await,
            Rename(from, to) => {
                remote.rename(from, to, &Entry { digest: String::new(), size: 0 }).await.map(|_| ())
            }
        }
    }

    /// As the SDK does it: again if that may help.
    async fn run_again(self, remote: &Mongo) -> Result<()> {
        for _ in 0..4 {
            match self.run(remote).await {
                Err(Error::Retry(_)) => {}
                result => return result,
            }
        }
        self.run(remote).await
    }
}

/// In one document, and in several chunks.
const SHORT: &str = "short";
const LONG: &str = "a content of several chunks";

/// Pairs of steps that meet at one content, each after a preparation.
fn meetings(text: &'static str) -> Vec<([Option<Step>; 2], Step, Step)> {
    let a = Some(Put("a", text));
    vec![
        // The last reference goes while a new one comes.
        ([a, None], Delete("a"), Put("b", text)),
        ([a, None], Put("a", "another"), Put("b", text)),
        ([a, None], Put("a", "another"), Step::PutNew("b", text)),
        ([a, Some(Put("c", "x"))], Rename("c", "a"), Put("b", text)),
        // The last two references go.
        ([a, Some(Put("b", text))], Delete("a"), Delete("b")),
        ([a, Some(Put("b", text))], Put("a", "another"), Delete("b")),
        // A reference moves while another one goes.
        ([a, Some(Put("b", text))], Rename("a", "c"), Delete("b")),
        ([a, Some(Put("b", text))], Rename("a", "b"), Put("c", text)),
        // Two send the same content at once.
        ([None, None], Put("a", text), Put("b", text)),
        ([None, None], Step::PutNew("a", text), Put("b", text)),
        // No lock kept these two apart.
        ([None, None], Put("a", text), Put("a", "another")),
        ([None, None], Step::PutNew("a", text), Step::PutNew("a", text)),
        ([a, None], Delete("a"), Put("a", text)),
        ([a, None], Delete("a"), Delete("a")),
    ]
}

fn prepare(database: &Database, before: [Option<Step>; 2]) {
    let remote = database.remote();
    for step in before.into_iter().flatten() {
        block_on(step.run(&remote)).unwrap();
    }
}

/// Counts the requests of a step that nobody disturbs.
fn requests(database: &Database, before: [Option<Step>; 2], step: Step) -> usize {
    prepare(database, before);
    let remote = database.remote();
    let (operation, outcome) = watched(step.run(&remote));
    let (nothing, _) = watched(async {});
    let mut pair = Pair::new(operation, nothing);
    let mut steps = 0;
    while pair.step(0) {
        steps += 1;
    }
    outcome.take().unwrap().unwrap();
    steps
}

/// How many of the meetings are tried, spread over all of them; with `EVERY_MEETING` set, every one is.
const TRIED: usize = 120;

fn tried<T>(cases: Vec<T>) -> impl Iterator<Item = T> {
    let all = std::env::var_os("EVERY_MEETING").is_some();
    let stride = if all { 1 } else { cases.len().div_ceil(TRIED) };
    cases.into_iter().step_by(stride)
}

/// Orders in which one is interrupted once, anywhere, by so many requests of the other.
fn every_meeting(text: &'static str) {
    let Some(database) = Database::tiny() else { return };
    let mut cases = Vec::new();
    for (before, one, other) in meetings(text) {
        let most = [one, other].map(|step| {
            database.clear();
            requests(&database, before, step)
        });
        for first in 0..=most[0] {
            cases.extend((1..=most[1]).map(|second| (before, one, other, first, second)));
        }
    }
    for context in tried(cases) {
        let (before, one, other, first, second) = context;
        database.clear();
        prepare(&database, before);
        let (here, there) = (database.remote(), database.remote());
        let (one, result) = watched(one.run_again(&here));
        let (other, other_result) = watched(other.run_again(&there));
        let mut pair = Pair::new(one, other);
        pair.steps(0, first);
        pair.steps(1, second);
        pair.finish(0);
        pair.finish(1);
        for result in [result, other_result] {
            result.take().unwrap().unwrap_or_else(|error| panic!("{error:?}: {context:?}"));
        }
        database.check_whole(&context);
    }
}

#[test]
fn two_who_meet_at_a_short_content_lose_nothing_and_leave_nothing() {
    every_meeting(SHORT);
}

#[test]
fn two_who_meet_at_a_long_content_lose_nothing_and_leave_nothing() {
    every_meeting(LONG);
}

#[test]
fn what_a_writer_leaves_that_dies_anywhere_is_cleared_away_later() {
    let Some(database) = Database::tiny() else { return };
    let mut cases = Vec::new();
    for (before, step, other) in [SHORT, LONG].into_iter().flat_map(meetings) {
        database.clear();
        let most = requests(&database, before, step);
        cases.extend((1..=most).map(|at| (before, step, other, at)));
    }
    for context in tried(cases) {
        let (before, step, other, at) = context;
        database.clear();
        prepare(&database, before);
        let remote = database.remote();
        let (operation, _) = watched(step.run(&remote));
        let (nothing, _) = watched(async {});
        let mut pair = Pair::new(operation, nothing);
        pair.steps(0, at);
        pair.kill(0);
        // Somebody else works on the same content, and then clears away what is there.
        block_on(other.run_again(&database.remote())).unwrap();
        database.sweep();
        database.check_whole(&context);
        // The one that died starts again.
        block_on(step.run_again(&database.remote())).unwrap();
        database.check_whole(&context);
    }
}

#[test]
fn a_writer_that_is_taken_for_dead_and_lives_starts_anew() {
    let Some(database) = Database::tiny() else { return };
    for text in [SHORT, LONG] {
        database.clear();
        let most = requests(&database, [None, None], Put("a", text));
        for at in 0..most {
            database.clear();
            let remote = database.remote();
            let (operation, outcome) = watched(Put("a", text).run_again(&remote));
            let (nothing, _) = watched(async {});
            let mut pair = Pair::new(operation, nothing);
            pair.steps(0, at);
            database.sweep();
            pair.finish(0);
            outcome.take().unwrap().unwrap();
            assert_eq!(content(&database.remote(), "a").unwrap().unwrap(), text.as_bytes(), "{at}");
            database.check_whole(&(text, at));
        }
    }
}

#[test]
fn of_two_who_create_one_file_one_succeeds_at_every_meeting() {
    let Some(database) = Database::tiny() else { return };
    let most = requests(&database, [None, None], Step::PutNew("a", SHORT));
    for first in 0..=most {
        for second in 1..=most {
            database.clear();
            let (here, there) = (database.remote(), database.remote());
            let (one, result) = watched(here.put_new("a", body(SHORT)));
            let (other, other_result) = watched(there.put_new("a", body(SHORT)));
            let mut pair = Pair::new(one, other);
            pair.steps(0, first);
            pair.steps(1, second);
            pair.finish(0);
            pair.finish(1);
            let results = [result.take().unwrap().unwrap(), other_result.take().unwrap().unwrap()];
            let created = results.iter().filter(|result| **result == PutNew::Created).count();
            assert_eq!(created, 1, "{first}, {second}");
        }
    }
}

#[test]
fn what_a_writer_of_a_long_document_leaves_goes_with_the_next_one() {
    let long = |round: usize| format!("a document in several chunks, {round}");
    let Some(database) = Database::tiny() else { return };
    for at in 0.. {
        database.clear();
        let remote = database.remote();
        let first = block_on(remote.swap_document("index/a", None, long(0).as_bytes())).unwrap();
        let lockkeeper_sdk::Swap::Swapped(token) = first else { panic!("{first:?}") };
        let text = long(1);
        let (operation, outcome) = watched(remote.swap_document("index/a", Some(&token), text.as_bytes()));
        let (nothing, _) = watched(async {});
        let mut pair = Pair::new(operation, nothing);
        pair.steps(0, at);
        let done = outcome.take().is_some();
        pair.kill(0);
        let lockkeeper_sdk::DocumentRead::Changed(found) =
            block_on(remote.read_document("index/a", None)).unwrap()
        else {
            panic!("{at}")
        };
        assert!([long(0), long(1)].iter().any(|text| text.as_bytes() == found.bytes), "{at}");
        let last = long(2);
        let swap = block_on(remote.swap_document("index/a", Some(&found.token), last.as_bytes())).unwrap();
        assert!(matches!(swap, lockkeeper_sdk::Swap::Swapped(_)), "{at}");
        assert_eq!(database.all(Collection::Chunks).len(), last.len().div_ceil(8), "{at}");
        if done {
            break;
        }
    }
}
