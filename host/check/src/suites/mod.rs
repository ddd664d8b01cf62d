//! The suites that judge whole calls, each made alone and to its end: what is pushed, what a fresh pull then brings.
//!
//! A suite is a list of cases. Each case makes a world of its own, so one that fails says nothing about the next, and each has
//! a name, by which it is repeated.

mod case;
mod cases;
mod contract;
mod limits;
mod roundtrip;
mod scope;
mod trees;

use crate::bench::{Bench, Outcome};
use crate::check::Suite;
use crate::finding::{Finding, Replay, SuiteName};
use cases::Cases;

/// A suite of cases.
struct Named {
    name: SuiteName,
    share: f64,
    cases: fn(&mut Cases<'_, '_>),
}

impl Suite for Named {
    fn name(&self) -> SuiteName {
        self.name
    }

    fn share(&self) -> f64 {
        self.share
    }

    fn run(&self, bench: &mut Bench<'_>) -> Outcome {
        if self.name == SuiteName::Scope && !bench.subject.scoped_sync() {
            return Outcome::Skipped(
                "it promises no scoped-sync, so no scope is ever passed to it".to_owned(),
            );
        }
        let mut cases = Cases::new(bench, None);
        (self.cases)(&mut cases);
        cases.outcome()
    }

    fn replay(&self, bench: &mut Bench<'_>, replay: &Replay) -> Result<Option<Finding>, String> {
        let before = bench.findings.len();
        let mut cases = Cases::new(bench, Some(&replay.scenario));
        (self.cases)(&mut cases);
        if cases.tried() == 0 {
            return Err(format!("there is no case `{}` in {}", replay.scenario, self.name));
        }
        Ok(bench.findings.drain(before..).next())
    }
}

/// Contract, round trip and scope: quick, and before the others.
pub(crate) fn first() -> Vec<Box<dyn Suite>> {
    vec![
        Box::new(Named { name: SuiteName::Contract, share: 0.3, cases: contract::cases }),
        Box::new(Named { name: SuiteName::Roundtrip, share: 0.2, cases: roundtrip::cases }),
        Box::new(Named { name: SuiteName::Scope, share: 0.3, cases: scope::cases }),
    ]
}

/// Limits: the last one, since it is the slowest.
pub(crate) fn last() -> Box<dyn Suite> {
    Box::new(Named { name: SuiteName::Limits, share: 1.0, cases: limits::cases })
}
