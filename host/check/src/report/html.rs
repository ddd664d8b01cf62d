//! The report as a page that needs nothing besides itself.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::diagram::diagram;
use super::steps::steps;
use super::{Report, counted, explored, printable, why, word};
use crate::bench::Outcome;
use crate::check::SuiteVerdict;
use crate::finding::Finding;

const STYLE: &str = include_str!("style.css");

pub(super) fn render(report: &Report<'_>) -> String {
    let verdict = report.verdict;
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "lockkeeper check: " (verdict.extension) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { (verdict.extension) " " small { (printable(&verdict.version)) } }
                p.verdict .broken[!report.held] {
                    @if report.held { "No violation found within the bounds below" } @else { "Not conformant" }
                }
                p {
                    @if verdict.scoped_sync { "Promises " code { "scoped-sync" } ". " } @else { "Promises nothing. " }
                    "Up to " (counted(verdict.preemptions, "preemption")) ", seed " (verdict.seed) ", "
                    (format!("{:.1} s", report.seconds())) ". "
                    code.faint { (verdict.digest) }
                }
                @for it in report.assumed { p.faint { "Assumed: " (it) } }
                (suites(&verdict.suites))
                @for it in &verdict.findings { (finding(report, it)) }
                p.faint.bounds {
                    "What was tried within these bounds held, or did not; what was not tried is not known. This is evidence, not certainty."
                }
            }
        }
    };
    page.into_string()
}

fn suites(suites: &[SuiteVerdict]) -> Markup {
    html! {
        table {
            thead { tr { th { "Suite" } th { "Outcome" } th { "Explored" } th { "Time" } } }
            tbody {
                @for suite in suites {
                    tr {
                        td { (suite.suite.name()) }
                        td .broken[suite.outcome == Outcome::Broken] { (word(&suite.outcome).to_lowercase()) }
                        td {
                            (explored(suite))
                            @if let Some(why) = why(&suite.outcome) { div.faint { (printable(why)) } }
                        }
                        td { (format!("{:.1} s", suite.seconds)) }
                    }
                }
            }
        }
    }
}

fn finding(report: &Report<'_>, finding: &Finding) -> Markup {
    let steps = steps(finding);
    html! {
        section {
            h2 { (finding.suite.name()) ": " (printable(&finding.violation.text)) }
            p.faint {
                (finding.guests.iter().map(|it| printable(it)).collect::<Vec<_>>().join("; "))
                @if finding.preemptions > 0 { " · " (counted(finding.preemptions, "preemption")) }
            }
            @if !steps.is_empty() { (diagram(&steps)) }
            pre { (report.again(finding)) }
        }
    }
}
