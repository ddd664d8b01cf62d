//! A lock that is lost while a command runs: nothing is pushed, nothing is lost, and the next one proceeds.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use lockkeeper_test_servers::shared_etcd;
use serde_json::Value;
use support::datastores::{Kind, Store};
use support::{Ran, Repository, World, code, fails, says, world, world_with_credentials};

use crate::in_etcd;

const PATIENCE: Duration = Duration::from_secs(60);

fn until(what: &str, mut look: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !look() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn signal(signal: &str, pid: u32) {
    assert!(Command::new("kill").args(["-s", signal, &pid.to_string()]).status().unwrap().success());
}

fn holder(repository: &Repository<'_>, key: &str) -> Option<Value> {
    let listed = repository.json(&["locks", "list"]);
    listed["holders"]
        .as_array()
        .unwrap()
        .iter()
        .find(|it| it["key"] == key && it["waiting"] == false)
        .cloned()
}

/// Starts a run whose command writes a file and then waits, and comes back when it does.
fn started(world: &World, repository: &Repository<'_>, script: &str) -> std::process::Child {
    let marker = world.path("started");
    let script =
        format!("mkdir -p data/a/x && echo mine > data/a/x/f && touch '{}' && {script}", marker.display());
    let mut command = repository.script(&["a/x"], &script, &[]);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("the command doesn't run", || marker.exists());
    child
}

fn finish(child: std::process::Child) -> Ran {
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: code(output.status), stdout: text(output.stdout), stderr: text(output.stderr) }
}

#[test]
fn a_run_whose_lock_is_released_stops_its_command_pushes_nothing_and_ends_with_73() {
    let Some(server) = shared_etcd() else { return };
    let world = world!();
    let locks = in_etcd(server, "released", "");
    let [one, other] = ["one", "other"].map(|it| world.configured(it, "filesystem", "", &locks));
    let run = started(&world, &one, "exec sleep 600");
    let id = holder(&other, "model/a/x").unwrap()["id"].as_str().unwrap().to_owned();
    let released = other.json(&["locks", "release", "model/a/x", "--id", &id]);
    assert_eq!(released["released"], "ending");
    let ran = finish(run);
    assert_eq!(ran.code, 73, "{}", ran.stderr);
    says(&ran.stderr, &["the lock `model/a/x` was lost", "somebody released it", "the command is stopped"]);
    assert_eq!(one.unpushed(), ["data/a/x/f"]);
    assert!(!world.remote().join("data/a/x/f").exists());
    // The next one proceeds, and so does this one in the end.
    assert_eq!(other.run_script(&["a/x"], "true").0.code, 0);
    one.ok(&["push"]);
    assert_eq!(world.fresh("filesystem")["data/a/x/f"], b"mine\n");
}

#[test]
fn a_command_may_finish_without_its_lock_and_nothing_of_it_is_pushed() {
    let Some(server) = shared_etcd() else { return };
    let world = world!();
    let locks = in_etcd(server, "finishes", "on-lost = \"let-it-finish\"\n");
    let one = world.configured("one", "filesystem", "", &locks);
    let run = started(&world, &one, "while [ ! -e go ]; do sleep 0.1; done; echo more > data/a/x/g");
    let id = holder(&one, "model/a/x").unwrap()["id"].as_str().unwrap().to_owned();
    one.ok(&["locks", "release", "model/a/x", "--id", &id]);
    until("the lock is still held", || holder(&one, "model/a/x").is_none());
    one.write("go", "");
    let ran = finish(run);
    assert_eq!(ran.code, 73, "{}", ran.stderr);
    says(&ran.stderr, &["goes on without it"]);
    assert_eq!(one.unpushed(), ["data/a/x/f", "data/a/x/g"]);
    assert!(!world.remote().join("data/a/x/f").exists());
}

