//! Locks between real processes: who waits for whom, who doesn't, and that nobody keeps a lock who is gone.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code"
)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::{Holding, Ran, Repository, World, code, files, world};

/// Enough for anything that ought to happen, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(60);
/// The same as an option, for runs that must get their locks in the end.
const LONG: &str = "10m";
/// For runs that must not get their locks.
const SHORT: &str = "100ms";

/// Looks again and again until there is an answer.
fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The locks that are held or waited for, as `locks list` has them.
fn holders(repository: &Repository<'_>) -> Vec<Value> {
    repository.json(&["locks", "list"])["holders"].as_array().unwrap().clone()
}

/// Waits until somebody stands first in line for a lock, and returns its pid.
fn first_in_line(repository: &Repository<'_>, key: &str) -> u64 {
    until(&format!("nobody waits for {key}"), || {
        let waiting = holders(repository).into_iter().find(|it| it["key"] == key && it["waiting"] == true);
        waiting.map(|it| it["pid"].as_u64().unwrap())
    })
}

/// A run of a script on models that waits no longer than this for locks.
fn try_run(repository: &Repository<'_>, models: &[&str], script: &str, wait: &str) -> Ran {
    Ran::of(&mut repository.script(models, script, &["--wait", wait]))
}

/// A process in the background. Killed if it is dropped before its end.
struct Started(Option<Child>);

impl Started {
    fn new(mut command: Command) -> Self {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self(Some(command.spawn().unwrap()))
    }

    fn pid(&self) -> u32 {
        self.0.as_ref().unwrap().id()
    }

    fn finish(mut self) -> Ran {
        let output = self.0.take().unwrap().wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ran { code: code(output.status), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            // It may have ended by itself.
            _ = child.kill();
            _ = child.wait();
        }
    }
}

fn send(signal: &str, pid: u32) {
    let sent = Command::new("kill").args([&format!("-{signal}"), &pid.to_string()]).status().unwrap();
    assert!(sent.success());
}

/// The command itself, for scripts that run it again.
const COMMAND: &str = env!("CARGO_BIN_EXE_lockkeeper-under-test");

/// 8 processes that run 25 commands each, in two repositories, on these models; full pulls come in between.
///
/// Each run adds a file of its own and raises its model's counter, and notices if it isn't alone with the model.
fn many_processes(guest: &str, models: usize) {
    const WORKERS: usize = 8;
    const RUNS: usize = 25;
    let world = world!();
    let repositories = [world.repository("a", guest), world.repository("b", guest)];
    let busy = world.path("busy");
    std::fs::create_dir(&busy).unwrap();
    let mut expected: BTreeMap<String, String> = BTreeMap::new();
    let mut counts = vec![0; models];
    for (worker, run) in (0..WORKERS).flat_map(|worker| (0..RUNS).map(move |run| (worker, run))) {
        let model = model_of(worker, run, models);
        counts[model] += 1;
        expected.insert(format!("data/m/{model}/{worker}-{run}"), format!("{worker} {run}\n"));
    }
    for (model, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        expected.insert(format!("data/m/{model}/count"), format!("{count}\n"));
    }

    std::thread::scope(|scope| {
        for worker in 0..WORKERS {
            let (repository, busy) = (&repositories[worker % 2], &busy);
            scope.spawn(move || {
                for run in 0..RUNS {
                    let model = model_of(worker, run, models);
                    let alone = busy.join(model.to_string());
                    let script = format!(
                        "mkdir '{alone}' && mkdir -p data/m/{model} && cd data/m/{model} && \
                         echo '{worker} {run}' > {worker}-{run} && \
                         count=$(cat count 2>/dev/null || echo 0) && echo $((count + 1)) > count && rmdir '{alone}'",
                        alone = alone.display()
                    );
                    let ran = try_run(repository, &[&format!("m/{model}")], &script, LONG);
                    assert_eq!(ran.code, 0, "worker {worker}, run {run}: {}", ran.stderr);
                }
            });
        }
        for repository in &repositories {
            scope.spawn(move || (0..3).for_each(|_| _ = repository.ok(&["--wait", LONG, "pull"])));
        }
    });

    let text = |files: BTreeMap<String, Vec<u8>>| -> BTreeMap<String, String> {
        files.into_iter().map(|(path, bytes)| (path, String::from_utf8(bytes).unwrap())).collect()
    };
    let fresh = world.repository("fresh", guest);
    fresh.ok(&["pull"]);
    assert_eq!(text(fresh.files("data")), expected);
    assert_eq!(text(files(&world.remote(), "data")), expected);
    for repository in &repositories {
        assert_eq!(repository.json(&["status"])["changes"], json!([]));
        assert_eq!(holders(repository), [] as [Value; 0]);
    }
}

