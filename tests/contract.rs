//! What the host and an extension promise each other: the flag, the scope, the calls, and what a run leaves behind.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code"
)]

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use support::{Holding, Ran, Repository, World, files, world};

/// The guests that don't declare `scoped-sync`, each for another reason.
const UNSCOPED: [(&str, &str); 3] =
    [("shared-index", ""), ("plain", ""), ("misbehaving", "misbehave = \"trap-in-capabilities\"")];

/// The locks of a report, as `kind mode key`, in order.
fn locks(report: &Value) -> Vec<String> {
    let text = |lock: &Value, field: &str| lock[field].as_str().unwrap().to_owned();
    let locks = report["locks"].as_array().unwrap().iter();
    locks.map(|lock| format!("{} {} {}", text(lock, "kind"), text(lock, "mode"), text(lock, "key"))).collect()
}

/// The calls of a report, as `direction scope`, in order.
fn calls(report: &Value) -> Vec<String> {
    let calls = report["calls"].as_array().unwrap().iter();
    calls
        .map(|call| {
            let scope = match &call["scope"] {
                Value::Null => "unscoped",
                scope => scope.as_str().unwrap(),
            };
            format!("{} {scope}", call["direction"].as_str().unwrap())
        })
        .collect()
}

/// The paths that `status` names as changed.
fn changed(repository: &Repository<'_>) -> BTreeSet<String> {
    let status = repository.json(&["status"]);
    let changes = status["changes"].as_array().unwrap().iter();
    changes.map(|change| change["path"].as_str().unwrap().to_owned()).collect()
}

fn set(paths: &[&str]) -> BTreeSet<String> {
    paths.iter().map(|path| (*path).to_owned()).collect()
}

/// What a repository that has nothing yet pulls.
fn pulled_afresh(world: &World, guest: &str, top: &str, end: &str) -> BTreeSet<String> {
    let fresh = world.configured("fresh", guest, top, end);
    fresh.ok(&["pull"]);
    let below = |root| files(&fresh.folder, root).into_keys();
    ["data", "outputs"].into_iter().flat_map(below).collect()
}

/// A run of a script that says when it has begun and goes on when it is told to, with its report's file.
fn reported(world: &World, repository: &Repository<'_>, model: &str, script: &str) -> (Command, PathBuf) {
    let report = world.path(&format!("{}.json", model.replace('/', "-")));
    let script = format!("echo begun && read line && {script}");
    let options = ["--wait", "20s", "--report", report.to_str().unwrap()];
    (repository.script(&[model], &script, &options), report)
}

fn read_report(path: &PathBuf) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn a_scoped_run_passes_its_models_scope_and_takes_no_exclusive_lock_but_its_models() {
    let world = world!();
    let repository = world.repository("a", "filesystem");
    let (ran, report) =
        repository.run_script(&["aws-ec2/web"], "mkdir -p data/aws-ec2/web && echo 1 > data/aws-ec2/web/x");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(locks(&report), ["repository shared repository", "model exclusive model/aws-ec2/web"]);
    assert_eq!(calls(&report), ["pull data/aws-ec2/web/", "push data/aws-ec2/web/"]);
    assert_eq!(report["extension"]["scoped_sync"], true);
    let other = world.repository("b", "filesystem");
    other.ok(&["pull"]);
    assert_eq!(other.files("data"), repository.files("data"));
}

#[test]
fn two_scoped_runs_on_different_models_work_and_sync_at_the_same_time() {
    let world = world!();
    let repository = world.repository("a", "filesystem");
    let write = |model: &str| format!("mkdir -p data/{model} && echo 1 > data/{model}/x");
    let (web, web_report) = reported(&world, &repository, "aws-ec2/web", &write("aws-ec2/web"));
    let (db, db_report) = reported(&world, &repository, "aws-ec2/db", &write("aws-ec2/db"));
    // Both commands have begun and none has ended: they overlap.
    let (web, db) = (Holding::start(web), Holding::start(db));
    // The second one pulls, runs and pushes from its beginning to its end while the first one is still at work.
    for (holding, report, model) in [(db, db_report, "aws-ec2/db"), (web, web_report, "aws-ec2/web")] {
        let ran = holding.finish();
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let report = read_report(&report);
        let expected = ["repository shared repository".to_owned(), format!("model exclusive model/{model}")];
        assert_eq!(locks(&report), expected);
        assert_eq!(calls(&report), [format!("pull data/{model}/"), format!("push data/{model}/")]);
    }
    assert_eq!(
        pulled_afresh(&world, "filesystem", "", ""),
        set(&["data/aws-ec2/db/x", "data/aws-ec2/web/x"])
    );
}

