//! Running the cases of a suite, or the one that is to be repeated.

use super::case::{Case, Wrong};
use crate::bench::{Bench, Outcome};
use crate::finding::{Finding, Replay, rows};
use crate::schedule::Schedule;
use crate::subject::Subject;

/// The cases of one suite, on their way.
pub(super) struct Cases<'b, 'a> {
    pub(super) bench: &'b mut Bench<'a>,
    only: Option<&'b str>,
    tried: u64,
    broken: bool,
    hopeless: bool,
    late: bool,
}

impl<'b, 'a> Cases<'b, 'a> {
    pub(super) fn new(bench: &'b mut Bench<'a>, only: Option<&'b str>) -> Self {
        Self { bench, only, tried: 0, broken: false, hopeless: false, late: false }
    }

    /// Tries a case; false if it makes no sense to try others after it.
    pub(super) fn case(
        &mut self,
        name: &str,
        situation: &str,
        case: impl FnOnce(&mut Case<'_>) -> Result<(), Wrong>,
    ) -> bool {
        let subject = self.bench.subject;
        self.case_of(subject, name, situation, case)
    }

    /// Tries a case with the extension set up in another way.
    pub(super) fn case_of(
        &mut self,
        subject: &Subject,
        name: &str,
        situation: &str,
        case: impl FnOnce(&mut Case<'_>) -> Result<(), Wrong>,
    ) -> bool {
        if self.hopeless || self.late {
            return false;
        }
        if self.only.is_some_and(|only| only != name) {
            return true;
        }
        if self.bench.is_over() {
            self.late = true;
            return false;
        }
        let seed = self.bench.options.seed;
        let mut at = Case::new(subject, seed);
        let result = case(&mut at);
        self.tried += 1;
        self.bench.counts.cases += 1;
        self.bench.counts.calls += at.calls;
        self.bench.counts.steps += at.steps;
        let Err(wrong) = result else { return true };
        self.broken = true;
        self.hopeless = wrong.hopeless;
        let suite = self.bench.suite;
        self.bench.found(Finding {
            suite,
            violation: wrong.violation,
            replay: Some(Replay {
                suite,
                scenario: name.to_owned(),
                files: 0,
                seed,
                schedule: Schedule::default(),
            }),
            guests: vec![situation.to_owned()],
            preemptions: 0,
            rows: rows(&at.last),
        });
        !self.hopeless
    }

    /// Says that no other suite is worth a try.
    pub(super) fn give_up(&mut self, why: &str) {
        self.bench.given_up = Some(why.to_owned());
    }

    pub(super) fn tried(&self) -> u64 {
        self.tried
    }

    pub(super) fn outcome(self) -> Outcome {
        match (self.broken, self.late) {
            (true, _) => Outcome::Broken,
            (false, true) => Outcome::HeldSoFar(format!("the budget ended after {} cases", self.tried)),
            (false, false) => Outcome::Held,
        }
    }
}
