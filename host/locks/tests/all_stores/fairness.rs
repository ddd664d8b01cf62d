//! Nobody overtakes the first in line, whatever its mode, and a wait that is given up leaves nothing.

use std::time::Instant;

use lockkeeper_locks::{Mode, Wish};

use crate::support::{LONG, Store, key, me, until};

pub async fn a_waiting_exclusive_lock_comes_before_shared_ones_that_arrive_later(store: Store) {
    let held = store.try_lock("repository", Mode::Shared).await.unwrap();
    let exclusive = store.wait_for("repository", Mode::Exclusive);
    store.until_waiting(1).await;
    assert!(!store.is_free("repository", Mode::Shared).await);
    let shared = store.wait_for("repository", Mode::Shared);
    held.release().await.unwrap();
    let exclusive = exclusive.await.unwrap();
    assert!(!shared.is_finished());
    exclusive.release().await.unwrap();
    let _ = shared.await.unwrap();
}

pub async fn a_waiting_shared_lock_comes_before_exclusive_ones_that_arrive_later(store: Store) {
    let held = store.try_lock("repository", Mode::Exclusive).await.unwrap();
    let shared = store.wait_for("repository", Mode::Shared);
    store.until_waiting(1).await;
    let exclusive = store.wait_for("repository", Mode::Exclusive);
    held.release().await.unwrap();
    let shared = shared.await.unwrap();
    assert!(!exclusive.is_finished());
    shared.release().await.unwrap();
    let _ = exclusive.await.unwrap();
}

pub async fn who_joins_a_holder_passes_by_those_who_wait_for_it(store: Store) {
    let held = store.try_lock("repository", Mode::Shared).await.unwrap();
    let exclusive = store.wait_for("repository", Mode::Exclusive);
    store.until_waiting(1).await;
    let (key, who) = (key("repository"), me());
    let join = || store.locks.join(Wish::new(&key, Mode::Shared, &who));
    let joined = join().await.unwrap();
    held.release().await.unwrap();
    // Whoever waits would have the lock by now if it could: others wait for it in vain.
    assert!(!store.is_free("repository", Mode::Shared).await);
    assert!(!exclusive.is_finished());
    joined.release().await.unwrap();
    let exclusive = exclusive.await.unwrap();
    assert!(join().await.is_err(), "joining takes nothing that is held alone");
    exclusive.release().await.unwrap();
    assert!(join().await.is_ok(), "with nobody to join it is an ordinary lock");
}

pub async fn an_exclusive_lock_gets_in_although_the_shared_one_is_never_free(store: Store) {
    let mut held = store.try_lock("repository", Mode::Shared).await.unwrap();
    let exclusive = store.wait_for("repository", Mode::Exclusive);
    let begun = Instant::now();
    // Each holder goes only once the next one has the lock, until none gets it any more.
    while let Ok(next) = store.try_lock("repository", Mode::Shared).await {
        held.release().await.unwrap();
        held = next;
        assert!(begun.elapsed() < LONG, "the exclusive lock starves");
    }
    held.release().await.unwrap();
    let _ = exclusive.await.unwrap();
}

pub async fn a_wait_that_is_dropped_holds_nobody_up(store: Store) {
    let held = store.try_lock("repository", Mode::Shared).await.unwrap();
    let exclusive = store.wait_for("repository", Mode::Exclusive);
    store.until_waiting(1).await;
    exclusive.abort();
    assert!(exclusive.await.unwrap_err().is_cancelled());
    until("the dropped wait holds others up", async || store.is_free("repository", Mode::Shared).await).await;
    let ids: Vec<String> = store.holders().await.into_iter().map(|holder| holder.id).collect();
    assert_eq!(ids, [held.id()]);
}

pub async fn a_wait_that_timed_out_holds_nobody_up(store: Store) {
    let _held = store.try_lock("repository", Mode::Shared).await.unwrap();
    assert!(!store.is_free("repository", Mode::Exclusive).await);
    assert!(store.is_free("repository", Mode::Shared).await);
}

pub async fn a_crowd_of_both_modes_gets_in_one_and_all(store: Store) {
    let crowd: Vec<_> = (0..30)
        .map(|number| {
            let mode = if number % 3 == 0 { Mode::Exclusive } else { Mode::Shared };
            let lease = store.wait_for("repository", mode);
            tokio::spawn(async move { lease.await.unwrap().release().await.unwrap() })
        })
        .collect();
    for one in crowd {
        tokio::time::timeout(LONG, one).await.unwrap().unwrap();
    }
    assert_eq!(store.holders().await, []);
}
