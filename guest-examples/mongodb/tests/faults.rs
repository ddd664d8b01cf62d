//! What happens when a request goes wrong, each one in turn.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail so")]

mod common;
#[path = "common/proxy.rs"]
mod proxy;

use std::sync::atomic::Ordering;

use common::{Database, body, content};
use lockkeeper_sdk::shard::Entry;
use lockkeeper_sdk::{DocumentRead, Error, PutNew, Remote, Result, Swap};
use mongodb::Mongo;
use mongodb::store::Collection;
use pollster::block_on;
use proxy::{Fault, Proxy};

const LONG: &str = "a content of several chunks";
const DOCUMENT: &str = "a document of several chunks";

/// Tries again as the SDK does.
async fn again<T>(operation: impl AsyncFn() -> Result<T>) -> Result<T> {
    for _ in 0..3 {
        match operation().await {
            Err(Error::Retry(_)) => {}
            result => return result,
        }
    }
    operation().await
}

/// What a push does: it makes a file, replaces one by way of another, deletes one, and writes a document twice.
///
/// Each step answers as if nothing had gone wrong.
async fn push(remote: &Mongo) -> Result<()> {
    let entry = Entry { digest: String::new(), size: 0 };
    assert_eq!(again(async || remote.put_new("new", body("new")).await).await?, PutNew::Created);
    again(async || remote.put("staged", body(LONG)).await).await?;
    // False if an attempt whose answer was lost had moved it.
    again(async || remote.rename("staged", "old", &entry).await).await?;
    again(async || remote.delete("gone").await).await?;
    let swap = again(async || remote.swap_document("index/a", None, DOCUMENT.as_bytes()).await).await?;
    let Swap::Swapped(token) = swap else { panic!("{swap:?}") };
    let read = again(async || remote.read_document("index/a", Some(&token)).await).await?;
    assert_eq!(read, DocumentRead::Unchanged);
    let swap = again(async || remote.swap_document("index/a", Some(&token), b"short").await).await?;
    assert!(matches!(swap, Swap::Swapped(_)), "{swap:?}");
    Ok(())
}

fn prepare(database: &Database) {
    database.clear();
    let remote = database.remote();
    block_on(async {
        remote.put("old", body("old")).await.unwrap();
        remote.put("gone", body("a content that will be gone")).await.unwrap();
    });
}

/// Checks that the push has arrived, and that there is nothing else.
fn arrived(database: &Database, context: &dyn std::fmt::Debug) {
    database.sweep();
    database.check_whole(context);
    let remote = database.remote();
    let expected = [("new", Some("new")), ("old", Some(LONG)), ("gone", None), ("staged", None)];
    for (key, text) in expected {
        let found = content(&remote, key).unwrap();
        assert_eq!(found.as_deref(), text.map(str::as_bytes), "{key}: {context:?}");
    }
    let document = block_on(remote.read_document("index/a", None)).unwrap();
    assert!(matches!(document, DocumentRead::Changed(found) if found.bytes == b"short"), "{context:?}");
    assert_eq!(database.all(Collection::Chunks).len(), LONG.len().div_ceil(8), "{context:?}");
}

/// Makes each request of a push go wrong in turn, and gives what came of it to `outcome`.
fn each_request(fault: Fault, options: &str, mut outcome: impl FnMut(&Database, Result<()>, usize)) {
    let Some(database) = Database::tiny() else { return };
    for at in 0.. {
        prepare(&database);
        let proxy = Proxy::start(database.address, Some((at, fault)));
        let result = block_on(push(&database.remote_with(proxy.address, options)));
        if proxy.requests.load(Ordering::Relaxed) <= at {
            assert!(at > 30, "a push makes more requests than {at}");
            return;
        }
        outcome(&database, result, at);
    }
}

fn survived(fault: Fault, options: &str) {
    each_request(fault, options, |database, result, at| {
        result.unwrap_or_else(|error| panic!("{error:?}: {fault:?} at {at}"));
        arrived(database, &(fault, at));
    });
}

#[test]
fn a_connection_that_ends_before_any_request_changes_nothing() {
    survived(Fault::Cut, "");
}

#[test]
fn an_answer_that_is_lost_is_found_out() {
    survived(Fault::AnswerLost, "");
}

#[test]
fn an_answer_that_is_cut_off_is_found_out() {
    survived(Fault::Truncated, "");
}

#[test]
fn an_answer_that_never_comes_is_not_waited_for_longer_than_configured() {
    survived(Fault::Stalled, "&socketTimeoutMS=400");
}

#[test]
fn a_primary_that_steps_down_is_looked_for_again() {
    survived(Fault::Refused(10107), "");
}

#[test]
fn a_write_conflict_is_tried_again() {
    survived(Fault::Refused(112), "");
}

#[test]
fn a_write_that_too_few_have_is_made_again() {
    survived(Fault::Alone, "");
}

#[test]
fn a_refusal_for_want_of_rights_names_the_user_and_is_not_tried_again() {
    each_request(Fault::Refused(13), "", |database, result, at| {
        match result {
            Err(Error::Reauthenticate(failure)) => assert_eq!(failure.status, Some(13)),
            // To clear away what an old revision leaves is not worth a failure.
            Ok(()) => {}
            other => panic!("{other:?}: {at}"),
        }
        database.sweep();
        database.check_whole(&at);
    });
}

#[test]
fn nonsense_is_an_error_that_says_so() {
    each_request(Fault::Nonsense, "", |database, result, at| {
        match result {
            Err(Error::Fatal(failure)) => assert!(failure.message.contains("MongoDB"), "{failure:?}"),
            Ok(()) => {}
            other => panic!("{other:?}: {at}"),
        }
        database.sweep();
        database.check_whole(&at);
    });
}
