//! The report on one screen.

use super::{Finding, Mark, Outcome, Report, Step, SuiteReport, printable, seconds};

/// How many findings are shown in full, and of each how many steps at the ends and around what the check did.
const FINDINGS: usize = 2;
const STEPS: usize = 24;
const WIDEST: usize = 44;

pub(super) fn render(report: &Report, command: &str) -> String {
    let promise = if report.scoped_sync { "promises scoped-sync" } else { "makes no promise" };
    let digest: String = report.digest.chars().take("sha256:".len() + 12).collect();
    let mut lines =
        vec![format!("{} {} ({digest}) {promise}", report.extension, printable(&report.version))];
    lines.extend(report.assumed.iter().map(|it| format!("assumed: {it}")));
    lines.push(String::new());
    lines.extend(report.suites.iter().map(suite));

    let all: Vec<_> = report.findings().collect();
    for (suite, found) in all.iter().take(FINDINGS) {
        lines.push(String::new());
        lines.extend(finding(suite, found));
    }
    if let Some(more) = all.len().checked_sub(FINDINGS).filter(|more| *more > 0) {
        lines.push(String::new());
        lines.push(format!("and {more} more; --format json or html has all of them"));
    }
    lines.push(String::new());
    lines.push(verdict(report));
    if let Some(next) = report.next(command) {
        lines.push(format!("next: {next}"));
    }
    lines.join("\n")
}

fn suite(suite: &SuiteReport) -> String {
    let explored: Vec<String> = suite.explored.iter().map(ToString::to_string).collect();
    let explored = if suite.outcome == Outcome::Skipped { suite.notes.join("; ") } else { explored.join(", ") };
    let name = format!("{:<11} {:<10}", suite.suite, suite.outcome.word());
    let line = format!("  {name} {:>7}  {explored}", seconds(suite.duration_ms));
    let notes = suite.notes.iter().filter(|_| suite.outcome != Outcome::Skipped);
    let notes: String = notes.map(|note| format!("\n{:25}{}", "", printable(note))).collect();
    format!("{line}{notes}")
}

fn verdict(report: &Report) -> String {
    let broken: Vec<_> =
        report.suites.iter().filter(|it| it.outcome == Outcome::Broken).map(|it| it.suite.as_str()).collect();
    let unfinished = report.suites.iter().any(|it| it.outcome == Outcome::Unfinished);
    match (broken.is_empty(), unfinished) {
        (false, _) => format!("NOT CONFORMANT: {} did not hold ({})", broken.join(", "), seconds(report.duration_ms)),
        (true, false) => format!(
            "No violation found within these bounds ({}). That is evidence, not certainty.",
            seconds(report.duration_ms)
        ),
        (true, true) => format!(
            "No violation found, but the budget ended first ({}); more is tried with a larger --budget.",
            seconds(report.duration_ms)
        ),
    }
}

fn finding(suite: &str, finding: &Finding) -> Vec<String> {
    let mut lines = vec![format!("{suite}: {}", printable(&finding.rule))];
    lines.extend(finding.what.iter().map(|it| format!("  {}", printable(it))));
    let preemptions = finding.preemptions.map(|n| format!("{n} preemption{}", if n == 1 { "" } else { "s" }));
    let after = finding.found_after.map(|n| format!("found after {n} schedule{}", if n == 1 { "" } else { "s" }));
    let facts: Vec<_> =
        [Some(printable(&finding.situation)), preemptions, after].into_iter().flatten().filter(|it| !it.is_empty()).collect();
    if !facts.is_empty() {
        lines.push(format!("  ({})", facts.join("; ")));
    }
    if !finding.steps.is_empty() {
        lines.push(String::new());
        lines.extend(table(&finding.steps));
    }
    lines
}

/// Who did what to which path: a column for each guest.
fn table(steps: &[Step]) -> Vec<String> {
    let mut actors: Vec<&str> = Vec::new();
    for step in steps {
        if !actors.contains(&step.actor.as_str()) {
            actors.push(&step.actor);
        }
    }
    let shown = shown(steps);
    let cell = |step: &Step| {
        let mark = match step.mark {
            Mark::Plain => "",
            Mark::Resumed => "▶ ",
            Mark::Failed | Mark::Torn | Mark::Killed => "✗ ",
        };
        shortened(&printable(&format!("{mark}{} {}", step.action(), step.place())), WIDEST)
    };
    let width = |actor: &str| {
        let mine = shown.iter().filter_map(|index| steps.get(*index)).filter(|step| step.actor == actor);
        mine.map(|step| cell(step).chars().count()).chain([actor.chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = actors.iter().map(|actor| width(actor)).collect();
    let row = |number: &str, cells: Vec<String>, result: &str| {
        let cells: Vec<String> =
            cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        format!("  {number:>4}  {}  {result}", cells.join("  ")).trim_end().to_owned()
    };
    let mut lines = vec![row("", actors.iter().map(|actor| (*actor).to_owned()).collect(), "")];
    let mut next = 0;
    for index in shown {
        let Some(step) = steps.get(index) else { continue };
        if index > next {
            lines.push(row("", vec![format!("… {} more", index - next)], ""));
        }
        next = index + 1;
        let cells = actors.iter().map(|actor| if *actor == step.actor { cell(step) } else { String::new() });
        lines.push(row(&next.to_string(), cells.collect(), &shortened(&printable(&step.result), WIDEST)));
    }
    if next < steps.len() {
        lines.push(row("", vec![format!("… {} more", steps.len() - next)], ""));
    }
    lines
}

/// Which steps to show if there are too many: those around what the check did, then the last ones.
fn shown(steps: &[Step]) -> Vec<usize> {
    if steps.len() <= STEPS {
        return (0..steps.len()).collect();
    }
    let marked = |index: usize| steps.get(index).is_some_and(|step| step.mark != Mark::Plain);
    let near = |index: usize| (index.saturating_sub(3)..=index + 2).any(marked);
    let mut shown: Vec<usize> = (0..steps.len()).filter(|index| near(*index)).take(STEPS).collect();
    let mut last = steps.len();
    while shown.len() < STEPS && last > 0 {
        last -= 1;
        if !shown.contains(&last) {
            shown.push(last);
        }
    }
    shown.sort_unstable();
    shown
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
