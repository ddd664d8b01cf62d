//! What a check found, ready to be shown: as text, JSON, JUnit and HTML.
//!
//! A [`Report`] is plain data. The text is made to fit one screen and to end with the next command to run; the
//! HTML shows the same with a picture of who did what to which path.

mod diagram;
mod html;
mod junit;
mod text;

use std::time::Duration;

use serde::Serialize;

/// What a check of one extension came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The extension's name.
    pub extension: String,
    /// Its version.
    pub version: String,
    /// The hash of its file.
    pub digest: String,
    /// Whether it promises `scoped-sync`.
    pub scoped_sync: bool,
    /// What was taken for granted since nobody said otherwise, a sentence each.
    pub assumed: Vec<String>,
    /// Where all that looks random came from.
    pub seed: u64,
    /// What each suite came to, in the order they ran.
    pub suites: Vec<SuiteReport>,
    /// How long it took, in milliseconds.
    pub duration_ms: f64,
}

/// What one suite came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SuiteReport {
    /// Its name.
    pub suite: String,
    /// How it ended.
    pub outcome: Outcome,
    /// What was tried, and how often, in the order to show it.
    pub explored: Vec<Explored>,
    /// What the extension does that it must not do.
    pub findings: Vec<Finding>,
    /// What one should know about it besides: bounds that were reached, what was left out and why.
    pub notes: Vec<String>,
    /// How long it took, in milliseconds.
    pub duration_ms: f64,
}

/// How a suite ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Everything that was tried held.
    Held,
    /// Something did not hold.
    Broken,
    /// The budget ended before everything planned was tried; what was tried held.
    Unfinished,
    /// It does not apply to this extension.
    Skipped,
}

/// How often something was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explored {
    /// How often.
    pub count: u64,
    /// What, in the plural.
    pub what: String,
}

/// Something that the extension does and must not do.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// The rule that is broken, in a few words.
    pub rule: String,
    /// What happened, a sentence each.
    pub what: Vec<String>,
    /// Which of the situations that the suite makes it happened in.
    pub situation: String,
    /// The shortest schedule that shows it, for `--replay`; absent if there is none to speak of.
    pub replay: Option<String>,
    /// How often a guest was stopped in favour of another one in that schedule.
    pub preemptions: Option<u32>,
    /// How many schedules were run until it was found.
    pub found_after: Option<u64>,
    /// Who did what, in order.
    pub steps: Vec<Step>,
}

/// One thing that somebody did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Who did it: a guest, such as `a`.
    pub actor: String,
    /// What was done, such as `open` or `PUT`.
    pub call: String,
    /// To which path of the remote, or of the guest's own state.
    pub path: String,
    /// A second path: where a rename goes.
    pub other: Option<String>,
    /// More about it, such as `37 bytes`.
    pub detail: String,
    /// What came of it.
    pub result: String,
    /// What the check did to it.
    pub mark: Mark,
}

/// What a check did to a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mark {
    /// Nothing: it was carried out.
    Plain,
    /// The guest goes on here after another one was let in between.
    Resumed,
    /// It was made to fail.
    Failed,
    /// It was carried out in part, and the guest was killed.
    Torn,
    /// The guest was killed before it.
    Killed,
}

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For a terminal.
    Text,
    /// One stable document.
    Json,
    /// For build servers.
    Junit,
    /// A page for a browser, complete in itself.
    Html,
}

impl Report {
    /// Whether everything that was tried held.
    pub fn held(&self) -> bool {
        self.suites.iter().all(|suite| suite.outcome != Outcome::Broken)
    }

    /// All findings with their suite, in order.
    pub fn findings(&self) -> impl Iterator<Item = (&str, &Finding)> {
        self.suites.iter().flat_map(|suite| {
            suite.findings.iter().map(move |finding| (suite.suite.as_str(), finding))
        })
    }

    /// Writes the report; `command` is how the check was called, without options, for the next command to run.
    pub fn render(&self, format: Format, command: &str) -> String {
        match format {
            Format::Text => text::render(self, command),
            Format::Json => serde_json::to_string_pretty(self).unwrap_or_default(),
            Format::Junit => junit::render(self),
            Format::Html => html::render(self, command),
        }
    }

    /// The command to run next: the replay of the first finding that has one.
    fn next(&self, command: &str) -> Option<String> {
        let (suite, finding) = self.findings().next()?;
        Some(match &finding.replay {
            Some(replay) => format!("{command} --suite {suite} --replay {}", quoted(replay)),
            None => format!("{command} --suite {suite} --seed {}", self.seed),
        })
    }
}

impl Explored {
    /// Counts something.
    pub fn new(count: u64, what: &str) -> Self {
        Self { count, what: what.to_owned() }
    }
}

impl std::fmt::Display for Explored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.count, self.what)
    }
}

impl Outcome {
    fn word(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Broken => "BROKEN",
            Self::Unfinished => "unfinished",
            Self::Skipped => "skipped",
        }
    }
}

impl Step {
    /// The path, and the second one.
    fn place(&self) -> String {
        match &self.other {
            Some(other) => format!("{} → {other}", self.path),
            None => self.path.clone(),
        }
    }

    fn action(&self) -> String {
        if self.detail.is_empty() { self.call.clone() } else { format!("{} ({})", self.call, self.detail) }
    }
}

fn seconds(milliseconds: f64) -> String {
    format!("{:.1} s", Duration::from_secs_f64(milliseconds.max(0.0) / 1000.0).as_secs_f64())
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=,@+".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

/// A guest's text without the control characters that would reach a terminal or break a document.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests;
