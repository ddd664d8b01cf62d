//! Nobody overtakes the first in line, whatever its mode, and a wait that is given up leaves nothing.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use lockkeeper_locks::{LockStore, Mode};

use crate::support::{Folder, LONG, key, me};

#[tokio::test]
async fn a_waiting_exclusive_lock_comes_before_shared_ones_that_arrive_later() {
    let folder = Folder::new();
    let held = folder.try_lock("repository", Mode::Shared).await.unwrap();
    let exclusive = folder.wait_for("repository", Mode::Exclusive);
    folder.until_somebody_waits().await;
    assert!(!folder.is_free("repository", Mode::Shared).await);
    let shared = folder.wait_for("repository", Mode::Shared);
    drop(held);
    let exclusive = exclusive.await.unwrap();
    assert!(!shared.is_finished());
    drop(exclusive);
    let _ = shared.await.unwrap();
}

#[tokio::test]
async fn a_waiting_shared_lock_comes_before_exclusive_ones_that_arrive_later() {
    let folder = Folder::new();
    let held = folder.try_lock("repository", Mode::Exclusive).await.unwrap();
    let shared = folder.wait_for("repository", Mode::Shared);
    folder.until_somebody_waits().await;
    let exclusive = folder.wait_for("repository", Mode::Exclusive);
    drop(held);
    let shared = shared.await.unwrap();
    assert!(!exclusive.is_finished());
    drop(shared);
    let _ = exclusive.await.unwrap();
}

#[tokio::test]
async fn who_joins_a_holder_passes_by_those_who_wait_for_it() {
    let folder = Folder::new();
    let held = folder.try_lock("repository", Mode::Shared).await.unwrap();
    let exclusive = folder.wait_for("repository", Mode::Exclusive);
    folder.until_somebody_waits().await;
    let (key, who) = (key("repository"), me());
    let join = || folder.locks.join(&key, &who, Duration::ZERO, &|_| ());
    let joined = join().await.unwrap();
    drop(held);
    assert!(!exclusive.is_finished());
    drop(joined);
    let exclusive = exclusive.await.unwrap();
    assert!(join().await.is_err(), "joining takes nothing that is held alone");
    drop(exclusive);
}

#[tokio::test]
async fn an_exclusive_lock_gets_in_although_the_shared_one_is_never_free() {
    let folder = Folder::new();
    let mut held = folder.try_lock("repository", Mode::Shared).await.unwrap();
    let exclusive = folder.wait_for("repository", Mode::Exclusive);
    let begun = Instant::now();
    // Each holder goes only once the next one has the lock, until none gets it any more.
    while let Ok(next) = folder.try_lock("repository", Mode::Shared).await {
        held = next;
        assert!(begun.elapsed() < LONG, "the exclusive lock starves");
        tokio::task::yield_now().await;
    }
    drop(held);
    let _ = exclusive.await.unwrap();
}

#[tokio::test]
async fn a_wait_that_is_dropped_frees_the_gate() {
    let folder = Folder::new();
    let held = folder.try_lock("repository", Mode::Shared).await.unwrap();
    let exclusive = folder.wait_for("repository", Mode::Exclusive);
    folder.until_somebody_waits().await;
    exclusive.abort();
    assert!(exclusive.await.unwrap_err().is_cancelled());
    assert!(folder.is_free("repository", Mode::Shared).await);
    assert_eq!(folder.record_files("repository"), [format!("{}.json", held.id())]);
}

#[tokio::test]
async fn a_wait_that_timed_out_frees_the_gate() {
    let folder = Folder::new();
    let _held = folder.try_lock("repository", Mode::Shared).await.unwrap();
    assert!(!folder.is_free("repository", Mode::Exclusive).await);
    assert!(folder.is_free("repository", Mode::Shared).await);
}

#[tokio::test]
async fn who_waits_is_listed_as_waiting_and_not_named_to_itself() {
    let folder = Folder::new();
    let held = folder.try_lock("sync", Mode::Exclusive).await.unwrap();
    let told = Mutex::new(Vec::new());
    let (wait, on_wait) = (Duration::from_millis(1500), |waiting: &lockkeeper_locks::Waiting| {
        told.lock().unwrap().push(waiting.clone());
    });
    folder.locks.acquire(&key("sync"), Mode::Shared, &me(), wait, &on_wait).await.unwrap_err();
    let told = told.into_inner().unwrap();
    let [waiting] = &told[..] else { panic!("{told:?}") };
    let ids: Vec<&str> = waiting.holders.iter().map(|holder| &*holder.id).collect();
    assert_eq!(ids, [held.id()]);

    let next = folder.wait_for("sync", Mode::Shared);
    folder.until_somebody_waits().await;
    let listed: Vec<(bool, Mode)> =
        folder.holders().await.iter().map(|holder| (holder.waiting, holder.mode)).collect();
    assert_eq!(listed, [(false, Mode::Exclusive), (true, Mode::Shared)]);
    drop(held);
    let next = next.await.unwrap();
    assert_eq!(folder.record_files("sync"), [format!("{}.json", next.id())]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_crowd_of_both_modes_gets_in_one_and_all() {
    let folder = Folder::new();
    let crowd: Vec<_> = (0..60)
        .map(|number| {
            let mode = if number % 3 == 0 { Mode::Exclusive } else { Mode::Shared };
            let lease = folder.wait_for("repository", mode);
            tokio::spawn(async move { lease.await.unwrap().release().await.unwrap() })
        })
        .collect();
    for one in crowd {
        tokio::time::timeout(LONG, one).await.unwrap().unwrap();
    }
    assert!(folder.record_files("repository").is_empty());
}