/// Each worker goes through all models, each beginning at another one, so that they meet.
fn model_of(worker: usize, run: usize, models: usize) -> usize {
    (worker * 3 + run) % models
}

#[test]
fn no_write_of_8_processes_on_8_models_is_lost_with_scoped_syncs() {
    many_processes("filesystem", 8);
}

#[test]
fn no_write_of_8_processes_on_8_models_is_lost_with_unscoped_syncs() {
    many_processes("shared-index", 8);
}

#[test]
fn runs_of_8_processes_on_one_model_come_strictly_one_after_the_other() {
    many_processes("filesystem", 1);
}

#[test]
fn commands_on_several_models_never_wait_for_each_other_in_a_circle() {
    let world = world!();
    let repository = world.repository("a", "filesystem");
    std::thread::scope(|scope| {
        for models in [["a/x", "a/y", "b/z"], ["b/z", "a/y", "a/x"], ["a/y", "b/z", "a/x"]] {
            let repository = &repository;
            scope.spawn(move || {
                for _ in 0..5 {
                    let ran = try_run(repository, &models, "true", LONG);
                    assert_eq!(ran.code, 0, "{}", ran.stderr);
                }
            });
        }
    });
}

#[test]
fn the_next_run_begins_at_once_after_one_was_killed_and_the_killed_ones_command_is_ended_too() {
    let world = world!();
    let repository = world.repository("a", "filesystem");
    let mut command = repository.script(
        &["a/x"],
        "mkdir -p data/a/x && echo 1 > data/a/x/f && echo holding && read line; echo survived >> data/a/x/f",
        &[],
    );
    let mut run = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    // Kept open, or the command would come to its own end.
    let input = run.stdin.take();
    let mut output = BufReader::new(run.stdout.take().unwrap());
    output.read_line(&mut String::new()).unwrap();
    assert_eq!(try_run(&repository, &["a/x"], "true", "0s").code, 75);
    run.kill().unwrap();
    run.wait().unwrap();
    let ran = try_run(&repository, &["a/x"], "cat data/a/x/f", "0s");
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "1\n"), "{}", ran.stderr);
    assert_eq!(holders(&repository), [] as [Value; 0]);

    if cfg!(target_os = "linux") {
        // Its output ends when the last process that has it is gone.
        let (ended, end) = channel();
        std::thread::spawn(move || {
            _ = output.read_to_end(&mut Vec::new());
            _ = ended.send(());
        });
        end.recv_timeout(PATIENCE).expect("the killed run's command works on without a lock");
        assert_eq!(repository.read("data/a/x/f").unwrap(), b"1\n");
    }
    drop(input);
    let fresh = world.repository("fresh", "filesystem");
    fresh.ok(&["pull"]);
    assert_eq!(fresh.files("data"), repository.files("data"));
}

#[test]
fn one_who_is_killed_while_waiting_holds_nobody_up() {
    let world = world!();
    let repository = world.repository("a", "filesystem");
    let holding = repository.hold(&["a/x"]);
    let waiting = Started::new(repository.script(&["a/x"], "true", &["--wait", LONG]));
    assert_eq!(first_in_line(&repository, "model/a/x"), u64::from(waiting.pid()));
    drop(waiting);
    let next = Started::new(repository.script(&["a/x"], "true", &["--wait", LONG]));
    assert_eq!(first_in_line(&repository, "model/a/x"), u64::from(next.pid()));
    assert_eq!(holding.finish().code, 0);
    assert_eq!(next.finish().code, 0);
}

