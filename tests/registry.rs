//! The registry folder: whose bytes are run, who accepted them, and what is no extension at all.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code"
)]

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use support::{Ran, Repository, World, fails, guest, says, world};

const PLAIN: &str = "@lockkeeper/plain";

/// A repository without a pin, whose guest lies in the folder; and what it holds to push.
fn repository(world: &World) -> Repository<'_> {
    let repository = world.repository("a", "plain");
    repository.write("data/kind/one/x", "1");
    repository
}

/// The guest's bytes with a note attached: the same extension in another file.
fn changed(guest_name: &str) -> Vec<u8> {
    let mut bytes = std::fs::read(guest(guest_name)).unwrap();
    bytes.extend(b"\x00\x05\x04note");
    bytes
}

/// The guest's bytes with another version of the same length.
fn version(guest_name: &str, version: &str) -> Vec<u8> {
    let mut bytes = std::fs::read(guest(guest_name)).unwrap();
    let section = b"\x07version0.1.0";
    let at = bytes.windows(section.len()).position(|window| window == section).unwrap();
    bytes[at + 8..at + 13].copy_from_slice(version.as_bytes());
    bytes
}

fn everything(repository: &Repository) -> BTreeMap<String, Vec<u8>> {
    repository.files("")
}

fn state(repository: &Repository, file: &str) -> String {
    let listed = repository.json(&["extensions", "list"]);
    let extensions = listed["extensions"].as_array().unwrap();
    let found = extensions.iter().find(|it| it["file"].as_str().unwrap().ends_with(file));
    found.unwrap_or_else(|| panic!("{listed}"))["state"].as_str().unwrap().to_owned()
}

#[test]
fn a_file_that_is_dropped_in_is_pinned_on_first_use_and_not_before() {
    let world = world!();
    let repository = repository(&world);
    repository.ok(&["status"]);
    assert_eq!(state(&repository, "plain.wasm"), "new");
    assert!(repository.read("lockkeeper.lock").is_none(), "looking pins nothing");
    let ran = repository.ok(&["push"]);
    let digest = repository.json(&["extensions", "inspect", PLAIN])["extension"]["digest"].clone();
    let lock = String::from_utf8(repository.read("lockkeeper.lock").unwrap()).unwrap();
    says(&lock, &[PLAIN, "plain.wasm", "0.1.0", digest.as_str().unwrap()]);
    says(&ran.stderr, &["accepted @lockkeeper/plain 0.1.0"]);
    assert_eq!(state(&repository, "plain.wasm"), "accepted");
    let again = repository.ok(&["push"]);
    assert!(!again.stderr.contains("accepted"), "{}", again.stderr);
}

#[test]
fn a_changed_file_is_refused_until_it_is_accepted() {
    let world = world!();
    let repository = repository(&world);
    repository.ok(&["pull"]);
    let pinned = repository.json(&["extensions", "list"])["extensions"][0]["extension"]["digest"].clone();
    repository.write("extensions/plain.wasm", changed("plain"));
    let file = repository.folder.join("extensions/plain.wasm");
    let found = repository.json(&["extensions", "list"])["extensions"][0]["extension"]["digest"].clone();
    let short = |digest: &Value| digest.as_str().unwrap()[..19].to_owned();
    assert_ne!(short(&pinned), short(&found));

    let before = everything(&repository);
    for command in
        [&["push"][..], &["pull"], &["run", "--model", "kind/one", "--", "touch", "data/kind/one/ran"]]
    {
        let said = fails(&repository.run(command), 79);
        let path = file.to_str().unwrap();
        let next = format!("lockkeeper extensions add {path}");
        says(&said, &[path, PLAIN, &short(&pinned), &short(&found), &next]);
    }
    assert_eq!(everything(&repository), before);
    assert!(support::files(&world.remote(), "").is_empty());
    assert_eq!(state(&repository, "plain.wasm"), "changed");
    let status = repository.json(&["status"]);
    says(status["extension_problem"].as_str().unwrap(), &["is not the file that was accepted"]);

    let added = repository.json(&["extensions", "add", file.to_str().unwrap()]);
    assert_eq!((&added["replaced"]["digest"], &added["extension"]["digest"]), (&pinned, &found));
    assert_eq!(state(&repository, "plain.wasm"), "accepted");
    repository.ok(&["push"]);
}

