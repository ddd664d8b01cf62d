//! `lockkeeper check` as a user runs it: one command, its report, its exit code, and the next command.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code"
)]

use serde_json::Value;
use support::{Ran, World, fails, guest, says, world};

const NOT_CONFORMANT: i32 = 76;

fn check(world: &World, guest_name: &str, arguments: &[&str]) -> Ran {
    Ran::of(world.command().arg("check").arg(guest(guest_name)).args(arguments))
}

/// What the extension is given, in a file of the world.
fn config(world: &World, text: &str) -> String {
    let path = world.path("check.toml");
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn liar(world: &World, mutation: &str) -> String {
    config(world, &format!("[config]\nroot = \"/remote\"\nmutation = \"{mutation}\"\n"))
}

fn document(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {}{}", ran.stdout, ran.stderr))
}

#[test]
fn a_file_is_all_it_takes_and_what_was_assumed_is_said() {
    let world = world!();
    let ran = check(&world, "filesystem", &["--budget", "6", "--preemptions", "1"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{}", ran.stdout);
    says(
        &ran.stdout,
        &[
            "@lockkeeper/filesystem",
            "promises scoped-sync",
            "assumed: a folder as the remote",
            "crash points",
        ],
    );
    assert!(ran.stdout.lines().count() < 24, "more than a screen:\n{}", ran.stdout);
    assert_eq!(std::fs::read_dir(world.remote()).unwrap().count(), 0);
}

#[test]
fn a_bar_shows_on_a_terminal_how_far_it_has_come() {
    let world = world!();
    let command = world.command();
    let (program, file) = (command.get_program().to_str().unwrap(), guest("filesystem"));
    let line =
        format!("'{program}' check '{}' --budget 2 >'{}'", file.display(), world.path("report").display());
    // It runs a command on a terminal of its own.
    let mut terminal = std::process::Command::new("script");
    terminal.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => terminal.env(name, value),
            None => terminal.env_remove(name),
        };
    }
    let Ok(ran) = terminal.stdin(std::process::Stdio::null()).output() else {
        assert!(std::env::var_os("CI").is_none(), "there is no `script`");
        println!("skipped: there is no `script`");
        return;
    };
    let shown = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{shown}");
    says(&shown, &["%  ", "tried"]);
    let report = std::fs::read_to_string(world.path("report")).unwrap();
    assert!(!report.contains('%') && report.contains("@lockkeeper/filesystem"), "{report}");
}

#[test]
fn a_broken_promise_is_shown_as_who_did_what_and_the_next_command_shows_it_again() {
    let world = world!();
    let config = liar(&world, "unconditional-index-write");
    let found = check(&world, "liars", &["--config", &config, "--suite", "interleave"]);
    assert_eq!(found.code, NOT_CONFORMANT, "{}{}", found.stdout, found.stderr);
    says(&found.stdout, &["BROKEN", "does not bring", "with 1 preemption", "/remote/index/all"]);
    assert!(found.stdout.lines().count() < 48, "more than a screen:\n{}", found.stdout);

    let next = found.stdout.lines().last().unwrap().strip_prefix("next: lockkeeper ").unwrap();
    let again = Ran::of(world.command().args(next.split(' ')));
    assert_eq!(again.code, NOT_CONFORMANT, "{}{}", again.stdout, again.stderr);
    let table = |ran: &Ran| ran.stdout.split("\n\n").nth(2).unwrap().to_owned();
    assert_eq!(table(&again), table(&found));
}

#[test]
fn a_run_that_is_repeated_in_another_process_is_the_same_to_the_last_operation() {
    let world = world!();
    for (mutation, suite) in
        [("fixed-temporary-name", "interleave"), ("lock-folder", "crash"), ("swallowed-error", "fault")]
    {
        let config = liar(&world, mutation);
        let found = document(&check(&world, "liars", &["--config", &config, "--suite", suite, "--json"]));
        let finding = &found["findings"][0];
        let replay = finding["replay"].as_str().unwrap();
        for _ in 0..2 {
            let again = document(&check(
                &world,
                "liars",
                &["--config", &config, "--replay", replay, "--format", "json"],
            ));
            assert_eq!(&again["findings"][0], finding, "{replay}");
        }
    }
}

#[test]
fn a_run_that_violates_nothing_is_repeated_without_complaint() {
    let world = world!();
    let ran = check(&world, "filesystem", &["--replay", "interleave/both-push/2/1:a10.b.a"]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
}

#[test]
fn every_format_is_what_it_says() {
    let world = world!();
    let config = liar(&world, "prefix-without-slash");
    let scope = |format: &str| {
        let ran = check(&world, "liars", &["--config", &config, "--suite", "scope", "--format", format]);
        assert_eq!(ran.code, NOT_CONFORMANT, "{}", ran.stderr);
        ran.stdout
    };
    let json: Value = serde_json::from_str(&scope("json")).unwrap();
    assert_eq!((&json["held"], &json["suites"][0]["suite"]), (&Value::Bool(false), &Value::from("scope")));
    let junit = scope("junit");
    says(&junit, &["<?xml", "<testsuite name=\"scope\"", "<failure"]);
    let html = scope("html");
    says(&html, &["<!DOCTYPE html>", "<svg", "--replay scope/"]);
    assert!(!html.contains("<script"), "{html}");
}

#[test]
fn what_makes_no_sense_is_refused_with_a_reason() {
    let world = world!();
    let wrong: [(&[&str], i32, &str); 6] = [
        (&["--suite", "nonsense"], 64, "there is no suite `nonsense`"),
        (&["--format", "yaml"], 64, "no format"),
        (&["--budget", "soon"], 64, "budget"),
        (&["--replay", "a1.b"], 64, "suite/scenario/files/seed:schedule"),
        (&["--replay", "crash/nowhere/1/1:a"], 64, "there is no scenario `nowhere`"),
        (&["--config", "no-such-file.toml"], 78, "no-such-file.toml"),
    ];
    for (arguments, code, reason) in wrong {
        let ran = check(&world, "filesystem", arguments);
        assert_eq!(ran.code, code, "{arguments:?}: {}", ran.stderr);
        says(&ran.stderr, &[reason]);
    }
    let file = config(&world, "this is no component");
    let ran = Ran::of(world.command().args(["check", &file]));
    says(&fails(&ran, NOT_CONFORMANT), &["not a WebAssembly component"]);
}

#[test]
fn an_extension_that_needs_another_configuration_is_told_how_to_get_one() {
    let world = world!();
    let config = config(&world, "[config]\nroot = \"/elsewhere\"\n[remote]\nfolders = [\"/share\"]\n");
    let ran = check(&world, "filesystem", &["--config", &config, "--suite", "contract"]);
    assert_eq!(ran.code, NOT_CONFORMANT);
    says(&ran.stdout, &["error config", "/elsewhere"]);
    let right = std::fs::read_to_string(&config).unwrap().replace("/elsewhere", "/share");
    std::fs::write(&config, right).unwrap();
    let ran = check(&world, "filesystem", &["--config", &config, "--suite", "contract"]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    assert!(!ran.stdout.contains("assumed"), "{}", ran.stdout);
}