#[test]
fn a_full_push_waits_for_running_commands_goes_before_newcomers_and_they_resume_after_it() {
    for guest in ["filesystem", "shared-index"] {
        let world = world!();
        let repository = world.repository("a", guest);
        repository.write("data/loose", "1");
        let pushed = world.remote().join("data/loose");
        let [one, two] = ["a/x", "a/y"].map(|model| repository.hold(&[model]));
        let push = Started::new(repository.command(&["--json", "--wait", LONG, "push"]));
        assert_eq!(first_in_line(&repository, "repository"), u64::from(push.pid()), "{guest}");

        // One that comes now doesn't overtake it, though those who hold the lock would let it in.
        let late = try_run(&repository, &["a/z"], "echo ran", SHORT);
        assert_eq!(late.code, 75, "{guest}: {}", late.stderr);
        assert_eq!(late.stdout, "", "{guest}");
        assert!(late.stderr.contains(&format!("next in line: {}", user())), "{guest}: {}", late.stderr);
        let script = format!("test -e '{}'", pushed.display());
        let start = |model: &str| Started::new(repository.script(&[model], &script, &["--wait", LONG]));
        let newcomers = ["b/1", "b/2", "b/3"].map(start);
        assert_eq!(one.finish().code, 0, "{guest}");
        assert_eq!(try_run(&repository, &["a/x"], "true", SHORT).code, 75, "{guest}: one more still runs");
        assert!(!pushed.exists(), "{guest}");
        assert_eq!(two.finish().code, 0, "{guest}");

        let ran = push.finish();
        assert_eq!(ran.code, 0, "{guest}: {}", ran.stderr);
        let report: Value = serde_json::from_str(&ran.stdout).unwrap();
        let locks = report["locks"].as_array().unwrap();
        assert_eq!(locks.len(), 1, "{guest}");
        assert_eq!((&locks[0]["kind"], &locks[0]["mode"]), (&json!("repository"), &json!("exclusive")));
        assert_eq!(report["calls"][0]["scope"], Value::Null);
        for newcomer in newcomers {
            let ran = newcomer.finish();
            assert_eq!(ran.code, 0, "{guest}: it ran before the push: {}", ran.stderr);
        }
    }
}

#[test]
fn commands_on_models_wait_for_a_full_push_that_runs_and_are_told_so() {
    let world = world!();
    let shared = "[locks]\npath = \"../locks\"";
    let endless =
        world.configured("endless", "misbehaving", "", &format!("misbehave = \"never-finishes\"\n{shared}"));
    let repository = world.configured("a", "filesystem", "", shared);
    endless.write("data/a/x/f", "1");
    let push = Started::new(endless.command(&["push"]));
    until("the push doesn't begin", || holders(&repository).pop());
    let ran = try_run(&repository, &["a/y"], "echo ran", SHORT);
    assert_eq!((ran.code, ran.stdout.as_str()), (75, ""));
    assert!(ran.stderr.contains("the shared lock `repository`"), "{}", ran.stderr);
    assert!(ran.stderr.contains(&format!("pid {}", push.pid())), "{}", ran.stderr);
    send("TERM", push.pid());
    assert_eq!(push.finish().code, 128 + 15);
    assert_eq!(try_run(&repository, &["a/y"], "true", "0s").code, 0);
}

#[test]
fn models_exclude_each_other_exactly_if_one_lies_in_the_other() {
    let world = world!();
    let repository = world.repository("a", "filesystem");
    for (held, excluded, free) in [
        ("a/b", &["a/b", "a/b/c", "a/b/c/d"][..], &["a/bc", "a/bc/d", "a/B", "x/b"][..]),
        ("a/b/c", &["a/b", "a/b/c", "a/b/c/d"], &["a/b/d", "a/b/cc", "a/bc/c"]),
    ] {
        let holding = repository.hold(&[held]);
        for model in excluded {
            let ran = try_run(&repository, &[model], "echo ran", SHORT);
            assert_eq!((ran.code, ran.stdout.as_str()), (75, ""), "{model} beside {held}");
            assert!(ran.stderr.contains("lock `model/a/b"), "{}", ran.stderr);
        }
        for model in free {
            let ran = try_run(&repository, &[model], "true", LONG);
            assert_eq!(ran.code, 0, "{model} beside {held}: {}", ran.stderr);
        }
        assert_eq!(holding.finish().code, 0);
    }
}

