//! Who excludes whom.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lockkeeper_locks::{LockError, Mode, Wish};

use crate::support::{ENDLESS, LONG, Process, Store, key, me};

pub async fn an_exclusive_lock_excludes_both_modes(store: Store) {
    let lease = store.try_lock("sync", Mode::Exclusive).await.unwrap();
    assert!(!store.is_free("sync", Mode::Exclusive).await);
    assert!(!store.is_free("sync", Mode::Shared).await);
    lease.release().await.unwrap();
    assert!(store.is_free("sync", Mode::Exclusive).await);
}

pub async fn shared_locks_share_and_exclude_an_exclusive_one(store: Store) {
    let first = store.try_lock("repository", Mode::Shared).await.unwrap();
    let second = store.try_lock("repository", Mode::Shared).await.unwrap();
    assert_ne!(first.id(), second.id());
    first.release().await.unwrap();
    assert!(!store.is_free("repository", Mode::Exclusive).await);
    second.release().await.unwrap();
    assert!(store.is_free("repository", Mode::Exclusive).await);
}

pub async fn another_process_is_excluded_like_another_task(store: Store) {
    let mut other = Process::holding(&store, "repository", Mode::Shared, ENDLESS);
    assert!(!store.is_free("repository", Mode::Exclusive).await);
    assert!(store.is_free("repository", Mode::Shared).await);
    other.end();
    assert!(store.is_free("repository", Mode::Exclusive).await);
}

pub async fn a_key_inside_another_is_a_lock_of_its_own(store: Store) {
    let _outer = store.try_lock("model/a/b", Mode::Exclusive).await.unwrap();
    let _inner = store.try_lock("model/a/b/c", Mode::Exclusive).await.unwrap();
    let _top = store.try_lock("model", Mode::Exclusive).await.unwrap();
    let held: Vec<String> = store.holders().await.iter().map(|holder| holder.key.to_string()).collect();
    assert_eq!(held, ["model", "model/a/b", "model/a/b/c"]);
}

pub async fn a_wait_is_bounded_and_names_the_holder(store: Store) {
    let other = Process::holding(&store, "sync", Mode::Exclusive, ENDLESS);
    let wait = Duration::from_millis(100);
    let error =
        store.locks.acquire(Wish::new(&key("sync"), Mode::Shared, &me()).within(wait)).await.unwrap_err();
    let message = error.to_string();
    let LockError::TimedOut { key: of, mode, waited, holders } = error else { panic!("{message}") };
    assert_eq!((of, mode), (key("sync"), Mode::Shared));
    assert!(waited >= wait && waited < LONG, "{waited:?}");
    let [holder] = &holders[..] else { panic!("{holders:?}") };
    let seen = (holder.pid, holder.mode, &*holder.command);
    assert_eq!(seen, (other.pid(), Mode::Exclusive, "the other process"));
    let (pid, command) = (format!("pid {}", other.pid()), "`the other process`");
    assert!(message.contains(&pid) && message.contains(command), "{message}");
}

pub async fn no_update_is_lost_among_eight_and_their_numbers_only_grow(store: Store) {
    const ROUNDS: u64 = 10;
    let (counter, highest) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let eight: Vec<_> = (0..8)
        .map(|_| {
            // A connection of its own, as in a process of its own.
            let (store, counter, highest) = (store.with_lease(ENDLESS), counter.clone(), highest.clone());
            tokio::spawn(async move {
                for _ in 0..ROUNDS {
                    let lease = store.lock("sync", Mode::Exclusive).await;
                    let number = counter.load(Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    counter.store(number + 1, Ordering::SeqCst);
                    assert_eq!(lease.fence().is_some(), store.place.has_leases());
                    if let Some(fence) = lease.fence() {
                        let before = highest.swap(fence, Ordering::SeqCst);
                        assert!(before < fence, "{fence} after {before}");
                    }
                    lease.release().await.unwrap();
                }
            })
        })
        .collect();
    for one in eight {
        one.await.unwrap();
    }
    assert_eq!(counter.load(Ordering::SeqCst), 8 * ROUNDS);
    assert_eq!(store.holders().await, []);
}

/// A full push and the push of a model write the same documents, each under a lock of its own.
pub async fn a_number_of_the_whole_and_one_of_a_part_can_be_compared(store: Store) {
    let mut before = None;
    for round in 0..4 {
        for _ in 0..round {
            let whole = store.lock("repository", Mode::Shared).await;
            let part = store.lock("model/a/b", Mode::Exclusive).await;
            let number = store.number(&[&whole, &part]);
            assert!(number > before || number.is_none(), "{number:?} after {before:?}");
            before = number;
            part.release().await.unwrap();
            whole.release().await.unwrap();
        }
        let whole = store.lock("repository", Mode::Exclusive).await;
        let number = store.number(&[&whole]);
        assert!(number > before || number.is_none(), "{number:?} after {before:?}");
        before = number;
        whole.release().await.unwrap();
    }
    assert_eq!(before.is_some(), store.place.has_leases());
}
