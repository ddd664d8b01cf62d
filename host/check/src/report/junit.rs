//! The report for build servers: a test suite for each suite, a test case for each finding, or one that passed.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Report as Document, TestCase, TestCaseStatus, TestSuite};

use super::{Finding, Outcome, Report, SuiteReport, printable};

pub(super) fn render(report: &Report) -> String {
    let mut document = Document::new(format!("lockkeeper check {}", report.extension));
    document.set_time(duration(report.duration_ms));
    document.add_test_suites(report.suites.iter().map(|it| suite(report, it)));
    document.to_string().unwrap_or_default()
}

fn suite(report: &Report, suite: &SuiteReport) -> TestSuite {
    let mut document = TestSuite::new(suite.suite.clone());
    document.set_time(duration(suite.duration_ms));
    for explored in &suite.explored {
        document.add_property((explored.what.clone(), explored.count.to_string()));
    }
    if suite.findings.is_empty() {
        let mut status = TestCaseStatus::success();
        if suite.outcome == Outcome::Skipped {
            status = TestCaseStatus::skipped();
            status.set_message(suite.notes.join("; "));
        }
        let mut case = TestCase::new(format!("{} holds", suite.suite), status);
        case.set_classname(report.extension.clone()).set_time(duration(suite.duration_ms));
        document.add_test_case(case);
    }
    for finding in &suite.findings {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
        status.set_type("violation").set_message(printable(&finding.rule)).set_description(described(finding));
        let mut case = TestCase::new(printable(&finding.rule), status);
        case.set_classname(report.extension.clone());
        document.add_test_case(case);
    }
    document
}

fn described(finding: &Finding) -> String {
    let mut lines: Vec<String> = finding.what.iter().map(|it| printable(it)).collect();
    if let Some(replay) = &finding.replay {
        lines.push(format!("replay: {replay}"));
    }
    lines.extend(finding.steps.iter().map(|step| {
        printable(&format!("{}: {} {}: {}", step.actor, step.action(), step.place(), step.result))
    }));
    lines.join("\n")
}

fn duration(milliseconds: f64) -> Duration {
    Duration::from_secs_f64(milliseconds.max(0.0) / 1000.0)
}