#[test]
fn without_the_promise_each_sync_is_unscoped_and_has_the_sync_lock_alone() {
    for (guest, end) in UNSCOPED {
        let world = world!();
        let repository = world.configured("a", guest, "", end);
        let (ran, report) = repository.run_script(&["a/x"], "mkdir -p data/a/x && echo 1 > data/a/x/f");
        assert_eq!(ran.code, 0, "{guest}: {}", ran.stderr);
        let expected = [
            "repository shared repository",
            "model exclusive model/a/x",
            "sync exclusive sync",
            "sync exclusive sync",
        ];
        assert_eq!(locks(&report), expected, "{guest}");
        assert_eq!(calls(&report), ["pull unscoped", "push unscoped"], "{guest}");
        assert_eq!(report["extension"]["scoped_sync"], false, "{guest}");
        let warned = ran.stderr.contains("warning") && ran.stderr.contains(&format!("@lockkeeper/{guest}"));
        assert_eq!(warned, guest == "misbehaving", "{guest}: {}", ran.stderr);
        assert_eq!(pulled_afresh(&world, guest, "", end), set(&["data/a/x/f"]), "{guest}");
    }
}

#[test]
fn without_the_promise_commands_overlap_all_the_same_since_the_sync_lock_is_held_around_syncs_only() {
    let world = world!();
    let repository = world.repository("a", "shared-index");
    let holding = repository.hold(&["a/x"]);
    let ran = Ran::of(&mut repository.script(
        &["a/y"],
        "mkdir -p data/a/y && echo 1 > data/a/y/f",
        &["--wait", "20s"],
    ));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(holding.finish().code, 0);
}

#[test]
fn a_sync_without_the_promise_waits_for_the_sync_lock_and_one_with_it_does_not() {
    for (guest, waits) in [("shared-index", true), ("filesystem", false)] {
        let world = world!();
        let repository = world.repository("a", guest);
        let folder = PathBuf::from(repository.json(&["locks", "list"])["place"].as_str().unwrap());
        std::fs::create_dir_all(folder.join("sync/.holders")).unwrap();
        let held = std::fs::File::create(folder.join("sync/.lock")).unwrap();
        held.lock().unwrap();
        let run = |wait| Ran::of(&mut repository.script(&["a/x"], "true", &["--wait", wait]));
        let ran = run(if waits { "200ms" } else { "20s" });
        assert_eq!(ran.code, if waits { 75 } else { 0 }, "{guest}: {}", ran.stderr);
        assert_eq!(ran.stderr.contains("exclusive lock `sync`"), waits, "{guest}: {}", ran.stderr);
        held.unlock().unwrap();
        assert_eq!(run("20s").code, 0, "{guest}");
    }
}

#[test]
fn a_model_that_is_named_twice_is_locked_and_synced_once_in_sorted_order() {
    let world = world!();
    let script = "mkdir -p data/a/x data/b/x && echo 1 > data/a/x/f && echo 2 > data/b/x/f";
    let named = ["b/x", "a/x", "b/x"];
    let scoped = world.repository("scoped", "filesystem");
    let (ran, report) = scoped.run_script(&named, script);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(report["models"], serde_json::json!(["a/x", "b/x"]));
    let models = ["repository shared repository", "model exclusive model/a/x", "model exclusive model/b/x"];
    assert_eq!(locks(&report), models);
    assert_eq!(calls(&report), ["pull data/a/x/", "pull data/b/x/", "push data/a/x/", "push data/b/x/"]);

    let world = world!();
    let unscoped = world.repository("unscoped", "shared-index");
    let (ran, report) = unscoped.run_script(&named, script);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(locks(&report)[..3], models);
    assert_eq!(calls(&report), ["pull unscoped", "push unscoped"]);
    assert_eq!(pulled_afresh(&world, "shared-index", "", ""), set(&["data/a/x/f", "data/b/x/f"]));
}

