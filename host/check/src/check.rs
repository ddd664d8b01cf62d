use std::time::Instant;

use lockkeeper_sandbox::Identity;
use serde::{Deserialize, Serialize};

use crate::bench::{Bench, Counts, NoProgress, Options, Outcome, Progress};
use crate::finding::{Finding, Replay, SuiteName};
use crate::subject::Subject;
use crate::{crash, fault, interleave, suites};

/// A part of a check.
pub trait Suite {
    /// Which one it is.
    fn name(&self) -> SuiteName;
    /// How much of the budget that is left it may take when it begins, from 0 to 1.
    fn share(&self) -> f64;
    /// Runs it; what does not hold goes to [`Bench::found`].
    fn run(&self, bench: &mut Bench<'_>) -> Outcome;
    /// Repeats one of its runs: what it violates, if anything.
    fn replay(&self, bench: &mut Bench<'_>, replay: &Replay) -> Result<Option<Finding>, String>;
}

/// How one suite ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SuiteVerdict {
    /// The suite.
    pub suite: SuiteName,
    /// How it ended.
    pub outcome: Outcome,
    /// What it explored.
    pub counts: Counts,
    /// How long it took, in seconds.
    pub seconds: f64,
}

/// What a check came to. It is evidence within the bounds that it names.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Verdict {
    /// The extension's name.
    pub extension: String,
    /// Its version.
    pub version: String,
    /// The hash of its file.
    pub digest: String,
    /// Whether it promises `scoped-sync`.
    pub scoped_sync: bool,
    /// Where random numbers came from.
    pub seed: u64,
    /// The most preemptions that schedules had.
    pub preemptions: usize,
    /// The suites, in the order of their names' list.
    pub suites: Vec<SuiteVerdict>,
    /// What did not hold.
    pub findings: Vec<Finding>,
}

impl Verdict {
    /// Whether everything that was explored held.
    pub fn held(&self) -> bool {
        self.findings.is_empty() && !self.suites.iter().any(|suite| suite.outcome == Outcome::Broken)
    }
}

/// A check of one extension.
pub struct Check<'a> {
    subject: &'a Subject,
    options: Options,
    suites: Vec<Box<dyn Suite>>,
}

impl<'a> Check<'a> {
    /// A check with all suites.
    pub fn new(subject: &'a Subject, options: Options) -> Self {
        Self { subject, options, suites: all_suites() }
    }

    /// Leaves out all suites but these.
    #[must_use]
    pub fn only(mut self, names: &[SuiteName]) -> Self {
        self.suites.retain(|suite| names.contains(&suite.name()));
        self
    }

    /// Runs it to the end of its budget, or until all is explored.
    pub fn run(&self) -> Verdict {
        self.run_with(&mut NoProgress)
    }

    /// Runs it and tells how far it has come.
    pub fn run_with(&self, progress: &mut dyn Progress) -> Verdict {
        let identity: &Identity = self.subject.identity();
        let mut bench = Bench::new(self.subject, &self.options, progress);
        let mut verdicts = Vec::new();
        for suite in &self.suites {
            // One with two rounds comes twice.
            let former = verdicts.iter().position(|verdict: &SuiteVerdict| verdict.suite == suite.name());
            let former = former.map(|at| verdicts.remove(at));
            if let Some(broken @ SuiteVerdict { outcome: Outcome::Broken, .. }) = former {
                verdicts.push(broken);
                continue;
            }
            bench.begin(suite.name(), suite.share());
            let (before, began) = (std::mem::take(&mut bench.counts), Instant::now());
            let outcome = match &bench.given_up {
                Some(why) => Outcome::Skipped(why.clone()),
                None => suite.run(&mut bench),
            };
            let counts = std::mem::replace(&mut bench.counts, before);
            let (before, earlier) = former.map_or_else(Default::default, |it| (it.counts, it.seconds));
            verdicts.push(SuiteVerdict {
                suite: suite.name(),
                outcome,
                counts: before + counts,
                seconds: earlier + began.elapsed().as_secs_f64(),
            });
        }
        verdicts.sort_by_key(|verdict| verdict.suite);
        Verdict {
            extension: identity.name.to_string(),
            version: identity.version.clone(),
            digest: identity.digest.to_string(),
            scoped_sync: self.subject.scoped_sync(),
            seed: self.options.seed,
            preemptions: self.options.preemptions,
            suites: verdicts,
            findings: bench.findings,
        }
    }

    /// Repeats one run, as a finding names it: what it violates, if anything.
    pub fn replay(&self, replay: &Replay) -> Result<Option<Finding>, String> {
        let mut progress = NoProgress;
        let options = Options { seed: replay.seed, ..self.options.clone() };
        let mut bench = Bench::new(self.subject, &options, &mut progress);
        bench.suite = replay.suite;
        match all_suites().iter().find(|suite| suite.name() == replay.suite) {
            Some(suite) => suite.replay(&mut bench, replay),
            None => Err(format!("runs of `{}` can't be repeated", replay.suite)),
        }
    }
}

fn all_suites() -> Vec<Box<dyn Suite>> {
    let explored =
        |name, share, run, replay| -> Box<dyn Suite> { Box::new(Explored { name, share, run, replay }) };
    let mut suites = suites::first();
    suites.extend([
        explored(SuiteName::Interleave, 0.3, interleave::first, interleave::replay),
        explored(SuiteName::Crash, 0.35, crash::crash, crash::replay),
        explored(SuiteName::Fault, 0.4, fault::fault, fault::replay),
        explored(SuiteName::Interleave, 0.8, interleave::second, interleave::replay),
        suites::last(),
    ]);
    suites
}

/// A suite over the explorer.
struct Explored {
    name: SuiteName,
    share: f64,
    run: fn(&mut Bench<'_>) -> Outcome,
    replay: fn(&mut Bench<'_>, &Replay) -> Result<Option<Finding>, String>,
}

impl Suite for Explored {
    fn name(&self) -> SuiteName {
        self.name
    }

    fn share(&self) -> f64 {
        self.share
    }

    fn run(&self, bench: &mut Bench<'_>) -> Outcome {
        (self.run)(bench)
    }

    fn replay(&self, bench: &mut Bench<'_>, replay: &Replay) -> Result<Option<Finding>, String> {
        (self.replay)(bench, replay)
    }
}
