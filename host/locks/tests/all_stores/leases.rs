//! How long a lock lasts, and how its holder learns of its end.

use lockkeeper_locks::{LockError, Loss, Mode, Released, Wish};

use crate::support::{LONG, SHORT, Store, key, me};

pub async fn a_lock_is_held_for_longer_than_its_lease(store: Store) {
    let store = store.with_lease(SHORT);
    let held = store.lock("sync", Mode::Exclusive).await;
    let shared = store.lock("repository", Mode::Shared).await;
    for (name, mode) in [("sync", Mode::Shared), ("repository", Mode::Exclusive)] {
        let error = store.locks.acquire(Wish::new(&key(name), mode, &me()).within(SHORT * 2)).await;
        assert!(matches!(error, Err(LockError::TimedOut { .. })), "{error:?}");
    }
    assert_eq!((held.proof().loss(), shared.proof().loss()), (None, None));
}

pub async fn a_holder_who_is_released_stops_and_the_next_one_comes_in(store: Store) {
    let store = store.with_lease(SHORT);
    let held = store.lock("sync", Mode::Exclusive).await;
    let released = store.locks.release(&key("sync"), held.id()).await;
    if !store.place.has_leases() {
        assert!(matches!(released, Err(LockError::StillHeld { .. })), "{released:?}");
        return;
    }
    assert_eq!(released.unwrap(), Released::Ending { within: SHORT });
    let next = store.wait_for("sync", Mode::Exclusive);
    assert_eq!(tokio::time::timeout(LONG, held.proof().lost()).await.unwrap(), Loss::Released);
    held.release().await.unwrap();
    let next = next.await.unwrap();
    assert_eq!(next.proof().loss(), None);
    // Whoever released it twice has released nobody else.
    let again = store.locks.release(&key("sync"), "000000000123").await;
    assert!(matches!(again, Err(LockError::NotHeld { .. })));
}