#[test]
fn a_model_has_a_scope_in_each_root_under_its_one_lock_and_nothing_outside_of_the_roots_is_synced() {
    let world = world!();
    let roots = "roots = [\"data\", \"outputs\"]";
    let repository = world.configured("a", "filesystem", roots, "");
    let script = "mkdir -p data/a/x outputs/a/x notes/a/x && echo 1 > data/a/x/f && echo 2 > outputs/a/x/f \
                  && echo 3 > notes/a/x/f && echo 4 > beside";
    let (ran, report) = repository.run_script(&["a/x"], script);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(locks(&report), ["repository shared repository", "model exclusive model/a/x"]);
    let expected = ["pull data/a/x/", "pull outputs/a/x/", "push data/a/x/", "push outputs/a/x/"];
    assert_eq!(calls(&report), expected);
    assert_eq!(changed(&repository), set(&[]));
    repository.ok(&["push"]);
    assert_eq!(pulled_afresh(&world, "filesystem", roots, ""), set(&["data/a/x/f", "outputs/a/x/f"]));
    let remote = files(&world.remote(), ".");
    assert!(!remote.keys().any(|path| path.contains("notes") || path.contains("beside")), "{remote:?}");

    // A repository with fewer roots takes its part of the remote and leaves the rest of it alone.
    let narrow = world.repository("narrow", "filesystem");
    narrow.ok(&["pull"]);
    assert!(narrow.read("data/a/x/f").is_some() && narrow.files("outputs").is_empty());
    narrow.ok(&["push"]);
    assert_eq!(files(&world.remote(), "outputs").len(), 1);
}

#[test]
fn types_of_several_segments_work_in_every_command() {
    for guest in ["filesystem", "shared-index"] {
        let world = world!();
        let (model, file) = ("@org/aws/ec2/web", "data/@org/aws/ec2/web/f");
        let one = world.repository("one", guest);
        let (ran, report) =
            one.run_script(&[model], "mkdir -p data/@org/aws/ec2/web && echo 1 > data/@org/aws/ec2/web/f");
        assert_eq!(ran.code, 0, "{guest}: {}", ran.stderr);
        let expected = [
            "repository shared repository",
            "model shared model/@org/aws",
            "model shared model/@org/aws/ec2",
            "model exclusive model/@org/aws/ec2/web",
        ];
        assert_eq!(locks(&report)[..4], expected, "{guest}");

        let other = world.repository("other", guest);
        other.ok(&["pull", "--model", model]);
        assert_eq!(other.read(file).unwrap(), b"1\n", "{guest}");
        other.write(file, "changed\n");
        assert_eq!(changed(&other), set(&[file]), "{guest}");
        other.ok(&["push", "--model", model]);
        assert_eq!(changed(&other), set(&[]), "{guest}");
        one.ok(&["pull", "--model", model]);
        assert_eq!(one.read(file).unwrap(), b"changed\n", "{guest}");

        let holding = one.hold(&[model]);
        let list = one.json(&["locks", "list"]);
        let keys: Vec<&str> =
            list["holders"].as_array().unwrap().iter().map(|it| it["key"].as_str().unwrap()).collect();
        let expected = ["model/@org/aws", "model/@org/aws/ec2", "model/@org/aws/ec2/web", "repository"];
        assert_eq!(keys, expected, "{guest}");
        assert_eq!(holding.finish().code, 0, "{guest}");
    }
}

