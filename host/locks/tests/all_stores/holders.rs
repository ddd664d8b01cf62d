//! Who holds and who waits can be read, and ended under its own name only.

use std::sync::Mutex;
use std::time::Duration;

use lockkeeper_locks::{Holder, LockError, Mode, Released, Wish};

use crate::support::{ENDLESS, Process, Store, key, me};

pub async fn a_holder_is_readable_while_it_holds_the_lock_and_no_longer(store: Store) {
    assert_eq!(store.holders().await, []);
    let lease = store.try_lock("model/a/b", Mode::Shared).await.unwrap();
    let [holder] = &store.holders().await[..] else { panic!() };
    let expected = Holder {
        id: lease.id().to_owned(),
        key: lease.key().clone(),
        mode: Mode::Shared,
        waiting: false,
        user: me().user,
        host: me().host,
        pid: me().pid,
        command: me().command,
        since: holder.since.clone(),
    };
    assert_eq!(*holder, expected);
    lease.release().await.unwrap();
    assert_eq!(store.holders().await, []);
}

pub async fn who_waits_is_listed_as_waiting_and_not_named_to_itself(store: Store) {
    let held = store.try_lock("sync", Mode::Exclusive).await.unwrap();
    let told = Mutex::new(Vec::new());
    let (wait, on_wait) = (Duration::from_millis(1500), |waiting: &lockkeeper_locks::Waiting| {
        told.lock().unwrap().push(waiting.clone());
    });
    store
        .locks
        .acquire(Wish::new(&key("sync"), Mode::Shared, &me()).within(wait).telling(&on_wait))
        .await
        .unwrap_err();
    let told = told.into_inner().unwrap();
    let [waiting] = &told[..] else { panic!("{told:?}") };
    let ids: Vec<&str> = waiting.holders.iter().map(|holder| &*holder.id).collect();
    assert_eq!(ids, [held.id()]);

    let next = store.wait_for("sync", Mode::Shared);
    store.until_waiting(1).await;
    let listed: Vec<(bool, Mode)> =
        store.holders().await.iter().map(|holder| (holder.waiting, holder.mode)).collect();
    assert_eq!(listed, [(false, Mode::Exclusive), (true, Mode::Shared)]);
    held.release().await.unwrap();
    let next = next.await.unwrap();
    let ids: Vec<String> = store.holders().await.into_iter().map(|holder| holder.id).collect();
    assert_eq!(ids, [next.id()]);
}

pub async fn a_hold_is_released_only_under_its_own_id(store: Store) {
    let other = Process::holding(&store, "sync", Mode::Exclusive, ENDLESS);
    for id in ["", "000000000123", "../../precious", "a/b", "\0", "'; DROP TABLE holds; --"] {
        let error = store.locks.release(&key("sync"), id).await.unwrap_err();
        assert!(matches!(error, LockError::NotHeld { .. }), "{id:?}: {error}");
    }
    let id = store.holders().await[0].id.clone();
    let error = store.locks.release(&key("never/locked"), &id).await.unwrap_err();
    assert!(matches!(error, LockError::NotHeld { .. }), "{error}");
    assert!(!store.is_free("sync", Mode::Shared).await);
    drop(other);
}

pub async fn who_waits_can_be_sent_away(store: Store) {
    if !store.place.has_leases() {
        return;
    }
    let held = store.try_lock("sync", Mode::Exclusive).await.unwrap();
    let waiting = store.wait_for("sync", Mode::Exclusive);
    store.until_waiting(1).await;
    let before = store.holders().await;
    let id = &before[1].id;
    assert_eq!(store.locks.release(&key("sync"), id).await.unwrap(), Released::Waiting);
    // It goes to the end of the line, under a new name.
    crate::support::until("it is still in line", async || {
        !store.holders().await.iter().any(|holder| holder.id == *id)
    })
    .await;
    held.release().await.unwrap();
    assert_ne!(waiting.await.unwrap().id(), id);
}

pub async fn the_store_says_what_and_where_it_is(store: Store) {
    let (kind, place) = (store.locks.kind(), store.locks.place());
    assert!(store.place.to_string().starts_with(kind), "{kind}");
    assert!(!place.is_empty() && !place.contains("sslmode"), "{place}");
    store.locks.ping().await.unwrap();
}