#[test]
fn a_nested_command_that_wants_what_the_outer_one_holds_fails_at_once_and_says_so() {
    let world = world!();
    let repository = world.repository("a", "filesystem");
    let twin = world.repository("twin", "filesystem");
    let nested = |outer: &str, folder: &Path, inner: &str| {
        let script = format!("'{COMMAND}' --wait 20s --repo '{}' {inner}", folder.display());
        try_run(&repository, &[outer], &script, LONG)
    };
    for (outer, folder, inner, wants) in [
        ("a/b", &repository.folder, "run --model a/b -- echo ran", "model a/b"),
        ("a/b", &repository.folder, "run --model x/y --model a/b -- echo ran", "model a/b"),
        ("a/b", &repository.folder, "run --model a/b/c -- echo ran", "model a/b/c"),
        ("a/b/c", &repository.folder, "run --model a/b -- echo ran", "model a/b"),
        ("a/b", &repository.folder, "pull --model a/b", "model a/b"),
        ("a/b", &repository.folder, "push --model a/b", "model a/b"),
        ("a/b", &repository.folder, "push", "a command on the whole repository"),
        ("a/b", &repository.folder, "pull", "a command on the whole repository"),
        // Another repository with the same remote has the same locks.
        ("a/b", &twin.folder, "run --model a/b -- echo ran", "model a/b"),
    ] {
        let ran = nested(outer, folder, inner);
        assert_eq!((ran.code, ran.stdout.as_str()), (75, ""), "{outer}, {inner}: {}", ran.stderr);
        for said in ["inside of `lockkeeper run`", outer, wants, "never end"] {
            assert!(ran.stderr.contains(said), "{outer}, {inner}: {}", ran.stderr);
        }
    }
    // It looks through all the runs around it.
    let middle = format!("run --model m/m -- '{COMMAND}' --repo '{}'", repository.folder.display());
    let ran = nested("a/b", &repository.folder, &format!("{middle} run --model a/b -- echo ran"));
    assert_eq!((ran.code, ran.stdout.as_str()), (75, ""), "{}", ran.stderr);
    assert!(ran.stderr.contains("model a/b"), "{}", ran.stderr);
}

#[test]
fn a_nested_command_works_if_it_wants_something_else() {
    let world = world!();
    let repository = world.repository("a", "filesystem");
    let elsewhere = world.repository("elsewhere", "filesystem");
    remote(&world, &elsewhere, "another-remote");
    let nested = |folder: &Path, inner: &str| {
        let script = format!("'{COMMAND}' --wait {LONG} --repo '{}' {inner}", folder.display());
        try_run(&repository, &["a/b"], &script, LONG)
    };
    for (folder, inner) in [
        (&repository.folder, "run --model a/bc -- echo ran"),
        (&repository.folder, "run --model x/y -- echo ran"),
        (&elsewhere.folder, "run --model a/b -- echo ran"),
    ] {
        let ran = nested(folder, inner);
        assert_eq!((ran.code, ran.stdout.as_str()), (0, "ran\n"), "{inner}: {}", ran.stderr);
    }
    for (folder, inner) in
        [(&elsewhere.folder, "push"), (&repository.folder, "status"), (&repository.folder, "locks list")]
    {
        let ran = nested(folder, inner);
        assert_eq!(ran.code, 0, "{inner}: {}", ran.stderr);
    }
    let ran = nested(
        &repository.folder,
        "run --model c/d -- sh -c 'mkdir -p data/c/d && echo nested > data/c/d/f' && mkdir -p data/a/b && echo outer > data/a/b/f",
    );
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let fresh = world.repository("fresh", "filesystem");
    fresh.ok(&["pull"]);
    assert_eq!(fresh.files("data").into_keys().collect::<Vec<_>>(), ["data/a/b/f", "data/c/d/f"]);
}

#[test]
fn a_nested_command_does_not_queue_behind_those_who_wait_for_the_outer_one() {
    let world = world!();
    let repository = world.repository("a", "filesystem");
    let inner = format!("'{COMMAND}' --wait {LONG} --repo '{}' run", repository.folder.display());
    for (outer, models, waiting, key) in [
        ("a/b", "--model x/y", &["push"][..], "repository"),
        ("a/b/c", "--model a/b/d", &["pull", "--model", "a/b"], "model/a/b"),
    ] {
        let script = format!("echo holding && read line && {inner} {models} -- true");
        let holding = support::Holding::start(repository.script(&[outer], &script, &[]));
        let waiting = Started::new(repository.command(&[&["--wait", LONG], waiting].concat()));
        assert_eq!(first_in_line(&repository, key), u64::from(waiting.pid()));
        let ran = holding.finish();
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let ran = waiting.finish();
        assert_eq!(ran.code, 0, "{}", ran.stderr);
    }
}

