//! The report for build servers: a test suite for each suite, a test case for each finding, or one that passed.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Report as Document, TestCase, TestCaseStatus, TestSuite};

use super::steps::steps;
use super::{Report, explored, printable, why};
use crate::bench::Outcome;
use crate::check::SuiteVerdict;
use crate::finding::Finding;

pub(super) fn render(report: &Report<'_>) -> String {
    let mut document = Document::new(format!("lockkeeper check {}", report.verdict.extension));
    document.set_time(duration(report.seconds()));
    document.add_test_suites(report.verdict.suites.iter().map(|it| suite(report, it)));
    // Nothing in it can fail to be written.
    document.to_string().unwrap_or_default()
}

fn suite(report: &Report<'_>, suite: &SuiteVerdict) -> TestSuite {
    let class = &report.verdict.extension;
    let mut document = TestSuite::new(suite.suite.name());
    document.set_time(duration(suite.seconds));
    document.add_property(("explored".to_owned(), explored(suite)));
    let mut broken = false;
    for finding in report.findings_of(suite.suite) {
        broken = true;
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
        let text = printable(&finding.violation.text);
        status.set_type("violation").set_message(text.clone()).set_description(described(report, finding));
        let mut case = TestCase::new(text, status);
        case.set_classname(class.clone());
        document.add_test_case(case);
    }
    if !broken {
        let mut status = match &suite.outcome {
            Outcome::Skipped(_) => TestCaseStatus::skipped(),
            Outcome::Broken => TestCaseStatus::non_success(NonSuccessKind::Failure),
            Outcome::Held | Outcome::HeldSoFar(_) => TestCaseStatus::success(),
        };
        if let Some(why) = why(&suite.outcome) {
            status.set_message(printable(why));
        }
        let mut case = TestCase::new(format!("{} holds", suite.suite), status);
        case.set_classname(class.clone()).set_time(duration(suite.seconds));
        document.add_test_case(case);
    }
    document
}

fn described(report: &Report<'_>, finding: &Finding) -> String {
    let mut lines: Vec<String> = finding.guests.iter().map(|it| printable(it)).collect();
    lines.push(report.again(finding));
    lines
        .extend(steps(finding).iter().map(|step| format!("{}: {}: {}", step.actor, step.label, step.result)));
    lines.join("\n")
}

fn duration(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}