#[test]
fn a_new_version_is_used_when_it_is_accepted_and_not_before() {
    let world = world!();
    let repository = repository(&world);
    repository.ok(&["pull"]);
    repository.write("extensions/plain-2.wasm", version("plain", "0.2.0"));
    assert_eq!(state(&repository, "plain-2.wasm"), "other version");
    let used = |report: Value| report["extension"]["version"].as_str().unwrap().to_owned();
    assert_eq!(used(repository.json(&["pull"])), "0.1.0");
    repository.ok(&[
        "extensions",
        "add",
        repository.folder.join("extensions/plain-2.wasm").to_str().unwrap(),
    ]);
    assert_eq!(used(repository.json(&["pull"])), "0.2.0");

    let fresh = world.repository("b", "plain");
    fresh.write("extensions/plain-2.wasm", version("plain", "0.2.0"));
    fresh.write("extensions/plain-1.wasm", version("plain", "0.1.9"));
    assert_eq!(used(fresh.json(&["pull"])), "0.2.0", "without a pin, the newest");
}

#[test]
fn two_files_that_claim_one_name_and_version_are_an_error_that_names_both() {
    let world = world!();
    let repository = repository(&world);
    let other = world.path("other.wasm");
    std::fs::write(&other, changed("plain")).unwrap();
    let said = fails(&repository.run(&["extensions", "add", other.to_str().unwrap()]), 78);
    says(&said, &["extensions/plain.wasm", "other.wasm", "both claim", "@lockkeeper/plain 0.1.0"]);
    assert!(!repository.folder.join("extensions/other.wasm").exists());

    repository.write("extensions/other.wasm", changed("plain"));
    let before = everything(&repository);
    for command in [&["extensions", "list"][..], &["pull"], &["push"], &["extensions", "inspect", PLAIN]] {
        let said = fails(&repository.run(command), 78);
        says(&said, &["extensions/plain.wasm", "extensions/other.wasm", "both claim"]);
    }
    assert_eq!(everything(&repository), before);
    std::fs::remove_file(repository.folder.join("extensions/other.wasm")).unwrap();
    repository.ok(&["push"]);
}

#[test]
fn extensions_are_listed_inspected_added_and_removed() {
    let world = world!();
    let repository = repository(&world);
    let source = guest("filesystem");
    let text = repository.ok(&["extensions", "add", source.to_str().unwrap()]).stdout;
    says(&text, &["accepted @lockkeeper/filesystem 0.1.0 (sha256:"]);
    let installed = repository.folder.join("extensions/filesystem.wasm");
    assert_eq!(std::fs::read(&installed).unwrap(), std::fs::read(&source).unwrap());

    let text = repository.ok(&["extensions", "list"]).stdout;
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().take(4).collect()).collect();
    assert_eq!(lines[0], ["NAME", "VERSION", "STATE", "FILE"]);
    assert_eq!(lines[1], ["@lockkeeper/filesystem", "0.1.0", "accepted", "filesystem.wasm"]);
    assert_eq!(lines[2], ["@lockkeeper/plain", "0.1.0", "new", "plain.wasm"]);

    let by_name = repository.json(&["extensions", "inspect", "@lockkeeper/filesystem"]);
    let by_file = repository.json(&["extensions", "inspect", source.to_str().unwrap()]);
    assert_eq!(by_name["extension"], by_file["extension"]);
    assert_eq!(by_name["capabilities"], json!({ "scoped-sync": true, "problem": null }));
    for field in ["name", "version", "description", "licence", "homepage", "contract", "digest"] {
        assert!(by_name["extension"][field].is_string(), "{field}: {by_name}");
    }
    let text = repository.ok(&["extensions", "inspect", "@lockkeeper/filesystem"]).stdout;
    says(
        &text,
        &["scoped-sync", "lockkeeper:datastore@0.1.0", by_name["extension"]["digest"].as_str().unwrap()],
    );
    let plain = repository.json(&["extensions", "inspect", PLAIN]);
    assert_eq!(plain["capabilities"], json!({ "scoped-sync": null, "problem": null }));

    let removed = repository.json(&["extensions", "remove", "@lockkeeper/filesystem"]);
    assert_eq!(removed["removed"], "@lockkeeper/filesystem");
    assert!(!installed.exists());
    let lock = String::from_utf8(repository.read("lockkeeper.lock").unwrap()).unwrap();
    assert!(!lock.contains("filesystem"), "{lock}");
    repository.ok(&["extensions", "remove", PLAIN]);
    says(&repository.ok(&["extensions", "list"]).stdout, &["no extension in "]);
    let said = fails(&repository.run(&["extensions", "remove", PLAIN]), 78);
    says(&said, &["there is no extension @lockkeeper/plain", "lockkeeper extensions add FILE"]);
    let said = fails(&repository.run(&["pull"]), 78);
    says(&said, &["there is no extension @lockkeeper/plain", "lockkeeper extensions add FILE"]);
}

