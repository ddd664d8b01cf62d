//! Who excludes whom, as far as it is not the same in all stores.

use std::fs;
use std::thread;

use lockkeeper_locks::{FileLocks, LockStore, Mode, Wish};

use crate::support::{Folder, LONG, key, me};

#[tokio::test]
async fn a_lease_that_is_dropped_gives_its_lock_back() {
    let folder = Folder::new();
    let first = folder.try_lock("repository", Mode::Shared).await.unwrap();
    let second = folder.try_lock("repository", Mode::Shared).await.unwrap();
    assert_ne!(first.id(), second.id());
    drop(first);
    assert!(!folder.is_free("repository", Mode::Exclusive).await);
    drop(second);
    assert!(folder.is_free("repository", Mode::Exclusive).await);
}

#[tokio::test]
async fn a_lease_says_what_is_held_and_how_long_it_took() {
    let folder = Folder::new();
    let lease = folder.try_lock("model/a/b", Mode::Exclusive).await.unwrap();
    assert_eq!((lease.key(), lease.mode()), (&key("model/a/b"), Mode::Exclusive));
    assert!(lease.waited() < LONG && lease.held_since().elapsed() < LONG);
    assert_eq!(folder.holders().await[0].id, lease.id());
}

#[test]
fn no_update_is_lost_among_eight_threads() {
    let folder = Folder::new();
    let counter = folder.dir.path().join("counter");
    fs::write(&counter, "0").unwrap();
    let count = || {
        // A store of its own, as in a process of its own.
        let locks = FileLocks::new(folder.dir.path());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        for _ in 0..50 {
            let (sync, who) = (key("sync"), me());
            let lease = runtime
                .block_on(locks.acquire(Wish::new(&sync, Mode::Exclusive, &who).within(LONG)))
                .unwrap();
            let number: u32 = fs::read_to_string(&counter).unwrap().parse().unwrap();
            fs::write(&counter, (number + 1).to_string()).unwrap();
            drop(lease);
        }
    };
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(count);
        }
    });
    assert_eq!(fs::read_to_string(&counter).unwrap(), "400");
    assert!(folder.record_files("sync").is_empty());
}