/// Gives a repository another remote folder.
fn remote(world: &World, repository: &Repository<'_>, name: &str) {
    let path = world.path(name);
    if !path.exists() {
        std::fs::create_dir(path).unwrap();
    }
    let file = repository.folder.join("lockkeeper.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("\"../remote\""));
    std::fs::write(file, text.replace("\"../remote\"", &format!("\"../{name}\""))).unwrap();
}

fn user() -> String {
    let said = Command::new("id").arg("-un").output().unwrap().stdout;
    String::from_utf8(said).unwrap().trim().to_owned()
}

#[test]
fn a_wait_that_ends_in_vain_names_the_holder_and_what_to_run() {
    let world = world!();
    let repository = world.repository("a", "filesystem");
    let holding = repository.hold(&["a/x"]);
    for arguments in [
        &["--wait", SHORT, "run", "--model", "a/x", "--", "echo", "ran"][..],
        &["--wait", SHORT, "push", "--model", "a/x"],
        &["--wait", SHORT, "pull", "--model", "a/x"],
        &["--wait", SHORT, "push"],
        &["--wait", SHORT, "pull"],
    ] {
        let ran = repository.run(arguments);
        assert_eq!((ran.code, ran.stdout.as_str()), (75, ""), "{arguments:?}: {}", ran.stderr);
        let pid = format!("pid {}", holding.pid());
        let who = format!("held by {}@", user());
        for said in [&who, &pid, "run --model a/x", "since 20", "lockkeeper locks list", "--wait 10m"] {
            assert!(ran.stderr.contains(said), "{arguments:?}: {}", ran.stderr);
        }
    }
    let ran = repository.run(&["--json", "--wait", SHORT, "push"]);
    assert_eq!(ran.code, 75);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((&report["outcome"], &report["exit_code"]), (&json!("failed"), &json!(75)));
    assert_eq!(holding.finish().code, 0);
}

#[test]
fn the_repository_says_how_long_to_wait_unless_the_command_does() {
    let world = world!();
    let repository = world.configured("a", "filesystem", "", "[locks]\nwait = \"50ms\"");
    let holding = repository.hold(&["a/x"]);
    assert_eq!(repository.run(&["push", "--model", "a/x"]).code, 75);
    let waiting = Started::new(repository.command(&["--wait", LONG, "push", "--model", "a/x"]));
    first_in_line(&repository, "model/a/x");
    assert_eq!(holding.finish().code, 0);
    assert_eq!(waiting.finish().code, 0);
}

#[test]
fn locks_are_listed_with_their_holders_while_they_are_held_and_without_waiting() {
    let world = world!();
    let repository = world.repository("a", "filesystem");
    assert!(repository.ok(&["locks", "list"]).stdout.contains("no lock is held"));
    let holding = repository.hold(&["a/x"]);
    let push = Started::new(repository.command(&["push"]));
    first_in_line(&repository, "repository");

    let listed = holders(&repository);
    let seen: Vec<_> = listed
        .iter()
        .map(|it| {
            (it["key"].as_str().unwrap(), it["mode"].as_str().unwrap(), it["waiting"].as_bool().unwrap())
        })
        .collect();
    let expected = [
        ("model/a/x", "exclusive", false),
        ("repository", "shared", false),
        ("repository", "exclusive", true),
    ];
    assert_eq!(seen, expected);
    let host = String::from_utf8(Command::new("uname").arg("-n").output().unwrap().stdout).unwrap();
    for (holder, pid) in listed.iter().zip([holding.pid(), holding.pid(), push.pid()]) {
        assert_eq!(holder["pid"], pid);
        assert_eq!(holder["user"], user());
        assert_eq!(holder["host"], host.trim());
        let command = holder["command"].as_str().unwrap();
        let expected = if pid == push.pid() { " push" } else { " run --model a/x -- sh -c" };
        assert!(command.starts_with("lockkeeper ") && command.contains(expected), "{command}");
        let since = holder["since"].as_str().unwrap();
        assert!(since.len() == 20 && since.contains('T') && since.ends_with('Z'), "{since}");
        assert!(!holder["id"].as_str().unwrap().is_empty());
    }
    let text = repository.ok(&["locks", "list"]).stdout;
    for said in ["model/a/x", "next: exclusive", &user(), &format!("pid {}", push.pid()), "run --model a/x"] {
        assert!(text.contains(said), "{text}");
    }
    assert_eq!(repository.json(&["status"])["locks"]["holders"], Value::Array(listed));
    assert_eq!(holding.finish().code, 0);
    assert_eq!(push.finish().code, 0);
    assert_eq!(holders(&repository), [] as [Value; 0]);
}