#[test]
fn the_commands_exit_code_is_passed_through_and_what_it_wrote_is_pushed_all_the_same() {
    for (guest, end) in [("filesystem", "exit 7"), ("shared-index", "kill -KILL $$")] {
        let world = world!();
        let repository = world.repository("a", guest);
        let code = if end == "exit 7" { 7 } else { 128 + 9 };
        let script = format!("mkdir -p data/a/x && echo 1 > data/a/x/f && {end}");
        let (ran, report) = repository.run_script(&["a/x"], &script);
        assert_eq!(ran.code, code, "{}", ran.stderr);
        assert_eq!(report["outcome"], "command-failed");
        assert_eq!(report["exit_code"], code);
        assert_eq!(report["error"], Value::Null);
        assert_eq!(changed(&repository), set(&[]));
        assert_eq!(pulled_afresh(&world, guest, "", ""), set(&["data/a/x/f"]));
    }
}

#[test]
fn a_command_that_cannot_be_started_has_a_code_of_its_own_and_a_report() {
    let world = world!();
    let repository = world.repository("a", "filesystem");
    repository.write("not-executable", "");
    let file = repository.folder.join("not-executable");
    for (program, code) in [("/nowhere/at/all", 127), (file.to_str().unwrap(), 126)] {
        let report = world.path("report.json");
        let ran =
            repository.run(&["run", "--model", "a/x", "--report", report.to_str().unwrap(), "--", program]);
        assert_eq!(ran.code, code, "{}", ran.stderr);
        assert!(ran.stderr.contains(program), "{}", ran.stderr);
        let report = read_report(&report);
        assert_eq!(report["outcome"], "failed");
        assert_eq!(report["exit_code"], code);
    }
    assert_eq!(repository.json(&["locks", "list"])["holders"], serde_json::json!([]));
}

#[test]
fn the_report_of_a_failed_run_is_written_as_well() {
    let world = world!();
    let write = "mkdir -p data/a/x && echo 1 > data/a/x/f";

    // The extension fails before the command: it isn't run.
    let repository = world.configured("reports", "filesystem", "", "unknown = 1");
    let (ran, report) = repository.run_script(&["a/x"], write);
    assert_eq!(ran.code, 69, "{}", ran.stderr);
    assert_eq!(report["outcome"], "failed");
    assert_eq!(report["exit_code"], 69);
    assert_eq!(calls(&report), ["pull data/a/x/"]);
    assert!(report["calls"][0]["error"].as_str().unwrap().contains("`unknown`"), "{report}");
    assert!(report["error"]["message"].as_str().unwrap().contains("`unknown`"), "{report}");
    assert_eq!(locks(&report), ["repository shared repository", "model exclusive model/a/x"]);
    assert_eq!(repository.read("data/a/x/f"), None);

    // It fails after the command: what the command wrote stays, marked.
    let repository = world.configured("traps", "misbehaving", "", "misbehave = \"trap-in-push\"");
    let (ran, report) = repository.run_script(&["a/x"], write);
    assert_eq!(ran.code, 70, "{}", ran.stderr);
    assert_eq!(report["outcome"], "failed");
    assert_eq!(report["exit_code"], 70);
    assert_eq!(calls(&report), ["pull data/a/x/", "push data/a/x/"]);
    assert_eq!(report["calls"][0]["error"], Value::Null);
    assert!(report["calls"][1]["error"].as_str().unwrap().contains("@lockkeeper/misbehaving"), "{report}");
    assert_eq!(changed(&repository), set(&["data/a/x/f"]));

    // The lock isn't to be had, or there is no extension at all.
    let repository = world.repository("waits", "filesystem");
    let holding = repository.hold(&["a/x"]);
    let report = world.path("report.json");
    let options = ["--wait", "10ms", "--report", report.to_str().unwrap()];
    assert_eq!(Ran::of(&mut repository.script(&["a/x"], write, &options)).code, 75);
    let written = read_report(&report);
    assert_eq!(written["outcome"], "failed");
    assert_eq!(written["exit_code"], 75);
    assert_eq!(calls(&written).len(), 0);
    assert_eq!(holding.finish().code, 0);
    std::fs::remove_file(repository.folder.join("extensions/filesystem.wasm")).unwrap();
    let (ran, report) = repository.run_script(&["a/x"], write);
    assert_eq!(ran.code, 78, "{}", ran.stderr);
    assert_eq!(report["extension"], Value::Null);
    assert_eq!(report["exit_code"], 78);
}

