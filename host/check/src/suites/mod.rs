//! The suites that judge whole calls, each made alone and to its end: what is pushed, what a fresh pull then brings.
//!
//! A suite is a list of cases. Each case makes a world of its own, so one that fails says nothing about the next.

mod bench;
mod contract;
mod judge;
mod limits;
mod roundtrip;
mod scope;
mod trees;

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

use crate::report::{Outcome, SuiteReport};
use crate::subject::Subject;
use bench::Bench;

/// What can be checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Suite {
    /// Errors, reports, conflicts: what `wit/datastore.wit` says of each call.
    Contract,
    /// Random trees that are pushed, changed and pulled.
    Roundtrip,
    /// Scoped calls: all that is under the scope, and nothing outside of it.
    Scope,
    /// Pushes of disjoint scopes at the same time.
    Interleave,
    /// Pushes that are killed at each operation.
    Crash,
    /// Operations of the remote that fail.
    Fault,
    /// Many files, large files, and what a call may use.
    Limits,
}

impl Suite {
    /// All of them, in the order to run them.
    pub const ALL: [Self; 7] = [
        Self::Contract,
        Self::Roundtrip,
        Self::Scope,
        Self::Interleave,
        Self::Crash,
        Self::Fault,
        Self::Limits,
    ];

    /// Its name on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Contract => "contract",
            Self::Roundtrip => "roundtrip",
            Self::Scope => "scope",
            Self::Interleave => "interleave",
            Self::Crash => "crash",
            Self::Fault => "fault",
            Self::Limits => "limits",
        }
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Suite {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = || Self::ALL.map(Self::name).join(", ");
        let found = Self::ALL.into_iter().find(|suite| suite.name() == text);
        found.ok_or_else(|| format!("`{text}` is no suite; there are {}", names()))
    }
}

/// Runs one of the suites that make whole calls, for at most `time`.
pub(crate) fn whole_calls(suite: Suite, subject: &Subject, seed: u64, time: Duration) -> SuiteReport {
    let began = Instant::now();
    let mut bench = Bench::new(subject, seed, began + time);
    let skipped = match suite {
        Suite::Contract => contract::run(&mut bench),
        Suite::Roundtrip => roundtrip::run(&mut bench),
        Suite::Scope => scope::run(&mut bench),
        Suite::Limits => limits::run(&mut bench),
        Suite::Interleave | Suite::Crash | Suite::Fault => Some("it is no suite of whole calls".to_owned()),
    };
    let mut report = bench.report(suite.name(), began);
    if let Some(why) = skipped {
        report.outcome = Outcome::Skipped;
        report.notes.push(why);
    }
    report
}
