//! The report on one screen.

use super::steps::{Mark, Step, actors, shortened, steps};
use super::{Report, counted, explored, printable, why, word};
use crate::bench::Outcome;
use crate::check::SuiteVerdict;
use crate::finding::Finding;

/// How many findings are shown, and how many steps of one.
const FINDINGS: usize = 2;
const STEPS: usize = 22;
/// How wide the guests' columns may be together, and that of the results.
const WIDEST: usize = 96;
const RESULT: usize = 20;

pub(super) fn render(report: &Report<'_>) -> String {
    let verdict = report.verdict;
    let promise = if verdict.scoped_sync { "promises scoped-sync" } else { "promises nothing" };
    let digest: String = verdict.digest.chars().take("sha256:".len() + 12).collect();
    let mut lines =
        vec![format!("{} {} ({digest}) {promise}", verdict.extension, printable(&verdict.version))];
    lines.extend(report.assumed.iter().map(|it| format!("assumed: {it}")));
    lines.push(String::new());
    lines.extend(verdict.suites.iter().map(suite));
    for found in verdict.findings.iter().take(FINDINGS) {
        lines.push(String::new());
        lines.extend(finding(found));
    }
    if let Some(more) = verdict.findings.len().checked_sub(FINDINGS).filter(|more| *more > 0) {
        lines.push(String::new());
        lines.push(format!("and {more} more; --format json and --format html have them all"));
    }
    lines.push(String::new());
    lines.push(conclusion(report));
    lines.extend(verdict.findings.first().map(|found| format!("next: {}", report.again(found))));
    lines.join("\n")
}

fn suite(suite: &SuiteVerdict) -> String {
    let seconds = format!("{:.1} s", suite.seconds);
    let line = format!(
        "  {:<11} {:<11} {seconds:>8}  {}",
        suite.suite.name(),
        word(&suite.outcome),
        explored(suite)
    );
    let why = why(&suite.outcome).map(printable).unwrap_or_default();
    let between = if why.is_empty() || explored(suite).is_empty() { "" } else { "; " };
    format!("{line}{between}{why}").trim_end().to_owned()
}

fn conclusion(report: &Report<'_>) -> String {
    let suites = &report.verdict.suites;
    let broken: Vec<&str> =
        suites.iter().filter(|it| it.outcome == Outcome::Broken).map(|it| it.suite.name()).collect();
    let unfinished = suites.iter().any(|it| matches!(it.outcome, Outcome::HeldSoFar(_)));
    let seconds = format!("seed {}, {:.1} s", report.verdict.seed, report.seconds());
    match (report.held, unfinished) {
        (false, _) => format!("NOT CONFORMANT: {} did not hold ({seconds})", broken.join(", ")),
        (true, false) => {
            format!("No violation found within these bounds ({seconds}). That is evidence, not certainty.")
        }
        (true, true) => {
            format!(
                "No violation found, but the budget ended first ({seconds}); a larger --budget tries more."
            )
        }
    }
}

fn finding(finding: &Finding) -> Vec<String> {
    let preemptions = if finding.preemptions > 0 {
        format!(", with {}", counted(finding.preemptions, "preemption"))
    } else {
        String::new()
    };
    let mut lines = vec![format!("{}: {}{preemptions}", finding.suite, printable(&finding.violation.text))];
    if !finding.guests.is_empty() {
        lines.push(format!(
            "  {}",
            finding.guests.iter().map(|it| printable(it)).collect::<Vec<_>>().join("; ")
        ));
    }
    let steps = steps(finding);
    if !steps.is_empty() {
        lines.push(String::new());
        lines.extend(table(&steps));
    }
    lines
}

/// Who did what to which path: a column for each guest.
fn table(steps: &[Step]) -> Vec<String> {
    let actors = actors(steps);
    let shown = shown(steps);
    let widest = WIDEST / actors.len().max(1);
    let cell = |step: &Step| {
        let mark = match step.mark {
            Mark::Plain => "",
            Mark::Resumed => "▶ ",
            Mark::Failed | Mark::Killed => "✗ ",
        };
        shortened(&format!("{mark}{}", step.label), widest)
    };
    let width = |actor: &str| {
        let mine = shown.iter().filter_map(|index| steps.get(*index)).filter(|step| step.actor == actor);
        mine.map(|step| cell(step).chars().count()).chain([actor.chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = actors.iter().map(|actor| width(actor)).collect();
    let row = |number: &str, cells: Vec<String>, result: &str| {
        let cells: Vec<String> =
            cells.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}")).collect();
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
        lines.push(row(&step.number.to_string(), cells.collect(), &shortened(&step.result, RESULT)));
    }
    if next < steps.len() {
        lines.push(row("", vec![format!("… {} more", steps.len() - next)], ""));
    }
    lines
}

/// Which steps to show if there are too many: what the check did, then what guests share or change, the last ones first.
fn shown(steps: &[Step]) -> Vec<usize> {
    if steps.len() <= STEPS {
        return (0..steps.len()).collect();
    }
    let rank = |index: usize| match steps.get(index) {
        Some(step) if step.mark != Mark::Plain => 0,
        Some(step) if step.relevant => 1,
        _ => 2,
    };
    let mut order: Vec<usize> = (0..steps.len()).collect();
    order.sort_by_key(|index| (rank(*index), std::cmp::Reverse(*index)));
    order.truncate(STEPS);
    order.sort_unstable();
    order
}
