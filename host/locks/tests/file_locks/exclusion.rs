//! Who excludes whom.

use std::fs;
use std::thread;
use std::time::Duration;

use lockkeeper_locks::{FileLocks, LockError, LockStore, Mode};

use crate::support::{Folder, LONG, Process, key, me};

#[tokio::test]
async fn an_exclusive_lock_excludes_both_modes() {
    let folder = Folder::new();
    let lease = folder.try_lock("sync", Mode::Exclusive).await.unwrap();
    assert!(!folder.is_free("sync", Mode::Exclusive).await);
    assert!(!folder.is_free("sync", Mode::Shared).await);
    lease.release().await.unwrap();
    assert!(folder.is_free("sync", Mode::Exclusive).await);
}

#[tokio::test]
async fn shared_locks_share_and_exclude_an_exclusive_one() {
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
async fn another_process_is_excluded_like_another_thread() {
    let folder = Folder::new();
    let mut other = Process::holding(&folder, "repository", Mode::Shared);
    assert!(!folder.is_free("repository", Mode::Exclusive).await);
    assert!(folder.is_free("repository", Mode::Shared).await);
    other.end();
    assert!(folder.is_free("repository", Mode::Exclusive).await);
}

#[tokio::test]
async fn a_key_inside_another_is_a_lock_of_its_own() {
    let folder = Folder::new();
    let _outer = folder.try_lock("model/a/b", Mode::Exclusive).await.unwrap();
    let _inner = folder.try_lock("model/a/b/c", Mode::Exclusive).await.unwrap();
    let _top = folder.try_lock("model", Mode::Exclusive).await.unwrap();
    let held: Vec<String> = folder.holders().await.iter().map(|holder| holder.key.to_string()).collect();
    assert_eq!(held, ["model", "model/a/b", "model/a/b/c"]);
}

#[tokio::test]
async fn a_lease_says_what_is_held_and_how_long_it_took() {
    let folder = Folder::new();
    let lease = folder.try_lock("model/a/b", Mode::Exclusive).await.unwrap();
    assert_eq!((lease.key(), lease.mode()), (&key("model/a/b"), Mode::Exclusive));
    assert!(lease.waited() < LONG && lease.held_since().elapsed() < LONG);
    assert_eq!(folder.holders().await[0].id, lease.id());
}

#[tokio::test]
async fn a_wait_is_bounded_and_names_the_holder() {
    let folder = Folder::new();
    let other = Process::holding(&folder, "sync", Mode::Exclusive);
    let wait = Duration::from_millis(100);
    let error = folder.locks.acquire(&key("sync"), Mode::Shared, &me(), wait, &|_| ()).await.unwrap_err();
    let message = error.to_string();
    let LockError::TimedOut { key: of, mode, waited, holders } = error else { panic!("{message}") };
    assert_eq!((of, mode), (key("sync"), Mode::Shared));
    assert!(waited >= wait && waited < LONG, "{waited:?}");
    let [holder] = &holders[..] else { panic!("{holders:?}") };
    assert_eq!(
        (holder.pid, holder.mode, &*holder.command),
        (other.pid(), Mode::Exclusive, "the other process")
    );
    assert!(
        message.contains(&format!("pid {}", other.pid())) && message.contains("`the other process`"),
        "{message}"
    );
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
            let lease = runtime.block_on(locks.acquire(&sync, Mode::Exclusive, &who, LONG, &|_| ())).unwrap();
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
