use std::fmt;
use std::str::FromStr;

use lockkeeper_sandbox::stepped::{Area, Performed};
use serde::{Deserialize, Serialize};

use crate::run::Event;
use crate::schedule::{Schedule, letter};

/// The suites of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SuiteName {
    /// Exports, metadata, errors, with and without `capabilities`.
    Contract,
    /// What is pushed comes back.
    Roundtrip,
    /// Nothing outside of a scope is touched.
    Scope,
    /// Two pushes, or a push and a pull, in every order.
    Interleave,
    /// Killed at any instant.
    Crash,
    /// The remote fails.
    Fault,
    /// Within the limits of a call.
    Limits,
}

impl SuiteName {
    /// All suites, in the order in which they run.
    pub const ALL: [Self; 7] = [
        Self::Contract,
        Self::Roundtrip,
        Self::Scope,
        Self::Interleave,
        Self::Crash,
        Self::Fault,
        Self::Limits,
    ];

    /// Its name, as `--suite` takes it.
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

impl fmt::Display for SuiteName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for SuiteName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = || Self::ALL.map(Self::name).join(", ");
        Self::ALL
            .into_iter()
            .find(|suite| suite.name() == text)
            .ok_or_else(|| format!("there is no suite `{text}`; there are {}", names()))
    }
}

/// The rule that was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// A file that was pushed is not there.
    Lost,
    /// A file is there that was deleted, or that nobody pushed.
    Returned,
    /// A file has content that nobody pushed last.
    Content,
    /// A push failed that has to succeed.
    PushFailed,
    /// A pull failed that has to succeed.
    PullFailed,
    /// A pull brought a mix of old and new.
    Mixed,
    /// A call ended without an error that says what went wrong.
    Unclear,
    /// A report, an export or metadata is not as the contract says.
    Contract,
}

/// What was violated.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Violation {
    /// The rule.
    pub rule: Rule,
    /// What happened, in one sentence.
    pub text: String,
    /// The files it is about.
    pub paths: Vec<String>,
}

impl Violation {
    /// Names a violation.
    pub fn new(rule: Rule, text: impl Into<String>, paths: Vec<String>) -> Self {
        Self { rule, text: text.into(), paths }
    }
}

/// A line of a finding's table: who did what to which remote path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// The number of the operation in the run, from 1.
    pub step: usize,
    /// The guest, `a`, `b`, …, or absent if the host did it.
    pub guest: Option<char>,
    /// What it did, such as `rename`.
    pub call: String,
    /// The path.
    pub path: String,
    /// The second path, of a rename or a link.
    pub other: Option<String>,
    /// More about it.
    pub detail: String,
    /// What came of it.
    pub result: String,
    /// Whether it changed something that others see.
    pub writes: bool,
    /// Whether another guest works on the same path: the rows to look at first.
    pub relevant: bool,
}

/// A broken promise, with what is needed to see it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The suite that found it.
    pub suite: SuiteName,
    /// What was violated.
    pub violation: Violation,
    /// Which scenario and schedule; what `--replay` takes.
    pub replay: Option<Replay>,
    /// What each guest was doing, such as `a pushes data/app/web/`.
    pub guests: Vec<String>,
    /// How often a guest was stopped that could have gone on.
    pub preemptions: usize,
    /// Who did what to which remote path, in order.
    pub rows: Vec<Row>,
}

/// A run that can be repeated, as text `suite/scenario/files/seed:schedule`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Replay {
    /// The suite.
    pub suite: SuiteName,
    /// The scenario, by its name in that suite.
    pub scenario: String,
    /// How many files each push has.
    pub files: usize,
    /// Where random numbers come from.
    pub seed: u64,
    /// The turns.
    pub schedule: Schedule,
}

impl fmt::Display for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}/{}:{}", self.suite, self.scenario, self.files, self.seed, self.schedule)
    }
}

impl FromStr for Replay {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not of the form suite/scenario/files/seed:schedule");
        let (place, schedule) = text.split_once(':').ok_or_else(wrong)?;
        let [suite, scenario, files, seed] =
            <[&str; 4]>::try_from(place.split('/').collect::<Vec<_>>()).map_err(|_| wrong())?;
        let schedule = schedule.parse().map_err(|error: crate::ScheduleError| error.to_string())?;
        Ok(Self {
            suite: suite.parse()?,
            scenario: scenario.to_owned(),
            files: files.parse().map_err(|_| wrong())?,
            seed: seed.parse().map_err(|_| wrong())?,
            schedule,
        })
    }
}

impl TryFrom<String> for Replay {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Replay> for String {
    fn from(replay: Replay) -> Self {
        replay.to_string()
    }
}

/// The table of a run.
pub fn rows(events: &[Event]) -> Vec<Row> {
    let mut rows = Vec::new();
    for (number, event) in events.iter().enumerate() {
        let operation = &event.operation;
        let shared =
            events.iter().any(|other| other.guest != event.guest && other.operation.conflicts(operation));
        let result = match &operation.performed {
            Performed::Not => String::new(),
            Performed::Done(gave) => gave.clone(),
            Performed::Failed(fault) => format!("failed: {fault}"),
        };
        rows.push(Row {
            step: number + 1,
            guest: Some(letter(event.guest)),
            call: operation.call.to_string(),
            path: operation.path.to_string(),
            other: operation.other.as_deref().map(str::to_owned),
            detail: operation.detail.clone(),
            result,
            writes: operation.area == Area::Remote && operation.writes(),
            relevant: shared,
        });
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replay_text_reads_back_as_it_is_shown() {
        let text = "interleave/both-push/2/7:a12.b.a";
        assert_eq!(text.parse::<Replay>().unwrap().to_string(), text);
        for text in ["", "interleave:a", "nonsense/both/1/1:a", "crash/both/1/1:?"] {
            assert!(text.parse::<Replay>().is_err(), "{text}");
        }
    }
}