#[test]
fn a_run_that_stood_still_past_its_lease_pushes_nothing_and_its_successor_keeps_the_lock() {
    let Some(server) = shared_etcd() else { return };
    let world = world!();
    let locks = in_etcd(server, "stopped", "");
    let [one, other] = ["one", "other"].map(|it| world.configured(it, "filesystem", "", &locks));
    let run = started(&world, &one, "exec sleep 600");
    signal("STOP", run.id());
    let holding = other.hold(&["a/x"]);
    signal("CONT", run.id());
    let ran = finish(run);
    assert_eq!(ran.code, 73, "{}", ran.stderr);
    assert_eq!(holder(&other, "model/a/x").unwrap()["pid"], holding.pid());
    assert!(!world.remote().join("data/a/x/f").exists());
    assert_eq!(holding.finish().code, 0);
    assert_eq!(one.unpushed(), ["data/a/x/f"]);
}

#[test]
fn a_guest_that_stood_still_past_its_lease_sends_no_further_request() {
    let (Some(server), Some(store)) = (shared_etcd(), Store::new(Kind::S3)) else { return };
    let world = world_with_credentials!();
    let proxy = store.proxy();
    let locks = in_etcd(server, "mid-push", "");
    let one = store.repository_at(&world, "one", proxy.address(), &locks);
    let other = store.repository_at(&world, "other", store.address(), &locks);
    one.write("data/a/x/f", "mine");
    one.ok(&["push"]);
    proxy.clear();

    // With its first write on the wire, it stands still until somebody else has had the lock and written.
    let pid = Arc::new(AtomicU32::new(0));
    let stopped = pid.clone();
    let theirs = other.script(&["a/x"], "echo theirs > data/a/x/f", &[]);
    let theirs = std::sync::Mutex::new(theirs);
    proxy.before(move |request| {
        if !request.starts_with("PUT") {
            return;
        }
        until("it has not been started", || stopped.load(Ordering::SeqCst) != 0);
        let pid = stopped.load(Ordering::SeqCst);
        signal("STOP", pid);
        let ran = Ran::of(&mut theirs.lock().unwrap());
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        signal("CONT", pid);
    });
    one.write("data/a/x/f", "mine again");
    let mut push = one.command(&["push", "--model", "a/x"]);
    let push = push.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    pid.store(push.id(), Ordering::SeqCst);
    let ran = finish(push);
    assert_eq!(ran.code, 73, "{}", ran.stderr);
    says(&ran.stderr, &["was lost: it could not be renewed in time"]);
    let requests = proxy.requests();
    assert!(requests.last().unwrap().starts_with("PUT"), "{requests:?}");
    assert_eq!(requests.iter().filter(|request| request.starts_with("PUT")).count(), 1, "{requests:?}");
    assert_eq!(one.unpushed(), ["data/a/x/f"]);
    let fresh = store.repository_at(&world, "fresh", store.address(), &locks);
    fresh.ok(&["pull"]);
    assert_eq!(fresh.read("data/a/x/f").unwrap(), b"theirs\n");
}

#[test]
fn a_push_under_an_earlier_lock_than_the_remote_has_seen_is_refused_and_stays_marked() {
    let Some(server) = shared_etcd() else { return };
    let world = world!();
    // As many locks later, or in another etcd.
    let later = in_etcd(server, "fenced", "fence-from = 1000000\n");
    let one = world.configured("one", "filesystem", "", &in_etcd(server, "fenced", ""));
    let other = world.configured("other", "filesystem", "", &later);
    let write = |text: &str| format!("mkdir -p data/a/x && echo {text} > data/a/x/{text}");
    assert_eq!(other.run_script(&["a/x"], &write("theirs")).0.code, 0);
    let (ran, _) = one.run_script(&["a/x"], &write("mine"));
    says(&fails(&ran, 73), &["later lock number 10", "fence-from = 10"]);
    assert_eq!(one.unpushed(), ["data/a/x/mine"]);
    says(&fails(&one.run(&["push"]), 73), &["later lock number"]);
    let remote = world.fresh("filesystem");
    assert!(!remote.contains_key("data/a/x/mine"));
    // Another model has another history, and later numbers are taken again.
    assert_eq!(one.run_script(&["a/y"], "mkdir -p data/a/y && echo 1 > data/a/y/f").0.code, 0);
    let one = world.configured("one", "filesystem", "", &later);
    one.ok(&["push"]);
    assert_eq!(world.fresh("filesystem")["data/a/x/mine"], b"mine\n");
}
