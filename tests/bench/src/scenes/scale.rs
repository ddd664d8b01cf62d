//! Thousands of writers on one bucket, simulated: when a bucket's own limits become the wall.
//!
//! What a run asks is counted elsewhere (`tests/costs.rs`); what S3 does is as its documentation says: each partition of keys takes 3,500
//! writes and 5,500 reads a second, and refuses the rest with 503. `design/scale.md` says what follows.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::path::Path;

use anyhow::Result;
use fastrand::Rng;

use crate::contest::Spread;
use crate::figure::{Bar, Curve, Figure, Report, number};

/// How long is simulated, in microseconds.
const LENGTH: u64 = 20_000_000;
const SECOND: u64 = 1_000_000;

/// The requests of a run that changes one file, in order.
const RUN: [Kind; 7] = [
    Kind::Read,  // the shard, for the pull
    Kind::Read,  // the shard, for the push
    Kind::Write, // the content, staged
    Kind::Write, // the shard
    Kind::Write, // the content, copied to its own key
    Kind::Write, // the staged content, deleted
    Kind::Write, // the shard
];

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Read,
    Write,
}

/// What a partition took in the current second.
#[derive(Clone, Default)]
struct Partition {
    second: u64,
    reads: u64,
    writes: u64,
}

impl Partition {
    fn takes(&mut self, now: u64, kind: Kind) -> bool {
        if self.second != now / SECOND {
            *self = Self { second: now / SECOND, ..Self::default() };
        }
        let (taken, most) = match kind {
            Kind::Read => (&mut self.reads, 5_500),
            Kind::Write => (&mut self.writes, 3_500),
        };
        *taken += 1;
        *taken <= most
    }
}

/// A writer between two requests.
#[derive(Clone, Default)]
struct Writer {
    step: usize,
    attempt: u32,
    began: u64,
}

/// What came of it.
struct Outcome {
    /// Runs that ended well, a second.
    rate: f64,
    /// How long they took, in milliseconds.
    time: Spread,
    /// How many of the requests were refused.
    refused: f64,
    /// How many of the runs failed, since they were refused too often.
    failed: f64,
}

/// So many writers, each with a pause between two runs, on a bucket that is split in so many parts.
fn simulate(writers: usize, pause: u64, partitions: usize) -> Outcome {
    let mut random = Rng::with_seed(10);
    let mut bucket = vec![Partition::default(); partitions];
    let mut all = vec![Writer::default(); writers];
    let mut next: BinaryHeap<_> =
        (0..writers).map(|writer| Reverse((random.u64(0..=pause.max(SECOND)), writer))).collect();
    let (mut asked, mut refused, mut failed, mut times) = (0_u64, 0_u64, 0_u64, Vec::new());
    while let Some(Reverse((now, number))) = next.pop() {
        let Some(writer) = all.get_mut(number).filter(|_| now < LENGTH) else { break };
        let kind = RUN.get(writer.step).copied().unwrap_or(Kind::Read);
        if writer.step == 0 && writer.attempt == 0 {
            writer.began = now;
        }
        asked += 1;
        // Models are spread over the parts; so are the three places where each has keys.
        let part = (number * 3 + writer.step) % partitions;
        let taken = bucket.get_mut(part).is_some_and(|part| part.takes(now, kind));
        let answer = now + latency(&mut random, kind);
        let mut over = |writer: &mut Writer| {
            *writer = Writer::default();
            answer + if pause == 0 { 0 } else { random.u64(pause / 2..=pause + pause / 2) }
        };
        let then = if taken && writer.step + 1 == RUN.len() {
            times.push((answer - writer.began) as f64 / 1000.0);
            over(writer)
        } else if taken {
            (writer.step, writer.attempt) = (writer.step + 1, 0);
            answer
        } else if writer.attempt == 3 {
            refused += 1;
            failed += 1;
            over(writer)
        } else {
            refused += 1;
            writer.attempt += 1;
            // As the extension waits.
            let most = 100_000_u64 << writer.attempt;
            answer + most - random.u64(0..most / 2)
        };
        next.push(Reverse((then, number)));
    }
    let done = times.len() as f64;
    Outcome {
        rate: done / (LENGTH / SECOND) as f64,
        time: Spread::of(times),
        refused: refused as f64 / asked.max(1) as f64,
        failed: failed as f64 / (done + failed as f64).max(1.0),
    }
}

/// Microseconds until an answer: usually about 15 ms for a read and 25 ms for a write, sometimes much more.
fn latency(random: &mut Rng, kind: Kind) -> u64 {
    let usual = if kind == Kind::Read { 15_000.0 } else { 25_000.0 };
    // The sum of several even numbers is nearly a normal one.
    let normal: f64 = (0..12).map(|_| random.f64()).sum::<f64>() - 6.0;
    (usual * (0.5 * normal).exp()) as u64
}

/// Simulates.
pub fn measure(_: &Path, report: &mut Report) -> Result<()> {
    for (name, pause) in
        [("a run a minute", 60 * SECOND), ("a run every ten seconds", 10 * SECOND), ("without a pause", 0)]
    {
        for partitions in [1, 4, 16, 64, 256] {
            let outcome = simulate(10_000, pause, partitions);
            report.add(Figure {
                what: format!("simulated: 10,000 writers, {name}, a bucket in {partitions}"),
                against: String::new(),
                value: outcome.time,
                unit: " ms a run",
                bar: Bar::None,
                detail: format!(
                    "{} runs/s, {}% of requests refused, {}% of runs failed",
                    number(outcome.rate),
                    number(100.0 * outcome.refused),
                    number(100.0 * outcome.failed)
                ),
            });
        }
    }
    let lines = [1, 4, 16, 64].map(|partitions| {
        let points = [10, 30, 100, 300, 1_000, 3_000, 10_000]
            .map(|writers| (writers as f64, simulate(writers, 0, partitions).rate));
        (format!("a bucket in {partitions}"), points.to_vec())
    });
    report.curves.push(Curve {
        name: "scale",
        title: "Writers without a pause on one bucket, simulated".into(),
        x: "writers",
        y: "runs per second",
        lines: lines.to_vec(),
    });
    Ok(())
}
