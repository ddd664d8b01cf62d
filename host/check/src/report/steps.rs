//! The rows of a finding as they are shown: with what the check did to them, and the parts of the paths that matter.

use crate::finding::{Finding, Row};
use crate::schedule::{Strike, letter};

use super::printable;

/// What a check did at a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// Nothing: it was carried out.
    Plain,
    /// The guest goes on after another one was let in between.
    Resumed,
    /// It failed.
    Failed,
    /// The guest was killed here.
    Killed,
}

/// One thing that somebody did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) number: usize,
    pub(super) actor: String,
    pub(super) label: String,
    pub(super) result: String,
    pub(super) mark: Mark,
    /// Whether to show it where there is no room for all.
    pub(super) relevant: bool,
}

/// Who takes part in a finding.
pub(super) fn actors(steps: &[Step]) -> Vec<&str> {
    let mut actors: Vec<&str> = Vec::new();
    for step in steps {
        if !actors.contains(&step.actor.as_str()) {
            actors.push(&step.actor);
        }
    }
    actors
}

pub(super) fn steps(finding: &Finding) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for row in &finding.rows {
        let actor = row.guest.map_or_else(|| "host".to_owned(), |guest| guest.to_string());
        let before = steps.last().map(|step| step.actor.clone());
        let goes_on = before.as_ref() != Some(&actor) && steps.iter().any(|step| step.actor == actor);
        let mark = match row.result.starts_with("failed") {
            true if is_struck(finding) => Mark::Failed,
            _ if goes_on => Mark::Resumed,
            _ => Mark::Plain,
        };
        steps.push(Step {
            number: row.step,
            actor,
            label: label(row),
            result: printable(&row.result),
            mark,
            relevant: row.relevant || row.writes || mark != Mark::Plain,
        });
    }
    let turns = finding.replay.iter().flat_map(|replay| &replay.schedule.0);
    for turn in turns {
        let how = match turn.strike {
            Some(Strike::Kill) => "is killed here",
            Some(Strike::PowerLoss(_)) => "is killed here, and the power fails",
            Some(Strike::Tear) => "is killed amid the operation above",
            Some(Strike::Fail(_) | Strike::Outage(_)) | None => continue,
        };
        let actor = letter(turn.guest).to_string();
        let at = steps.iter().rposition(|step| step.actor == actor).map_or(0, |last| last + 1);
        let killed = Step {
            number: steps.len() + 1,
            actor,
            label: how.to_owned(),
            result: String::new(),
            mark: Mark::Killed,
            relevant: true,
        };
        steps.insert(at.min(steps.len()), killed);
    }
    steps.iter_mut().enumerate().for_each(|(index, step)| step.number = index + 1);
    steps
}

/// Whether the check made operations fail: else a failure is something that guests come across.
fn is_struck(finding: &Finding) -> bool {
    let turns = finding.replay.iter().flat_map(|replay| &replay.schedule.0);
    turns.into_iter().any(|turn| matches!(turn.strike, Some(Strike::Fail(_) | Strike::Outage(_))))
}

fn label(row: &Row) -> String {
    let detail = if row.detail.is_empty() { String::new() } else { format!(" ({})", row.detail) };
    let other = row.other.as_ref().map(|other| format!(" → {other}")).unwrap_or_default();
    printable(&format!("{}{detail} {}{other}", row.call, row.path))
}

/// A text whose middle is left out where it is too long: the ends of paths tell them apart.
pub(super) fn shortened(text: &str, width: usize) -> String {
    let count = text.chars().count();
    if count <= width {
        return text.to_owned();
    }
    let head = width / 2;
    let tail = width.saturating_sub(head + 1);
    text.chars().take(head).chain(['…']).chain(text.chars().skip(count - tail)).collect()
}
