use std::ops::Add;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::finding::{Finding, SuiteName};
use crate::run::{Actor, Run, run};
use crate::schedule::Schedule;
use crate::subject::Subject;
use crate::world::World;

/// What was explored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Runs of several guests, in different orders.
    pub schedules: u64,
    /// Operations of all guests together.
    pub steps: u64,
    /// Instants at which a guest was killed.
    pub crash_points: u64,
    /// Operations that were made to fail.
    pub faults: u64,
    /// Calls of guests, whether to explore, to go on or to judge.
    pub calls: u64,
    /// Cases of the other suites: trees, scopes, configurations.
    pub cases: u64,
}

impl Add for Counts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            schedules: self.schedules + other.schedules,
            steps: self.steps + other.steps,
            crash_points: self.crash_points + other.crash_points,
            faults: self.faults + other.faults,
            calls: self.calls + other.calls,
            cases: self.cases + other.cases,
        }
    }
}

/// How a suite ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state", content = "why")]
pub enum Outcome {
    /// Everything within its bounds was explored, and held.
    Held,
    /// The budget ended before everything was explored; what was explored held.
    HeldSoFar(String),
    /// Something did not hold.
    Broken,
    /// It does not apply.
    Skipped(String),
}

/// What a check is told.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long the whole check may take.
    pub budget: Duration,
    /// How many preemptions schedules may have.
    pub preemptions: usize,
    /// Where random numbers come from.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { budget: Duration::from_secs(60), preemptions: 2, seed: 1 }
    }
}

/// Hears how far a check has come.
pub trait Progress {
    /// What was explored so far, and how much of the budget is used, from 0 to 1.
    fn explored(&mut self, suite: SuiteName, counts: &Counts, used: f64);

    /// What does not hold, as soon as it is found, and what its suite had explored by then.
    fn found(&mut self, _finding: &Finding, _counts: &Counts) {}
}

/// Hears nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoProgress;

impl Progress for NoProgress {
    fn explored(&mut self, _: SuiteName, _: &Counts, _: f64) {}
}

/// Where a suite works: the subject, the budget, and what was found so far.
pub struct Bench<'a> {
    /// The extension.
    pub subject: &'a Subject,
    /// What the check is told.
    pub options: &'a Options,
    /// What was explored.
    pub counts: Counts,
    /// What did not hold.
    pub findings: Vec<Finding>,
    /// The suite that runs.
    pub suite: SuiteName,
    /// Why nothing more is worth a try, if so.
    pub(crate) given_up: Option<String>,
    progress: &'a mut dyn Progress,
    began: Instant,
    deadline: Instant,
    told: Instant,
}

impl<'a> Bench<'a> {
    /// Prepares a bench; the budget begins now.
    pub fn new(subject: &'a Subject, options: &'a Options, progress: &'a mut dyn Progress) -> Self {
        let now = Instant::now();
        Self {
            subject,
            options,
            counts: Counts::default(),
            findings: Vec::new(),
            suite: SuiteName::Contract,
            given_up: None,
            progress,
            began: now,
            deadline: now + options.budget,
            told: now,
        }
    }

    /// Begins a suite that may take this share of the budget that is left.
    pub(crate) fn begin(&mut self, suite: SuiteName, share: f64) {
        self.suite = suite;
        let now = Instant::now();
        let left = (self.began + self.options.budget).saturating_duration_since(now);
        self.deadline = now + left.mul_f64(share.clamp(0.0, 1.0));
    }

    /// Whether the suite's time is up. Asked between runs; also tells how far it has come.
    pub fn is_over(&mut self) -> bool {
        let now = Instant::now();
        if now.duration_since(self.told) > Duration::from_millis(50) {
            self.told = now;
            let used = self.began.elapsed().as_secs_f64() / self.options.budget.as_secs_f64().max(0.001);
            self.progress.explored(self.suite, &self.counts, used.min(1.0));
        }
        now >= self.deadline
    }

    /// Runs guests and counts what they did.
    pub fn run(&mut self, world: &mut World, actors: Vec<Actor>, schedule: &Schedule) -> Run {
        self.counts.calls += actors.len() as u64;
        let run = run(self.subject, world, actors, schedule);
        self.counts.steps += run.events.len() as u64;
        run
    }

    /// Takes in what a suite found.
    pub fn found(&mut self, finding: Finding) {
        self.progress.found(&finding, &self.counts);
        self.findings.push(finding);
    }
}

/// A bound on instructions for calls that are like one that took so many.
pub(crate) fn generous(instructions: u64, most: u64) -> u64 {
    instructions.saturating_mul(30).saturating_add(50_000_000).min(most)
}

/// Whether a failure says that something takes for ever, so that more of the same would, too.
pub(crate) fn is_endless(failure: &Failure) -> bool {
    matches!(failure, Failure::Limit(_) | Failure::Stuck | Failure::NoProgress)
}
