//! A process that ends or stands still, however that comes about.

use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use lockkeeper_locks::{LockError, Mode, Wish};
use lockkeeper_test_servers::has;

use crate::support::{ENDLESS, Process, SHORT, Store, key, me};

pub async fn a_killed_process_frees_its_lock(store: Store) {
    // Where the store notices by itself, no lease is waited for.
    let lease = if store.place.notices_death() { ENDLESS } else { SHORT };
    for mode in [Mode::Exclusive, Mode::Shared] {
        let mut other = Process::holding(&store, "model/a/b", mode, lease);
        other.kill();
        let lease = store.with_lease(lease).lock("model/a/b", Mode::Exclusive).await;
        let ids: Vec<String> = store.holders().await.into_iter().map(|holder| holder.id).collect();
        assert_eq!(ids, [lease.id()]);
        lease.release().await.unwrap();
    }
}

pub async fn one_who_is_killed_while_waiting_holds_nobody_up(store: Store) {
    let lease = if store.place.notices_death() { ENDLESS } else { SHORT };
    let held = store.lock("sync", Mode::Exclusive).await;
    let mut other = Process::start(&[], &store, "sync", Mode::Exclusive, lease);
    store.until_waiting(1).await;
    let mine = store.with_lease(lease).wait_for("sync", Mode::Exclusive);
    other.kill();
    held.release().await.unwrap();
    let _ = mine.await.unwrap();
}

/// A lease, and the time it takes to look at the line, is what all of them cost together, not each of them.
pub async fn several_who_are_killed_in_line_hold_nobody_up_one_after_the_other(store: Store) {
    const DEAD: usize = 6;
    let lease = if store.place.notices_death() { ENDLESS } else { SHORT };
    let held = store.lock("sync", Mode::Exclusive).await;
    let mut dead = Vec::new();
    for number in 1..=DEAD {
        dead.push(Process::start(&[], &store, "sync", Mode::Exclusive, lease));
        store.until_waiting(store.place.seen_of(number)).await;
    }
    let mine = store.with_lease(lease).wait_for("sync", Mode::Exclusive);
    store.until_waiting(store.place.seen_of(DEAD + 1)).await;
    for one in &mut dead {
        one.kill();
    }
    held.release().await.unwrap();
    let begun = Instant::now();
    let _ = mine.await.unwrap();
    let leases = begun.elapsed().as_secs_f64() / SHORT.as_secs_f64();
    assert!(leases < DEAD as f64 / 2.0, "{DEAD} who were dead took {leases:.1} leases");
}

pub async fn a_process_that_was_stopped_past_its_lease_knows_that_it_lost_its_lock(store: Store) {
    let mut other = Process::holding(&store, "sync", Mode::Exclusive, SHORT);
    assert_eq!(other.asked(), "proven");
    other.signal("STOP");
    if !store.place.has_leases() {
        // Nothing expires: it goes on as if nothing had been.
        assert!(!store.is_free("sync", Mode::Shared).await);
        other.signal("CONT");
        assert_eq!(other.asked(), "proven");
        return;
    }
    let mine = store.with_lease(SHORT).lock("sync", Mode::Exclusive).await;
    other.signal("CONT");
    let answer = other.asked();
    assert_ne!(answer, "proven");
    // It ends, and takes nothing from its successor.
    other.end();
    assert_eq!(mine.proof().loss(), None);
    assert!(!store.is_free("sync", Mode::Shared).await);
    mine.release().await.unwrap();
    assert!(store.is_free("sync", Mode::Exclusive).await);
}

/// The holder is ten minutes ahead of the others, the waiting one behind; then the other way round.
pub async fn clocks_that_are_ten_minutes_apart_change_nothing(store: Store) {
    if !has("faketime") {
        return;
    }
    // The program itself would stay between us and the process.
    let library =
        Command::new("faketime").args(["-f", "+0", "sh", "-c", "echo $LD_PRELOAD"]).output().unwrap();
    let library = String::from_utf8(library.stdout).unwrap();
    let clock = |set| [("LD_PRELOAD", library.trim()), ("FAKETIME", set), ("DONT_FAKE_MONOTONIC", "1")];
    for (first, second) in [("+10m", "-10m"), ("-10m", "+10m")] {
        let mut holder = Process::start(&clock(first), &store, "sync", Mode::Exclusive, SHORT);
        holder.read_until("held");
        let begun = SystemTime::now();
        let since = humantime::parse_rfc3339(&store.holders().await[0].since).unwrap();
        let apart = since.duration_since(begun).unwrap_or_else(|error| error.duration());
        assert!(apart > Duration::from_secs(500), "its clock was not set: {apart:?}");

        let mut waiting = Process::start(&clock(second), &store, "sync", Mode::Exclusive, SHORT);
        store.until_waiting(1).await;
        // Longer than a lease: whoever went by the time of day would have given up on the holder by now.
        let store = store.with_lease(SHORT);
        let error = store.locks.acquire(Wish::new(&key("sync"), Mode::Shared, &me()).within(SHORT * 2)).await;
        assert!(matches!(error, Err(LockError::TimedOut { .. })), "{error:?}");
        assert_eq!(holder.asked(), "proven");
        // And nobody waits for ten minutes once it is gone.
        holder.kill();
        waiting.read_until("held");
        assert_eq!(waiting.asked(), "proven");
        waiting.end();
    }
}
