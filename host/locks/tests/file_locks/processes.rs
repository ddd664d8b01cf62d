//! A process that ends, however it ends, holds nothing back.

use std::fs;
use std::process::Command;
use std::thread;

use lockkeeper_locks::{LockError, LockStore, Mode, Released};

use crate::support::{Folder, Process, key};

#[tokio::test]
async fn a_killed_process_frees_its_lock_at_once_and_its_record_vanishes() {
    let folder = Folder::new();
    let mut other = Process::holding(&folder, "model/a/b", Mode::Exclusive);
    let [holder] = &folder.holders().await[..] else { panic!() };
    assert_eq!((holder.pid, &*holder.user, &*holder.host), (other.pid(), "ada", "mill"));
    assert!(is_a_date(&holder.since), "{}", holder.since);
    other.kill();
    assert_eq!(folder.record_files("model/a/b").len(), 1);
    let lease = folder.try_lock("model/a/b", Mode::Exclusive).await.unwrap();
    assert_eq!(folder.record_files("model/a/b"), [format!("{}.json", lease.id())]);
}

fn is_a_date(text: &str) -> bool {
    text.len() == "2026-01-02T03:04:05Z".len() && text.starts_with("20") && text.ends_with('Z')
}

#[tokio::test]
async fn listing_clears_away_the_record_of_a_killed_process() {
    let folder = Folder::new();
    let mut other = Process::holding(&folder, "repository", Mode::Shared);
    let lease = folder.try_lock("repository", Mode::Shared).await.unwrap();
    assert_eq!(folder.holders().await.len(), 2);
    other.kill();
    assert_eq!(folder.record_files("repository").len(), 2);
    assert_eq!(folder.holders().await.len(), 1);
    assert_eq!(folder.record_files("repository"), [format!("{}.json", lease.id())]);
}

#[tokio::test]
async fn a_child_that_outlives_its_parent_keeps_no_lock() {
    let folder = Folder::new();
    let mut other = Process::holding_with_child(&folder, "sync", Mode::Exclusive);
    other.echo("before");
    other.kill();
    let lease = folder.try_lock("sync", Mode::Exclusive).await.unwrap();
    assert_eq!(folder.record_files("sync"), [format!("{}.json", lease.id())]);
    other.echo("after");
}

#[tokio::test]
async fn a_lock_of_a_live_process_is_not_released_by_another() {
    let folder = Folder::new();
    let other = Process::holding(&folder, "sync", Mode::Exclusive);
    let id = folder.holders().await[0].id.clone();
    let error = folder.locks.release(&key("sync"), &id).await.unwrap_err();
    let message = error.to_string();
    assert!(message.ends_with(&format!("; to end it, run `kill {}` on `mill`", other.pid())), "{message}");
    assert!(matches!(error, LockError::StillHeld { holder } if holder.id == id));
    assert!(!folder.is_free("sync", Mode::Shared).await);
}

#[tokio::test]
async fn the_record_of_a_killed_process_is_released_while_somebody_else_holds_the_lock() {
    let folder = Folder::new();
    let mut other = Process::holding(&folder, "repository", Mode::Shared);
    let id = folder.holders().await[0].id.clone();
    let _held = folder.try_lock("repository", Mode::Shared).await.unwrap();
    other.kill();
    assert_eq!(folder.locks.release(&key("repository"), &id).await.unwrap(), Released::Stale);
    let again = folder.locks.release(&key("repository"), &id).await;
    assert!(matches!(again, Err(LockError::NotHeld { .. })));
}

#[tokio::test]
async fn an_id_that_nobody_has_is_not_held_and_names_no_other_file() {
    let folder = Folder::new();
    let precious = folder.dir.path().join("precious.json");
    fs::write(&precious, "data").unwrap();
    let _held = folder.try_lock("sync", Mode::Exclusive).await.unwrap();
    for id in ["", "000000000123", "../../precious", "a/b", "\0"] {
        let error = folder.locks.release(&key("sync"), id).await.unwrap_err();
        assert!(matches!(error, LockError::NotHeld { .. }), "{id:?}: {error}");
    }
    let error = folder.locks.release(&key("never/locked"), "0123").await.unwrap_err();
    assert!(matches!(error, LockError::NotHeld { .. }), "{error}");
    assert_eq!(fs::read_to_string(&precious).unwrap(), "data");
}

#[test]
fn a_lock_that_is_given_back_while_a_child_starts_is_free_at_once() {
    let folder = Folder::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    thread::scope(|scope| {
        // Between its fork and its exec a child has all our files open.
        let children = scope.spawn(|| (0..100).all(|_| Command::new("true").status().unwrap().success()));
        while !children.is_finished() {
            assert!(runtime.block_on(folder.is_free("sync", Mode::Exclusive)));
        }
        assert!(children.join().unwrap());
    });
}