#[test]
fn a_live_processs_lock_is_not_released_and_a_dead_ones_record_is_cleared_away() {
    let world = world!();
    let repository = world.repository("a", "filesystem");
    let holding = repository.hold(&["a/x"]);
    let id = holders(&repository)[0]["id"].as_str().unwrap().to_owned();
    let release = |id: &str| repository.run(&["locks", "release", "model/a/x", "--id", id]);

    let refused = release(&id);
    assert_eq!((refused.code, refused.stdout.as_str()), (75, ""), "{}", refused.stderr);
    assert!(refused.stderr.contains("live process"), "{}", refused.stderr);
    assert!(refused.stderr.contains(&format!("run `kill {}`", holding.pid())), "{}", refused.stderr);
    for unknown in ["000000000000", "nonsense", "../../escape"] {
        let ran = release(unknown);
        assert_eq!((ran.code, ran.stdout.as_str()), (71, ""), "{}", ran.stderr);
        assert!(ran.stderr.contains("`model/a/x` is not held under the id"), "{}", ran.stderr);
        assert!(ran.stderr.contains(unknown), "{}", ran.stderr);
    }
    assert_eq!(try_run(&repository, &["a/x"], "true", SHORT).code, 75, "it is still held");

    holding.kill();
    let cleared = release(&id);
    assert_eq!(cleared.code, 0, "{}", cleared.stderr);
    assert!(cleared.stdout.contains("cleared away"), "{}", cleared.stdout);
    assert_eq!(release(&id).code, 71);
}

#[test]
fn no_lock_outlives_a_failed_call_of_the_extension() {
    let world = world!();
    let shared = "[locks]\npath = \"../locks\"";
    let next = world.configured("next", "filesystem", "", shared);
    let traps = |call: &str| format!("misbehave = \"trap-in-{call}\"");
    let endless = "misbehave = \"endless-loop\"\n[datastore.limits]\ntime = \"200ms\"";
    for (what, guest, end, failed) in [
        ("reports", "filesystem", "unknown = 1", 69),
        ("traps-in-pull", "misbehaving", &traps("pull"), 70),
        ("traps-in-push", "misbehaving", &traps("push"), 70),
        ("runs-out-of-time", "misbehaving", endless, 72),
        ("lies", "misbehaving", "misbehave = \"lying-report\"", 76),
    ] {
        let repository = world.configured(what, guest, "", &format!("{end}\n{shared}"));
        let ran = try_run(&repository, &["a/x"], "mkdir -p data/a/x && echo 1 > data/a/x/f", LONG);
        assert_eq!(ran.code, failed, "{what}: {}", ran.stderr);
        assert_eq!(holders(&next), [] as [Value; 0], "{what}");
        let ran = try_run(&next, &["a/x"], "true", "0s");
        assert_eq!(ran.code, 0, "{what}: {}", ran.stderr);
        assert_eq!(next.run(&["--wait", "0s", "pull"]).code, 0, "{what}");
    }
}

