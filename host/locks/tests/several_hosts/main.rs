//! Several hosts, each with a link of its own that is cut and delayed, and processes that are killed and stopped.
//!
//! Hosts are network namespaces, which takes root on Linux. Clients hold a lock and write to a register under it. What they
//! did, by the one clock that all namespaces of a machine share, and what reached the register, must be what a lock promises.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a failed test panics")]

mod client;
mod history;
mod hosts;
mod place;
mod register;

use std::env;
use std::time::{Duration, Instant};

use client::{Client, Event};
use hosts::Hosts;
use place::Served;
use register::Register;

/// The shortest lease that all stores grant, and a little more for a busy machine.
const LEASE: Duration = Duration::from_secs(3);

/// How long anything may take that is going to happen at all.
const LONG: Duration = Duration::from_secs(60);

/// Cuts the holder off in each of `LOCKKEEPER_ROUNDS` rounds: it must stop by itself before the other side has the lock.
fn cut_rounds(served: Option<Served>, network: u8) {
    let rounds = env::var("LOCKKEEPER_ROUNDS").map_or(3, |text| text.parse().unwrap());
    let (Some(served), Some(hosts)) = (served, Hosts::new(network, 2)) else { return };
    let register = Register::serve(hosts.address());
    let mut random = fastrand::Rng::with_seed(u64::from(network));
    let places = served.places(&hosts);
    for round in 0..rounds {
        let (holder, other) = if random.bool() { (0, 1) } else { (1, 0) };
        let start = |host: usize| Client::start(&hosts, host, &places[host], LEASE, register.port(), 1);
        let first = start(holder);
        first.until("it holds the lock", |events| events.iter().any(|it| matches!(it, Event::Wrote { .. })));
        std::thread::sleep(Duration::from_millis(random.u64(0..500)));
        hosts.delay(holder, Duration::from_millis(random.u64(0..20)));
        let second = start(other);
        hosts.cut(holder);
        second.until("the other side proceeds", |events| {
            events.iter().any(|it| matches!(it, Event::Wrote { .. }))
        });
        first.until("the holder stops", |events| events.iter().any(|it| matches!(it, Event::Lost { .. })));
        hosts.restore(holder);
        hosts.delay(holder, Duration::ZERO);
        let events = [first.kill(), second.kill()].concat();
        if let Err(violation) = history::check(&events) {
            panic!("round {round}: {violation}\n{events:#?}");
        }
        register.check();
    }
}

#[test]
fn a_holder_that_is_cut_off_from_etcd_stops_before_the_other_side_proceeds() {
    cut_rounds(Served::etcd(), 1);
}

#[test]
fn a_holder_that_is_cut_off_from_postgres_stops_before_the_other_side_proceeds() {
    cut_rounds(Served::postgres(), 2);
}

#[test]
fn a_holder_that_is_cut_off_from_its_bucket_stops_before_the_other_side_proceeds() {
    cut_rounds(Served::bucket(), 3);
}

/// 8 clients on 3 hosts, for as many seconds as `LOCKKEEPER_HISTORY_SECONDS` says.
fn long_history(served: Option<Served>, network: u8) {
    let (Some(served), Some(hosts)) = (served, Hosts::new(network, 3)) else { return };
    let seconds = env::var("LOCKKEEPER_HISTORY_SECONDS").map_or(15, |text| text.parse().unwrap());
    let seed =
        env::var("LOCKKEEPER_HISTORY_SEED").map_or_else(|_| fastrand::u64(..), |text| text.parse().unwrap());
    let mut random = fastrand::Rng::with_seed(seed);
    let register = Register::serve(hosts.address());
    let places = served.places(&hosts);
    let start = |index: usize| {
        let host = index % 3;
        Client::start(&hosts, host, &places[host], LEASE, register.port(), 0)
    };
    let mut clients: Vec<Client> = (0..8).map(start).collect();
    let mut events: Vec<Event> = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(seconds) {
        std::thread::sleep(Duration::from_millis(random.u64(100..700)));
        // What goes wrong for the holder matters most, and while nobody holds it, little does: the others get there at all.
        let holder = clients.iter().position(Client::holds);
        if holder.is_none() && random.u8(0..8) > 0 {
            continue;
        }
        let index = holder.filter(|_| random.u8(0..4) > 0).unwrap_or(random.usize(0..8));
        let time = Duration::from_millis(random.u64(100..6000));
        match random.u8(0..6) {
            0 => {
                let killed = std::mem::replace(&mut clients[index], start(index));
                events.extend(killed.kill());
            }
            1 | 2 => clients[index].stop_for(time),
            3 => hosts.delay(index % 3, Duration::from_millis(random.u64(0..50))),
            _ => hosts.cut_for(index % 3, time),
        }
    }
    hosts.settle();
    for client in clients {
        events.extend(client.kill());
    }
    let holds = events.iter().filter(|event| matches!(event, Event::Acquired { .. })).count();
    let lost = events.iter().filter(|event| matches!(event, Event::Lost { .. })).count();
    let (accepted, refused) = register.check();
    eprintln!(
        "{}, seed {seed}: {holds} holds, {lost} lost, {accepted} writes, {refused} refused by their number",
        served.kind()
    );
    assert!(holds > 1, "seed {seed}: the lock was never handed on");
    if let Err(violation) = history::check(&events) {
        panic!("seed {seed}: {violation}");
    }
}

#[test]
fn the_history_of_locks_in_etcd_has_no_overlap() {
    long_history(Served::etcd(), 4);
}

#[test]
fn the_history_of_locks_in_postgres_has_no_overlap() {
    long_history(Served::postgres(), 5);
}

#[test]
fn the_history_of_locks_in_a_bucket_has_no_overlap() {
    long_history(Served::bucket(), 6);
}

/// Polls until it is so.
fn until(what: &str, mut look: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !look() {
        assert!(begun.elapsed() < LONG, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
