//! The report as a page that needs nothing besides itself.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::diagram::diagram;
use super::{Finding, Outcome, Report, SuiteReport, printable, quoted, seconds};

const STYLE: &str = include_str!("style.css");

pub(super) fn render(report: &Report, command: &str) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "lockkeeper check: " (report.extension) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { (report.extension) " " small { (printable(&report.version)) } }
                p.verdict .broken[!report.held()] {
                    @if report.held() { "No violation found within the bounds below" } @else { "Not conformant" }
                }
                p {
                    @if report.scoped_sync { "Promises " code { "scoped-sync" } ". " } @else { "Makes no promise. " }
                    "Seed " (report.seed) ", " (seconds(report.duration_ms)) ". " code.digest { (report.digest) }
                }
                @for it in &report.assumed { p.assumed { "Assumed: " (it) } }
                (suites(&report.suites))
                @for (suite, it) in report.findings() { (finding(suite, it, command)) }
                p.bounds {
                    "What was tried within these bounds held, or didn't; what was not tried is not known. This is evidence, not certainty."
                }
            }
        }
    };
    page.into_string()
}

fn suites(suites: &[SuiteReport]) -> Markup {
    html! {
        table.suites {
            thead { tr { th { "Suite" } th { "Outcome" } th { "Explored" } th { "Time" } } }
            tbody {
                @for suite in suites {
                    tr {
                        td { (suite.suite) }
                        td.broken[suite.outcome == Outcome::Broken] { (suite.outcome.word().to_lowercase()) }
                        td {
                            (suite.explored.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
                            @for note in &suite.notes { div.note { (printable(note)) } }
                        }
                        td { (seconds(suite.duration_ms)) }
                    }
                }
            }
        }
    }
}

fn finding(suite: &str, finding: &Finding, command: &str) -> Markup {
    html! {
        section {
            h2 { (suite) ": " (printable(&finding.rule)) }
            @for it in &finding.what { p { (printable(it)) } }
            p.facts {
                (printable(&finding.situation))
                @if let Some(n) = finding.preemptions { " · " (n) @if n == 1 { " preemption" } @else { " preemptions" } }
                @if let Some(n) = finding.found_after { " · found after " (n) @if n == 1 { " schedule" } @else { " schedules" } }
            }
            @if !finding.steps.is_empty() { (diagram(&finding.steps)) }
            @if let Some(replay) = &finding.replay {
                pre { (command) " --suite " (suite) " --replay " (quoted(replay)) }
            }
        }
    }
}
