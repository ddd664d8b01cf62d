//! The index for people: shown, checked, made anew and divided through the real command.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code"
)]

use std::path::PathBuf;

use lockkeeper_command::exit;
use serde_json::Value;
use support::{Ran, Repository, World, says, world};

const SHARD: &str = ".lockkeeper/index/data/kind/one/.shard";

/// A repository whose files are in the remote.
fn pushed<'a>(world: &'a World, guest: &str) -> Repository<'a> {
    let repository = world.repository("a", guest);
    for (path, content) in [
        ("data/kind/one/kept", "kept"),
        ("data/kind/one/old", "old"),
        ("data/kind/two/x", "two"),
        ("data/@org/kind/three/deep/y", "three"),
    ] {
        repository.write(path, content);
    }
    repository.ok(&["push"]);
    repository.delete("data/kind/one/old");
    repository.ok(&["push"]);
    repository
}

/// Kinds and paths of the findings in a document.
fn findings(document: &Value) -> Vec<(String, String)> {
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap().to_owned();
    let findings = document["findings"].as_array().unwrap();
    findings.iter().map(|finding| (text(finding, "kind"), text(finding, "path"))).collect()
}

fn found(kind: &str, paths: &[&str]) -> Vec<(String, String)> {
    paths.iter().map(|path| (kind.to_owned(), (*path).to_owned())).collect()
}

fn document(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
}

/// The newest version of a document of the index.
fn newest(world: &World, shard: &str) -> PathBuf {
    let versions = std::fs::read_dir(world.remote().join(shard)).unwrap();
    versions.map(|version| version.unwrap().path()).max().unwrap()
}

fn damage(world: &World, shard: &str) {
    let file = newest(world, shard);
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(file, &text[..text.len() - 1]).unwrap();
}

fn locks(document: &Value) -> Vec<String> {
    let locks = document["locks"].as_array().unwrap();
    let text = |lock: &Value, key: &str| lock[key].as_str().unwrap().to_owned();
    locks.iter().map(|lock| format!("{} {}", text(lock, "mode"), text(lock, "key"))).collect()
}

#[test]
fn what_the_remote_has_is_listed_without_a_lock() {
    for guest in ["filesystem", "shared-index"] {
        let world = world!();
        let repository = pushed(&world, guest);
        let holding = repository.hold(&["kind/one"]);
        let shown = repository.json(&["index", "show", "--model", "kind/one"]);
        let expected =
            [found("listed", &["data/kind/one/kept"]), found("deleted", &["data/kind/one/old"])].concat();
        assert_eq!(findings(&shown), expected, "{guest}");
        assert_eq!(locks(&shown), [""; 0]);
        let ran = repository.ok(&["index", "show"]);
        assert_eq!(ran.stdout.lines().count(), 4);
        says(&ran.stdout, &["data/kind/two/x", "data/@org/kind/three/deep/y"]);
        says(&ran.stderr, &["3 listed, 1 deleted"]);
        drop(holding);
    }
}

#[test]
fn what_does_not_match_is_found_and_has_an_exit_code_of_its_own() {
    for guest in ["filesystem", "shared-index"] {
        let world = world!();
        let repository = pushed(&world, guest);
        says(&repository.ok(&["index", "verify"]).stderr, &["holds what the index lists"]);
        std::fs::remove_file(world.remote().join("data/kind/one/kept")).unwrap();
        std::fs::write(world.remote().join("data/kind/two/x"), "TWO").unwrap();
        let ran = repository.run(&["--json", "index", "verify"]);
        assert_eq!(ran.code, i32::from(exit::DAMAGED));
        let expected =
            [found("missing", &["data/kind/one/kept"]), found("different", &["data/kind/two/x"])].concat();
        assert_eq!(findings(&document(&ran)), expected, "{guest}");
        let ran = repository.run(&["--json", "index", "verify", "--model", "kind/two"]);
        assert_eq!(findings(&document(&ran)), found("different", &["data/kind/two/x"]));
        says(&ran.stderr, &["restore that content"]);
    }
}