#[test]
fn a_signal_ends_the_run_and_its_command_and_the_next_run_pushes_what_was_written() {
    for (guest, signal, number) in
        [("filesystem", "TERM", 15), ("shared-index", "INT", 2), ("plain", "HUP", 1)]
    {
        // Whether the command just dies of it, or cleans up and says that all is well.
        for handles in [false, true] {
            let world = world!();
            let repository = world.repository("a", guest);
            let report = world.path("report.json");
            let trap = if handles {
                "trap 'echo cleaned > data/a/x/cleaned; kill $!; exit 0' TERM INT HUP;"
            } else {
                ""
            };
            let wait =
                if handles { "sleep 60 & echo holding; wait $!; exit 9" } else { "echo holding; read line" };
            let script = format!("mkdir -p data/a/x && echo 1 > data/a/x/f && {{ {trap} {wait}; }}");
            let holding =
                Holding::start(repository.script(&["a/x"], &script, &["--report", report.to_str().unwrap()]));
            let ran = holding.signal(signal);
            assert_eq!(ran.code, 128 + number, "{guest}: {}", ran.stderr);
            assert!(
                ran.stderr.contains("not pushed") && ran.stderr.contains("nothing is lost"),
                "{}",
                ran.stderr
            );
            let written: Value = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
            assert_eq!(written["outcome"], "failed", "{guest}");
            assert_eq!(written["exit_code"], 128 + number, "{guest}");
            assert_eq!(repository.read("data/a/x/cleaned").is_some(), handles, "{guest}");
            assert_eq!(holders(&repository), [] as [Value; 0], "{guest}");
            assert_eq!(files(&world.remote(), "data").len(), 0, "{guest}");
            let marked = repository.json(&["status"])["changes"].as_array().unwrap().len();
            assert_eq!(marked, if handles { 2 } else { 1 }, "{guest}");

            let ran = try_run(&repository, &["a/x"], "true", "0s");
            assert_eq!(ran.code, 0, "{guest}: {}", ran.stderr);
            let fresh = world.repository("fresh", guest);
            fresh.ok(&["pull"]);
            assert_eq!(fresh.files("data"), repository.files("data"), "{guest}");
        }
    }
}

#[test]
fn a_second_signal_ends_the_run_at_once_even_if_its_command_ignores_both() {
    let world = world!();
    let repository = world.repository("a", "filesystem");
    let mut command = repository.script(&["a/x"], "trap '' TERM; echo holding; read line", &[]);
    let mut run =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(run.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "holding\n");
    send("TERM", run.id());
    let mut said = BufReader::new(run.stderr.take().unwrap()).lines();
    assert!(said.any(|line| line.unwrap().contains("once more")));
    assert_eq!(try_run(&repository, &["a/x"], "true", SHORT).code, 75, "its command still works");
    send("TERM", run.id());
    assert_eq!(code(run.wait().unwrap()), 128 + 15);
    assert_eq!(try_run(&repository, &["a/x"], "true", "0s").code, 0);
}

#[test]
fn a_signal_ends_a_wait_for_a_lock() {
    let world = world!();
    let repository = world.repository("a", "filesystem");
    let holding = repository.hold(&["a/x"]);
    let waiting = Started::new(repository.script(&["a/x"], "echo ran", &["--wait", LONG]));
    first_in_line(&repository, "model/a/x");
    send("TERM", waiting.pid());
    let ran = waiting.finish();
    assert_eq!((ran.code, ran.stdout.as_str()), (128 + 15, ""), "{}", ran.stderr);
    assert!(ran.stderr.contains("waiting for the lock `model/a/x`"), "{}", ran.stderr);
    assert!(holders(&repository).iter().all(|it| it["pid"] == holding.pid()));
    assert_eq!(holding.finish().code, 0);
}

#[test]
fn repositories_share_locks_if_they_share_their_remote_or_their_lock_folder() {
    let world = world!();
    let one = world.repository("one", "filesystem");
    let same = world.repository("same", "filesystem");
    let linked = world.repository("linked", "filesystem");
    std::os::unix::fs::symlink("remote", world.path("link")).unwrap();
    remote(&world, &linked, "link");
    let another = world.repository("another", "filesystem");
    remote(&world, &another, "another-remote");
    let own = world.configured("own", "filesystem", "", "[locks]\npath = \"locks\"");
    let folder = |repository: &Repository<'_>| repository.json(&["locks", "list"])["place"].clone();
    // Named like `one` sees it, from a repository with another remote.
    let path = format!("[locks]\npath = {}", folder(&one));
    let named = world.configured("named", "filesystem", "", &path);
    remote(&world, &named, "third-remote");

    let holding = one.hold(&["a/x"]);
    for (repository, shares) in
        [(&one, true), (&same, true), (&linked, true), (&named, true), (&another, false), (&own, false)]
    {
        let name = repository.folder.display();
        assert_eq!(holders(repository).len(), if shares { 2 } else { 0 }, "{name}");
        assert_eq!(folder(repository) == folder(&one), shares, "{name}");
        let ran = try_run(repository, &["a/x"], "true", if shares { SHORT } else { LONG });
        assert_eq!(ran.code, if shares { 75 } else { 0 }, "{name}: {}", ran.stderr);
    }
    assert!(own.folder.join("locks/model/a/x").is_dir());
    assert_eq!(holding.finish().code, 0);
}