#[test]
fn installing_runs_nothing_and_needs_no_extension_to_be_there() {
    let world = world!();
    let repository = world.configured("a", "misbehaving", "", "misbehave = \"trap-in-capabilities\"");
    std::fs::remove_dir_all(repository.folder.join("extensions")).unwrap();
    fails(&repository.run(&["pull"]), 78);
    let cache = world.path("nothing-compiled");
    for name in ["misbehaving", "plain"] {
        let mut add = repository.command(&["extensions", "add", guest(name).to_str().unwrap()]);
        let ran = Ran::of(add.env("LOCKKEEPER_CACHE_DIR", &cache));
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    }
    let mut list = repository.command(&["extensions", "list"]);
    assert_eq!(Ran::of(list.env("LOCKKEEPER_CACHE_DIR", &cache)).code, 0);
    assert!(!cache.exists(), "something was compiled");
    repository.ok(&["pull"]);
}

fn component(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

/// Files that are no extension: their name, what is said of them, and how to make them.
fn rubbish(folder: &Path) -> Vec<(PathBuf, &'static str)> {
    std::fs::create_dir_all(folder).unwrap();
    let whole = std::fs::read(guest("plain")).unwrap();
    let exporting =
        |name: &str| component(&format!("(component (instance $i) (export \"{name}\" (instance $i)))"));
    let mut files = vec![
        ("module", component("(module)"), "it is a core module, not a component"),
        ("nothing", component("(component)"), "it exports nothing"),
        ("other-world", exporting("wasi:cli/run@0.2.0"), "it exports wasi:cli/run@0.2.0"),
        (
            "future",
            exporting("lockkeeper:datastore/sync@7.0.0"),
            "built for lockkeeper:datastore 7.0.0, this host speaks 0.1.0",
        ),
        ("unnamed", exporting("lockkeeper:datastore/sync@0.1.0"), "it has no name in its metadata"),
        ("empty", Vec::new(), "it is not a WebAssembly component, or damaged"),
        ("text", b"#!/bin/sh\necho hello\n".to_vec(), "it is not a WebAssembly component, or damaged"),
        ("magic", b"\0asm".to_vec(), "it is not a WebAssembly component, or damaged"),
    ];
    for (name, length) in
        [("cut-1", 20), ("cut-2", whole.len() / 4), ("cut-3", whole.len() / 2), ("cut-4", whole.len() - 1)]
    {
        files.push((name, whole[..length].to_vec(), "damaged"));
    }
    let mut made: Vec<(PathBuf, &'static str)> = files
        .into_iter()
        .map(|(name, bytes, said)| {
            let path = folder.join(format!("{name}.wasm"));
            std::fs::write(&path, bytes).unwrap();
            (path, said)
        })
        .collect();
    let huge = folder.join("huge.wasm");
    std::fs::File::create(&huge).unwrap().set_len(2 << 30).unwrap();
    made.push((huge, "2147483648 bytes; a component may have 268435456 at most"));
    made
}

#[test]
fn what_is_no_extension_is_neither_installed_nor_inspected() {
    let world = world!();
    let repository = repository(&world);
    let before = everything(&repository);
    for (path, problem) in rubbish(&world.path("rubbish")) {
        for command in ["add", "inspect"] {
            let path = path.to_str().unwrap();
            let said = fails(&repository.run(&["extensions", command, path]), 76);
            says(&said, &[path, problem]);
            assert!(said.len() < 1000, "{said}");
        }
    }
    assert_eq!(everything(&repository), before);
}

#[test]
fn a_file_that_cannot_be_read_is_the_systems_error() {
    let world = world!();
    let repository = repository(&world);
    let before = everything(&repository);
    std::fs::create_dir(world.path("folder.wasm")).unwrap();
    for name in ["missing.wasm", "folder.wasm"] {
        for command in ["add", "inspect"] {
            let path = world.path(name);
            let said = fails(&repository.run(&["extensions", command, path.to_str().unwrap()]), 71);
            says(&said, &[path.to_str().unwrap()]);
        }
    }
    assert_eq!(everything(&repository), before);
}

#[test]
fn what_is_no_extension_in_the_folder_is_listed_and_never_used() {
    let world = world!();
    let repository = repository(&world);
    let rubbish = rubbish(&repository.folder.join("extensions"));
    std::fs::create_dir(repository.folder.join("extensions/folder.wasm")).unwrap();
    std::os::unix::fs::symlink("nowhere", repository.folder.join("extensions/dangling.wasm")).unwrap();
    std::fs::write(repository.folder.join("extensions/README.md"), "no component").unwrap();
    let listed = repository.json(&["extensions", "list"]);
    let listed = listed["extensions"].as_array().unwrap();
    assert_eq!(listed.len(), rubbish.len() + 3);
    for (path, problem) in &rubbish {
        let found = listed.iter().find(|it| it["file"] == path.to_str().unwrap()).unwrap();
        assert_eq!(found["state"], "invalid");
        says(found["problem"].as_str().unwrap(), &[problem]);
    }
    let text = repository.ok(&["extensions", "list"]).stdout;
    assert_eq!(text.lines().count(), listed.len() + 1, "{text}");
    // An honest neighbour is used all the same, and rubbish in its place is refused for what it is.
    repository.ok(&["push"]);
    let standing = || (repository.files("data"), repository.read("lockkeeper.lock"));
    let before = standing();
    for (path, problem) in &rubbish {
        std::fs::rename(path, repository.folder.join("extensions/plain.wasm")).unwrap();
        let code = if problem.contains("at most") { 76 } else { 79 };
        fails(&repository.run(&["pull"]), code);
    }
    assert_eq!(standing(), before);
}

/// The compiled code in a cache folder.
fn compiled(cache: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(cache.join("compiled")).into_iter().flatten();
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn damaged_compiled_code_is_compiled_again() {
    let world = world!();
    let repository = repository(&world);
    let cache = world.path("cache");
    let push = |content: &str| {
        repository.write("data/kind/one/x", content);
        let ran = Ran::of(repository.command(&["push"]).env("LOCKKEEPER_CACHE_DIR", &cache));
        assert_eq!(ran.code, 0, "{ran:?}");
        assert_eq!(std::fs::read_to_string(world.remote().join("data/kind/one/x")).unwrap(), content);
        ran.stderr
    };
    push("first");
    let files = compiled(&cache);
    assert_eq!(files.len(), 1, "{files:?}");
    let good = std::fs::read(&files[0]).unwrap();
    push("second");
    assert_eq!(std::fs::read(&files[0]).unwrap(), good);
    for (index, bad) in [b"garbage".to_vec(), Vec::new(), good[..good.len() / 2].to_vec()].iter().enumerate()
    {
        std::fs::write(&files[0], bad).unwrap();
        let said = push(&format!("damaged {index}"));
        says(&said, &["compiled code is unusable"]);
        assert_eq!(compiled(&cache), files);
        assert_ne!(&std::fs::read(&files[0]).unwrap(), bad);
    }
}

#[test]
fn compiled_code_of_one_component_is_never_used_for_another() {
    let world = world!();
    let repository = repository(&world);
    let cache = world.path("cache");
    let pull = || Ran::of(repository.command(&["pull"]).env("LOCKKEEPER_CACHE_DIR", &cache));
    assert_eq!(pull().code, 0);
    repository.write("extensions/plain.wasm", changed("plain"));
    repository.ok(&["extensions", "add", repository.folder.join("extensions/plain.wasm").to_str().unwrap()]);
    assert_eq!(pull().code, 0);
    assert_eq!(compiled(&cache).len(), 2);
}

#[test]
fn a_cache_folder_that_others_can_write_to_is_not_used() {
    let world = world!();
    let repository = repository(&world);
    let cache = world.path("cache");
    std::fs::create_dir_all(cache.join("compiled")).unwrap();
    let run = || {
        let ran = Ran::of(repository.command(&["push"]).env("LOCKKEEPER_CACHE_DIR", &cache));
        assert_eq!(ran.code, 0, "{ran:?}");
        ran.stderr
    };
    for mode in [0o777, 0o770, 0o702] {
        std::fs::set_permissions(cache.join("compiled"), std::fs::Permissions::from_mode(mode)).unwrap();
        says(&run(), &["not used for compiled code", cache.join("compiled").to_str().unwrap()]);
        assert!(compiled(&cache).is_empty());
    }
    std::fs::set_permissions(cache.join("compiled"), std::fs::Permissions::from_mode(0o755)).unwrap();
    // Only root can give a folder away.
    if std::os::unix::fs::chown(cache.join("compiled"), Some(65_534), None).is_ok() {
        says(&run(), &["not used for compiled code"]);
        assert!(compiled(&cache).is_empty());
        std::os::unix::fs::chown(cache.join("compiled"), Some(0), None).unwrap();
    }
    assert!(!run().contains("not used"));
    assert_eq!(compiled(&cache).len(), 1);
}