#[test]
fn an_unscoped_pull_of_one_command_leaves_the_model_alone_that_another_one_works_on() {
    for (guest, end) in UNSCOPED {
        let world = world!();
        let here = world.configured("here", guest, "", end);
        let there = world.configured("there", guest, "", &format!("{end}\n[locks]\npath = \"locks\""));
        for model in ["a/x", "a/y"] {
            there.write(&format!("data/{model}/f"), "old");
        }
        there.ok(&["push"]);
        here.ok(&["pull"]);
        let half =
            "printf half > data/a/x/half && echo half done && read line && printf whole > data/a/x/half";
        let holding = Holding::start(here.script(&["a/x"], half, &[]));
        there.write("data/a/x/f", "new");
        there.write("data/a/x/added", "new");
        there.delete("data/a/y/f");
        there.write("data/a/y/added", "new");
        // Another folder of locks: the other repository knows of no run here.
        there.ok(&["push"]);
        let before = here.files("data/a/x");
        let (ran, report) = here.run_script(&["a/y"], "cat data/a/y/added");
        assert_eq!(ran.code, 0, "{guest}: {}", ran.stderr);
        assert_eq!(ran.stdout, "new", "{guest}");
        assert_eq!(calls(&report), ["pull unscoped"], "{guest}");
        assert_eq!(here.files("data/a/x"), before, "{guest}");
        assert_eq!(changed(&here), set(&["data/a/x/half"]), "{guest}");
        assert_eq!(holding.finish().code, 0, "{guest}");

        // Once it is its turn, the rest arrives.
        here.ok(&["pull", "--model", "a/x"]);
        assert_eq!(here.read("data/a/x/f").unwrap(), b"new", "{guest}");
        assert_eq!(here.read("data/a/x/added").unwrap(), b"new", "{guest}");
        assert_eq!(here.read("data/a/x/half").unwrap(), b"whole", "{guest}");
        there.ok(&["pull"]);
        assert_eq!(there.read("data/a/x/half").unwrap(), b"whole", "{guest}");
    }
}

#[test]
fn nothing_to_push_costs_no_call_and_no_sync_lock() {
    for (guest, sync_locks) in [("filesystem", 0), ("shared-index", 1)] {
        let world = world!();
        let repository = world.repository("a", guest);
        repository.write("data/a/x/f", "1");
        let first = repository.json(&["push"]);
        assert_eq!(calls(&first), ["push unscoped"], "{guest}");
        let (ran, report) = repository.run_script(&["a/x"], "true");
        assert_eq!(ran.code, 0, "{guest}: {}", ran.stderr);
        assert!(calls(&report).iter().all(|call| call.starts_with("pull")), "{guest}: {report}");
        let sync = locks(&report).iter().filter(|lock| lock.starts_with("sync")).count();
        assert_eq!(sync, sync_locks, "{guest}: {report}");
        for arguments in [&["push"][..], &["push", "--model", "a/x"]] {
            let report = repository.json(arguments);
            assert_eq!(calls(&report).len(), 0, "{guest}: {report}");
            assert!(!locks(&report).iter().any(|lock| lock.starts_with("sync")), "{guest}: {report}");
        }
    }
}

