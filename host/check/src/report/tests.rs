use super::*;
use crate::finding::{Row, Rule, Violation};

fn row(step: usize, guest: char, call: &str, path: &str) -> Row {
    Row {
        step,
        guest: Some(guest),
        call: call.to_owned(),
        path: path.to_owned(),
        other: None,
        detail: "37 bytes".to_owned(),
        result: "done".to_owned(),
        writes: call == "write",
        relevant: true,
    }
}

fn finding(replay: &str, rows: Vec<Row>) -> Finding {
    let text = "a fresh pull does not bring data/app/web/<state>.json";
    Finding {
        suite: SuiteName::Interleave,
        violation: Violation::new(Rule::Lost, text, vec!["data/app/web/<state>.json".to_owned()]),
        replay: Some(replay.parse().unwrap()),
        guests: vec!["a pushes data/app/web/".to_owned(), "b pushes data/app/web-2/".to_owned()],
        preemptions: 1,
        rows,
    }
}

fn lost_update() -> Finding {
    let steps = [('a', "read"), ('b', "read"), ('b', "write"), ('a', "write")];
    let rows = steps.iter().enumerate().map(|(at, (guest, call))| row(at + 1, *guest, call, "/remote/index"));
    finding("interleave/both-push/2/7:a1.b.a", rows.collect())
}

fn verdict(findings: Vec<Finding>) -> Verdict {
    let suite = |suite, outcome| SuiteVerdict {
        suite,
        outcome,
        counts: Counts { cases: 9, ..Counts::default() },
        seconds: 0.1,
    };
    let interleave = if findings.is_empty() { Outcome::Held } else { Outcome::Broken };
    Verdict {
        extension: "@you/yours".to_owned(),
        version: "0.1.0".to_owned(),
        digest: "sha256:0123456789abcdef0123456789abcdef".to_owned(),
        scoped_sync: true,
        seed: 7,
        preemptions: 2,
        suites: vec![
            suite(SuiteName::Contract, Outcome::Held),
            suite(SuiteName::Scope, Outcome::Skipped("no promise".to_owned())),
            suite(SuiteName::Interleave, interleave),
        ],
        findings,
    }
}

fn rendered(findings: Vec<Finding>, format: Format) -> String {
    let assumed = ["a folder at /remote".to_owned()];
    Report::new(&verdict(findings), &assumed, "lockkeeper check f.wasm").render(format)
}

#[test]
fn the_text_ends_with_the_command_that_shows_the_first_finding_again() {
    let text = rendered(vec![lost_update()], Format::Text);
    let next = "next: lockkeeper check f.wasm --replay interleave/both-push/2/7:a1.b.a";
    assert_eq!(text.lines().last(), Some(next));
    assert!(text.contains("NOT CONFORMANT: interleave did not hold"), "{text}");
    assert!(text.contains("with 1 preemption"), "{text}");
    assert!(text.contains("▶ write (37 bytes) /remote/index"), "{text}");
}

#[test]
fn a_replay_text_that_a_shell_would_change_is_quoted() {
    let text = rendered(vec![finding("crash/both/2/7:a5!torn", Vec::new())], Format::Text);
    assert!(text.ends_with("--replay 'crash/both/2/7:a5!torn'"), "{text}");
}

#[test]
fn a_guest_that_is_killed_is_shown_where_it_was_killed() {
    let mut rows: Vec<Row> = (1..=3).map(|step| row(step, 'a', "write", "/remote/index")).collect();
    rows.push(row(4, 'b', "read", "/remote/index"));
    let text = rendered(vec![finding("crash/both/2/7:a3!content.b", rows)], Format::Text);
    let killed =
        text.lines().position(|line| line.contains("✗ is killed here, and the power fails")).unwrap();
    assert!(text.lines().nth(killed + 1).unwrap().contains("5"), "{text}");
    assert!(text.lines().nth(killed).unwrap().trim_start().starts_with('4'), "{text}");
}

#[test]
fn a_clean_report_claims_no_more_than_was_tried() {
    for format in [Format::Text, Format::Html, Format::Json, Format::Junit] {
        let text = rendered(Vec::new(), format).to_lowercase();
        assert!(!text.contains("proof") && !text.contains("proven"), "{text}");
    }
    assert!(rendered(Vec::new(), Format::Text).ends_with("That is evidence, not certainty."));
}

#[test]
fn a_long_trace_fits_a_screen_and_keeps_what_the_check_did() {
    let mut rows: Vec<Row> = (1..=400).map(|step| row(step, 'a', "read", "/remote/x")).collect();
    rows.iter_mut().for_each(|row| row.relevant = false);
    rows[200].result = "failed: io".to_owned();
    rows[200].path = "/remote/here".to_owned();
    let text = rendered(vec![finding("fault/both-push/2/7:a200~io", rows)], Format::Text);
    assert!(text.lines().count() < 50, "{text}");
    assert!(text.contains("✗ read (37 bytes) /remote/here"), "{text}");
    assert!(text.contains("more"), "{text}");
}

#[test]
fn what_a_guest_wrote_into_a_name_stays_text() {
    let name = "/remote/<script>alert(1)</script>\u{1b}[2J";
    let evil = || vec![finding("interleave/both-push/2/7:a", vec![row(1, 'a', "open", name)])];
    let page = rendered(evil(), Format::Html);
    assert!(!page.contains("<script") && page.contains("&lt;script"), "{page}");
    for format in [Format::Html, Format::Text, Format::Junit, Format::Json] {
        assert!(!rendered(evil(), format).contains('\u{1b}'));
    }
}

#[test]
fn a_page_loads_nothing_from_elsewhere() {
    let page = rendered(vec![lost_update()], Format::Html);
    assert!(!page.contains("http") && !page.contains("src=") && !page.contains("<script"), "{page}");
    assert_eq!(page.matches("class=\"arrow\"").count(), 4, "{page}");
}

#[test]
fn a_build_server_sees_a_failure_for_each_finding_and_a_pass_for_what_held() {
    let document = rendered(vec![lost_update()], Format::Junit);
    assert!(document.contains(r#"tests="3""#) && document.contains(r#"failures="1""#), "{document}");
    assert!(document.contains("no promise"), "{document}");
}