#[test]
fn lost_and_damaged_shards_are_made_anew_under_the_locks_of_a_push() {
    let world = world!();
    let repository = pushed(&world, "filesystem");
    let all = world.fresh("filesystem");
    damage(&world, SHARD);
    std::fs::remove_dir_all(world.remote().join(".lockkeeper/index/data/kind/two")).unwrap();
    let ran = repository.run(&["index", "verify"]);
    assert_eq!(ran.code, i32::from(exit::DAMAGED));
    says(&ran.stdout, &[SHARD, "unlisted"]);
    says(&ran.stderr, &["lockkeeper index rebuild"]);
    assert_ne!(repository.run(&["pull"]).code, 0);

    // Another model is none of its business.
    let holding = repository.hold(&["kind/two"]);
    let rebuilt = repository.json(&["index", "rebuild", "--model", "kind/one"]);
    assert_eq!(findings(&rebuilt), found("recovered", &["data/kind/one/kept"]));
    assert_eq!(locks(&rebuilt), ["shared repository", "exclusive model/kind/one"]);
    let ran = repository.run(&["--wait", "0s", "index", "rebuild"]);
    assert_eq!(ran.code, i32::from(exit::LOCK_TIMEOUT));
    drop(holding);

    let rebuilt = repository.json(&["index", "rebuild"]);
    assert_eq!(findings(&rebuilt), found("recovered", &["data/kind/two/x"]));
    assert_eq!(locks(&rebuilt), ["exclusive repository"]);
    repository.ok(&["index", "verify"]);
    assert_eq!(world.fresh("filesystem"), all);
    // That a file was deleted is known still.
    let shown = repository.json(&["index", "show", "--model", "kind/one"]);
    assert!(findings(&shown).contains(&("deleted".to_owned(), "data/kind/one/old".to_owned())));
    repository.write("data/kind/two/x", "edited");
    repository.ok(&["push"]);
    assert_eq!(world.fresh("filesystem"), repository.files("data"));
}

#[test]
fn one_index_for_everything_is_made_anew_as_well() {
    let world = world!();
    let repository = pushed(&world, "shared-index");
    let all = world.fresh("shared-index");
    damage(&world, ".lockkeeper/index/.shard");
    assert_eq!(findings(&repository.json(&["index", "rebuild"])).len(), 3);
    repository.ok(&["index", "verify"]);
    assert_eq!(world.fresh("shared-index"), all);
}

#[test]
fn an_old_index_is_divided_and_its_clients_are_refused() {
    let world = world!();
    let old = pushed(&world, "shared-index");
    let all = world.fresh("shared-index");
    // It remembers the index as it was.
    let idle = world.repository("idle", "shared-index");
    idle.ok(&["pull"]);
    let ran = old.run(&["index", "convert"]);
    assert_eq!(ran.code, i32::from(exit::REPORTED));
    says(&ran.stderr, &["`scoped-sync`"]);

    let new = world.repository("new", "filesystem");
    says(&new.run(&["pull"]).stderr, &["lockkeeper index convert"]);
    let converted = new.json(&["index", "convert"]);
    assert_eq!(findings(&converted).len(), 3);
    assert_eq!(locks(&converted), ["exclusive repository"]);
    new.ok(&["index", "verify"]);
    assert_eq!(world.fresh("filesystem"), all);
    new.ok(&["pull"]);
    new.write("data/kind/one/kept", "edited");
    new.ok(&["run", "--model", "kind/one", "--", "true"]);

    old.write("data/kind/one/kept", "by the old one");
    for client in [&old, &idle, &world.repository("later", "shared-index")] {
        for command in [&["pull"][..], &["push"], &["run", "--model", "kind/one", "--", "true"]] {
            let ran = client.run(command);
            if ran.code != 0 || client.folder == old.folder {
                assert_eq!(ran.code, i32::from(exit::REPORTED), "{ran:?}");
                says(&ran.stderr, &["one for each scope"]);
            } else {
                // It has nothing to push.
                assert_eq!(command, ["push"]);
            }
        }
    }
    assert_eq!(world.fresh("filesystem")["data/kind/one/kept"], b"edited");
    says(&new.ok(&["index", "convert"]).stderr, &["nothing was left to convert"]);
}

#[test]
fn a_conversion_that_is_killed_is_repeated() {
    let world = world!();
    let old = world.repository("a", "shared-index");
    (0..200).for_each(|i| old.write(&format!("data/kind/model-{i}/x"), i.to_string()));
    old.ok(&["push"]);
    let all = world.fresh("shared-index");
    let new = world.repository("new", "filesystem");
    let shards = || {
        let index = walkdir::WalkDir::new(world.remote().join(".lockkeeper/index"));
        index.into_iter().filter_map(Result::ok).filter(|entry| entry.file_name() == ".shard").count()
    };
    for wanted in [2, 50, 150] {
        let mut child = new.command(&["index", "convert"]).spawn().unwrap();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while shards() < wanted && child.try_wait().unwrap().is_none() {
            assert!(std::time::Instant::now() < deadline, "it stands still");
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    new.ok(&["index", "convert"]);
    new.ok(&["index", "verify"]);
    assert_eq!(world.fresh("filesystem"), all);
    assert_eq!(shards(), 201);
}

#[test]
fn an_extension_without_an_index_is_named() {
    let world = world!();
    let repository = world.repository("a", "plain");
    for command in ["show", "verify", "rebuild", "convert"] {
        let ran = repository.run(&["index", command]);
        assert_eq!(ran.code, i32::from(exit::CONFIG));
        says(&ran.stderr, &["@lockkeeper/plain", "lockkeeper:datastore/index"]);
    }
}
