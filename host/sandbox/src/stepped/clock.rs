//! Virtual time: it passes when somebody says so, and a little with each look at the clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;

use wasmtime::component::{HasData, Resource, ResourceTable};
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::bindings::clocks::{monotonic_clock, wall_clock};
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};

use super::gate::Gate;
use crate::guest::Guest;

/// What the clock on the wall shows when virtual time begins: 2026-01-01T00:00:00Z.
const EPOCH: u64 = 1_767_225_600;
/// How much later each look at the clock is than the one before, in nanoseconds.
const TICK: u64 = 1_000;
/// From this many looks on, a guest is taken to be waiting for time to pass, and each look takes a millisecond.
const IMPATIENT: u64 = 1_000;

/// The time that all guests of a check share, in nanoseconds since it began.
#[derive(Clone, Default, Debug)]
pub struct Clock(Arc<AtomicU64>);

impl Clock {
    /// The time now.
    pub fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Lets time pass up to this moment; it never goes back.
    pub fn advance_to(&self, moment: u64) {
        self.0.fetch_max(moment, Ordering::Relaxed);
    }
}

/// One guest's clocks. Two guests that look at theirs equally often see the same time, as on two machines.
#[derive(Clone, Default)]
pub(crate) struct GuestClock {
    pub(crate) shared: Clock,
    looks: Arc<AtomicU64>,
}

impl GuestClock {
    pub(crate) fn new(shared: Clock) -> Self {
        Self { shared, looks: Arc::default() }
    }

    fn look(&self) -> u64 {
        let looks = self.looks.fetch_add(1, Ordering::Relaxed);
        let impatient = looks.saturating_sub(IMPATIENT);
        self.shared.now().saturating_add(looks * TICK).saturating_add(impatient * 1_000_000)
    }

    /// Waits until so many nanoseconds have passed, for something that the guest spawned.
    pub(super) async fn pass(&self, gate: &Gate, time: u64) {
        let moment = self.quiet().saturating_add(time);
        std::future::poll_fn(|context| {
            if self.quiet() >= moment {
                return Poll::Ready(());
            }
            gate.sleeps_until(moment);
            gate.wakes(context.waker());
            Poll::Pending
        })
        .await;
    }

    /// The virtual time, without looking at the clock.
    pub(crate) fn quiet(&self) -> u64 {
        self.shared.now()
    }
}

/// Nanoseconds of virtual time as WASI shows them.
pub(crate) fn datetime(nanoseconds: u64) -> wall_clock::Datetime {
    wall_clock::Datetime {
        seconds: EPOCH.saturating_add(nanoseconds / 1_000_000_000),
        nanoseconds: (nanoseconds % 1_000_000_000) as u32,
    }
}

/// WASI's moment as nanoseconds of virtual time.
pub(crate) fn virtual_time(datetime: &wall_clock::Datetime) -> u64 {
    datetime
        .seconds
        .saturating_sub(EPOCH)
        .saturating_mul(1_000_000_000)
        .saturating_add(u64::from(datetime.nanoseconds))
}

/// What the clock interfaces work on.
pub(crate) struct Clocks<'a> {
    pub(crate) clock: GuestClock,
    pub(crate) gate: Gate,
    pub(crate) table: &'a mut ResourceTable,
}

pub(crate) struct HasClocks;

impl HasData for HasClocks {
    type Data<'a> = Clocks<'a>;
}

pub(crate) fn add_to_linker(linker: &mut wasmtime::component::Linker<Guest>) -> wasmtime::Result<()> {
    wall_clock::add_to_linker::<Guest, HasClocks>(linker, Guest::virtual_clocks)?;
    monotonic_clock::add_to_linker::<Guest, HasClocks>(linker, Guest::virtual_clocks)
}

impl wall_clock::Host for Clocks<'_> {
    fn now(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        Ok(datetime(self.clock.look()))
    }

    fn resolution(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        Ok(wall_clock::Datetime { seconds: 0, nanoseconds: TICK as u32 })
    }
}

impl monotonic_clock::Host for Clocks<'_> {
    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(self.clock.look())
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(TICK)
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let (gate, clock) = (self.gate.clone(), self.clock.clone());
        // What the guest's own clock is ahead by was never waited for.
        let ahead = clock.look().saturating_sub(clock.quiet());
        let deadline = self.table.push(Deadline { at: when.saturating_sub(ahead), clock, gate })?;
        subscribe(self.table, deadline)
    }

    fn subscribe_duration(&mut self, duration: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let (gate, clock) = (self.gate.clone(), self.clock.clone());
        let deadline =
            self.table.push(Deadline { at: clock.quiet().saturating_add(duration), clock, gate })?;
        subscribe(self.table, deadline)
    }
}

/// A moment that a guest waits for.
struct Deadline {
    at: u64,
    clock: GuestClock,
    gate: Gate,
}

#[async_trait]
impl Pollable for Deadline {
    async fn ready(&mut self) {
        std::future::poll_fn(|_| {
            if self.clock.quiet() >= self.at {
                return Poll::Ready(());
            }
            self.gate.sleeps_until(self.at);
            Poll::Pending
        })
        .await;
    }
}
