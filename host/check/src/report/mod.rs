//! A verdict, ready to be shown: as text, JSON, JUnit and HTML.
//!
//! The text fits one screen and ends with the next command to run; the HTML shows the same with a picture of who did
//! what to which path.

mod diagram;
mod html;
mod junit;
mod steps;
mod text;

#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::str::FromStr;

use serde::Serialize;

use crate::bench::{Counts, Outcome};
use crate::check::{SuiteVerdict, Verdict};
use crate::finding::{Finding, SuiteName};

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

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            "junit" => Ok(Self::Junit),
            "html" => Ok(Self::Html),
            _ => Err(format!("`{text}` is no format; there are text, json, junit, html")),
        }
    }
}

/// A verdict and what a reader needs besides.
#[derive(Debug, Clone, Serialize)]
pub struct Report<'a> {
    /// Whether everything that was explored held.
    pub held: bool,
    /// What the check came to.
    #[serde(flatten)]
    pub verdict: &'a Verdict,
    /// What was taken for granted since nobody said otherwise, a sentence each.
    pub assumed: &'a [String],
    /// How the check was called, without options that a replay needs not.
    #[serde(skip)]
    pub command: &'a str,
}

impl<'a> Report<'a> {
    /// Prepares a report.
    pub fn new(verdict: &'a Verdict, assumed: &'a [String], command: &'a str) -> Self {
        Self { held: verdict.held(), verdict, assumed, command }
    }

    /// Writes it.
    pub fn render(&self, format: Format) -> String {
        match format {
            Format::Text => text::render(self),
            // Nothing in it can fail to be written.
            Format::Json => serde_json::to_string_pretty(self).unwrap_or_default(),
            Format::Junit => junit::render(self),
            Format::Html => html::render(self),
        }
    }

    /// The command that shows a finding again.
    fn again(&self, finding: &Finding) -> String {
        let replay =
            finding.replay.as_ref().map(|replay| format!(" --replay {}", quoted(&replay.to_string())));
        replay.map_or_else(
            || format!("{} --suite {} --seed {}", self.command, finding.suite, self.verdict.seed),
            |replay| format!("{}{replay}", self.command),
        )
    }

    fn findings_of(&self, suite: SuiteName) -> impl Iterator<Item = &Finding> {
        self.verdict.findings.iter().filter(move |finding| finding.suite == suite)
    }

    fn seconds(&self) -> f64 {
        self.verdict.suites.iter().map(|suite| suite.seconds).sum()
    }
}

fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Held => "held",
        Outcome::HeldSoFar(_) => "held so far",
        Outcome::Broken => "BROKEN",
        Outcome::Skipped(_) => "skipped",
    }
}

fn why(outcome: &Outcome) -> Option<&str> {
    match outcome {
        Outcome::Held | Outcome::Broken => None,
        Outcome::HeldSoFar(why) | Outcome::Skipped(why) => Some(why),
    }
}

/// What a suite explored, such as `140 schedules, 312 calls`.
fn explored(suite: &SuiteVerdict) -> String {
    let Counts { schedules, steps, crash_points, faults, calls, cases } = suite.counts;
    let all = [
        (cases, "cases"),
        (schedules, "schedules"),
        (crash_points, "crash points"),
        (faults, "faults"),
        (calls, "calls"),
        (steps, "operations"),
    ];
    let mut text = String::new();
    for (count, what) in all.into_iter().filter(|(count, _)| *count > 0) {
        let between = if text.is_empty() { "" } else { ", " };
        // Writing to a string can't fail.
        _ = write!(text, "{between}{count} {what}");
    }
    text
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// A word as a shell takes it, quoted if it has to be.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=,@+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// A guest's text without the control characters that would reach a terminal or break a document.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