#[test]
fn a_strict_run_names_what_its_command_changed_elsewhere_and_a_full_push_takes_that_along() {
    for guest in ["filesystem", "shared-index"] {
        let world = world!();
        let repository = world.repository("a", guest);
        repository.write("data/a/deleted/f", "1");
        repository.write("data/a/own/f", "1");
        repository.ok(&["push"]);
        // Changed before the command runs, so not by it.
        repository.write("data/a/before/f", "1");
        let script = "mkdir -p data/a/stray && echo 1 > data/a/stray/f && echo 2 > data/a/own/f \
                      && rm data/a/deleted/f && echo 3 > data/loose";
        let (ran, report) = repository.run_script(&["a/own"], script);
        assert_eq!(ran.code, 0, "only a strict run looks: {}", ran.stderr);
        assert_eq!(report["outcome"], "succeeded");
        let (ran, report) = run_strict(&world, &repository, "a/own", "echo 4 > data/a/own/f");
        assert_eq!(ran.code, 0, "what was there before is not its doing: {}", ran.stderr);
        assert_eq!(report["outcome"], "succeeded");

        let (ran, report) = run_strict(
            &world,
            &repository,
            "a/own",
            "echo 5 > data/a/own/f && echo 5 > data/a/stray/f && mkdir -p data/b/y && echo 5 > data/b/y/f",
        );
        assert_eq!(ran.code, 65, "{}", ran.stderr);
        assert_eq!(report["outcome"], "failed");
        let error = report["error"]["message"].as_str().unwrap();
        assert!(error.ends_with(": data/a/stray/f, data/b/y/f"), "{error}");
        assert!(ran.stderr.contains("data/a/stray/f, data/b/y/f"), "{}", ran.stderr);
        assert!(ran.stderr.contains("lockkeeper push"), "{}", ran.stderr);

        // Its own files were pushed, the others are named and go with a full push.
        let rest = ["data/a/before/f", "data/a/deleted/f", "data/a/stray/f", "data/b/y/f", "data/loose"];
        assert_eq!(changed(&repository), set(&rest), "{guest}");
        let text = repository.ok(&["status"]).stdout;
        assert!(rest.iter().all(|path| text.contains(path)), "{text}");
        repository.ok(&["push"]);
        assert_eq!(changed(&repository), set(&[]), "{guest}");
        let all = ["data/a/before/f", "data/a/own/f", "data/a/stray/f", "data/b/y/f", "data/loose"];
        assert_eq!(pulled_afresh(&world, guest, "", ""), set(&all), "{guest}");
    }
}

#[test]
fn a_strict_run_names_files_in_the_folders_around_its_model() {
    let world = world!();
    let repository = world.repository("a", "filesystem");
    let script = "mkdir -p data/@org/aws/ec2/web data/@org/aws/ec2/db && echo 1 > data/@org/aws/ec2/web/f \
                  && echo 1 > data/@org/aws/ec2/db/f && echo 1 > data/@org/aws/f";
    let (ran, _) = run_strict(&world, &repository, "@org/aws/ec2/web", script);
    assert_eq!(ran.code, 65, "{}", ran.stderr);
    assert!(ran.stderr.contains("data/@org/aws/ec2/db/f, data/@org/aws/f"), "{}", ran.stderr);
}

#[test]
fn a_strict_run_does_not_complain_about_the_model_of_another_running_command() {
    let world = world!();
    let repository = world.repository("a", "filesystem");
    let other = repository.hold(&["a/other"]);
    let script = |name: &str| {
        format!("mkdir -p data/a/own data/a/{name} && echo 1 > data/a/own/f && echo 1 > data/a/{name}/f")
    };
    let (ran, report) = run_strict(&world, &repository, "a/own", &script("other"));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(report["outcome"], "succeeded");
    // A name that only begins like the other's is not the other's.
    let (ran, _) = run_strict(&world, &repository, "a/own", &script("other-2"));
    assert_eq!(ran.code, 65, "{}", ran.stderr);
    assert!(ran.stderr.contains("data/a/other-2/f"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("data/a/other/f"), "{}", ran.stderr);
    assert_eq!(other.finish().code, 0);
}

fn run_strict(world: &World, repository: &Repository<'_>, model: &str, script: &str) -> (Ran, Value) {
    let report = world.path("strict.json");
    let options = ["--strict", "--report", report.to_str().unwrap()];
    let ran = Ran::of(&mut repository.script(&[model], script, &options));
    let report = read_report(&report);
    assert_eq!(report["exit_code"], ran.code, "{report}");
    (ran, report)
}
