use super::*;

fn step(actor: &str, call: &str, path: &str, mark: Mark) -> Step {
    Step {
        actor: actor.to_owned(),
        call: call.to_owned(),
        path: path.to_owned(),
        other: None,
        detail: "37 bytes".to_owned(),
        result: "done".to_owned(),
        mark,
    }
}

fn finding(steps: Vec<Step>) -> Finding {
    Finding {
        rule: "an update was lost".to_owned(),
        what: vec!["data/db/main/<state>.json is missing from a fresh pull".to_owned()],
        situation: "both scopes pushed before".to_owned(),
        replay: Some("a3 b a".to_owned()),
        preemptions: Some(1),
        found_after: Some(12),
        steps,
    }
}

fn report(findings: Vec<Finding>) -> Report {
    let broken = !findings.is_empty();
    let suite = |suite: &str, outcome, findings| SuiteReport {
        suite: suite.to_owned(),
        outcome,
        explored: vec![Explored::new(140, "schedules")],
        findings,
        notes: Vec::new(),
        duration_ms: 120.0,
    };
    let interleave = if broken { Outcome::Broken } else { Outcome::Held };
    let mut limits = suite("limits", Outcome::Skipped, Vec::new());
    limits.notes.push("not asked for".to_owned());
    Report {
        extension: "@you/yours".to_owned(),
        version: "0.1.0".to_owned(),
        digest: "sha256:0123456789abcdef0123456789abcdef".to_owned(),
        scoped_sync: true,
        assumed: vec!["a folder at /remote".to_owned()],
        seed: 7,
        suites: vec![suite("contract", Outcome::Held, Vec::new()), suite("interleave", interleave, findings), limits],
        duration_ms: 240.0,
    }
}

fn lost_update() -> Finding {
    finding(vec![
        step("a", "read", "/remote/index", Mark::Plain),
        step("b", "read", "/remote/index", Mark::Plain),
        step("b", "write", "/remote/index", Mark::Plain),
        step("a", "write", "/remote/index", Mark::Resumed),
    ])
}

#[test]
fn the_text_ends_with_the_command_that_replays_the_first_finding() {
    let text = report(vec![lost_update()]).render(Format::Text, "lockkeeper check f.wasm");
    assert_eq!(text.lines().last(), Some("next: lockkeeper check f.wasm --suite interleave --replay 'a3 b a'"));
    assert!(text.contains("NOT CONFORMANT: interleave did not hold"), "{text}");
    assert!(text.contains("1 preemption; found after 12 schedules"), "{text}");
}

#[test]
fn a_clean_report_claims_no_more_than_was_tried() {
    let report = report(Vec::new());
    for format in [Format::Text, Format::Html, Format::Json, Format::Junit] {
        let text = report.render(format, "lockkeeper check f.wasm").to_lowercase();
        assert!(!text.contains("proof") && !text.contains("proven"), "{text}");
    }
    assert!(report.held());
    assert!(report.render(Format::Text, "").contains("evidence, not certainty"));
}

#[test]
fn a_long_trace_fits_a_screen_and_keeps_what_the_check_did() {
    let mut steps: Vec<Step> =
        (0..400).map(|n| step("a", "read", &format!("/remote/{n}"), Mark::Plain)).collect();
    steps[200].mark = Mark::Failed;
    steps[200].path = "/remote/here".to_owned();
    let text = report(vec![finding(steps)]).render(Format::Text, "lockkeeper check f.wasm");
    assert!(text.lines().count() < 50, "{text}");
    assert!(text.contains("✗ read (37 bytes) /remote/here"), "{text}");
    assert!(text.contains("more"), "{text}");
}

#[test]
fn what_a_guest_wrote_into_a_name_stays_text() {
    let evil = finding(vec![step("a", "open", "/remote/<script>alert(1)</script>\u{1b}[2J", Mark::Plain)]);
    let report = report(vec![evil]);
    let page = report.render(Format::Html, "lockkeeper check f.wasm");
    assert!(!page.contains("<script"), "{page}");
    assert!(page.contains("&lt;script"), "{page}");
    for format in [Format::Html, Format::Text, Format::Junit] {
        assert!(!report.render(format, "").contains('\u{1b}'));
    }
}

#[test]
fn a_page_loads_nothing_from_elsewhere() {
    let page = report(vec![lost_update()]).render(Format::Html, "lockkeeper check f.wasm");
    assert!(!page.contains("http") && !page.contains("src=") && !page.contains("<script"), "{page}");
    assert!(page.contains("<svg") && page.matches("class=\"arrow\"").count() == 4, "{page}");
}

#[test]
fn a_build_server_sees_a_failure_for_each_finding_and_a_pass_for_what_held() {
    let document = report(vec![lost_update()]).render(Format::Junit, "lockkeeper check f.wasm");
    assert!(document.contains(r#"tests="3""#) && document.contains(r#"failures="1""#), "{document}");
    assert!(document.contains("skipped"), "{document}");
}
