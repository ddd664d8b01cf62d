//! A guest can make its own call fail and nothing more: the host lives, locks are released, cache and remote stay
//! as they were, and the error says what happened and what to do.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code"
)]

use std::collections::BTreeMap;
use std::net::TcpListener;

use serde_json::{Value, json};
use support::{Ran, Repository, World, fails, files, says, world};

/// A repository whose guest does one thing wrong, or nothing if `told` is empty; `more` are further tables.
///
/// It is told so in a file, so that the configuration, and with it the remote and its locks, is the same for guilty and honest ones.
fn guilty<'a>(world: &'a World, name: &str, told: &str, more: &str) -> Repository<'a> {
    tell(world, "misbehave", told);
    let repository = world.repository(name, "misbehaving");
    let text = format!(
        r#"
        [datastore]
        extension = "@lockkeeper/misbehaving"
        [datastore.config]
        root = "/remote"
        misbehave = "@/control/misbehave"
        path = "@/control/path"
        address = "@/control/address"
        [[datastore.grants.folders]]
        host = "../remote"
        guest = "/remote"
        access = "read-write"
        [[datastore.grants.folders]]
        host = "../control"
        guest = "/control"
        access = "read-only"
        {more}
        "#
    );
    repository.write("lockkeeper.toml", text);
    repository
}

/// Sets one of the guest's values.
fn tell(world: &World, key: &str, value: &str) {
    std::fs::create_dir_all(world.path("control")).unwrap();
    std::fs::write(world.path("control").join(key), value).unwrap();
}

fn honest<'a>(world: &'a World, name: &str) -> Repository<'a> {
    guilty(world, name, "", "")
}

/// What must be the same after a contained failure: the cache, the remote, and what is marked to be pushed.
#[derive(Debug, PartialEq)]
struct Standing {
    cache: BTreeMap<String, Vec<u8>>,
    remote: BTreeMap<String, Vec<u8>>,
    changes: Value,
}

fn standing(world: &World, repository: &Repository) -> Standing {
    Standing {
        cache: repository.files("data"),
        remote: files(&world.remote(), ""),
        changes: repository.json(&["status"])["changes"].clone(),
    }
}

/// Repository `a` with work to push on two models, and work of somebody else to pull for both.
fn at_odds(world: &World) {
    let mine = honest(world, "a");
    for model in ["one", "two"] {
        mine.write(&format!("data/kind/{model}/old.json"), "old");
        mine.write(&format!("data/kind/{model}/gone.json"), "gone");
    }
    mine.ok(&["push"]);
    let theirs = honest(world, "b");
    theirs.ok(&["pull"]);
    for model in ["one", "two"] {
        mine.write(&format!("data/kind/{model}/old.json"), "new");
        mine.write(&format!("data/kind/{model}/more/mine.json"), "mine");
        mine.delete(&format!("data/kind/{model}/gone.json"));
        theirs.write(&format!("data/kind/{model}/theirs.json"), "theirs");
        theirs.write(&format!("data/kind/{model}/theirs-too.json"), "theirs too");
    }
    theirs.ok(&["push"]);
}

/// After a failure, an honest guest gets the locks at once, and nothing was lost on either side.
fn recovers(world: &World) {
    let mine = honest(world, "a");
    assert_eq!(mine.json(&["locks", "list"])["holders"], json!([]));
    mine.ok(&["--wait", "1s", "run", "--model", "kind/one", "--", "true"]);
    mine.ok(&["--wait", "1s", "pull"]);
    mine.ok(&["--wait", "1s", "push"]);
    let fresh = honest(world, "fresh");
    fresh.ok(&["pull"]);
    let names: Vec<String> = ["one", "two"]
        .iter()
        .flat_map(|model| {
            ["more/mine.json", "old.json", "theirs-too.json", "theirs.json"]
                .map(|file| format!("data/kind/{model}/{file}"))
        })
        .collect();
    assert_eq!(fresh.files("data").into_keys().collect::<Vec<_>>(), names);
    assert_eq!(fresh.files("data"), mine.files("data"));
    assert_eq!(fresh.read("data/kind/two/old.json").unwrap(), b"new");
}

/// Lets the guest do wrong in a call for one model, expects the exit code, and checks that it was contained. Returns what was said.
fn contained(call: &str, told: &str, more: &str, code: i32) -> String {
    let world = world!();
    at_odds(&world);
    contained_in(&world, call, told, more, code)
}

fn contained_in(world: &World, call: &str, told: &str, more: &str, code: i32) -> String {
    let repository = guilty(world, "a", told, more);
    let before = standing(world, &repository);
    assert_eq!(before.changes.as_array().unwrap().len(), 6, "{}", before.changes);
    let ran = repository.run(&[call, "--model", "kind/one"]);
    assert_eq!(ran.code, code, "{told} in {call}: {ran:?}");
    assert_eq!(ran.stdout, "", "{told} in {call}");
    assert_eq!(errors(&ran), 1, "{told} in {call}: {}", ran.stderr);
    assert!(ran.stderr.contains("@lockkeeper/misbehaving 0.1.0"), "{}", ran.stderr);
    assert_eq!(standing(world, &repository), before, "{told} in {call}");
    recovers(world);
    ran.stderr
}

fn errors(ran: &Ran) -> usize {
    ran.stderr.lines().filter(|line| line.starts_with("error: ")).count()
}

fn limits(lines: &str) -> String {
    format!("[datastore.limits]\n{lines}\n")
}

#[test]
fn a_guest_sees_no_environment_no_arguments_and_no_input() {
    for call in ["push", "pull"] {
        let said = contained(call, "look-around", "", 69);
        says(&said, &["found 0 variables, 0 arguments, 0 bytes of input"]);
    }
}

#[test]
fn a_trap_in_push_is_named_with_the_extension_and_changes_nothing() {
    let said = contained("push", "trap-in-push", "", 70);
    says(&said, &["@lockkeeper/misbehaving 0.1.0 trapped in `push`", "told to trap in push"]);
}

#[test]
fn a_trap_in_pull_is_named_with_the_extension_and_changes_nothing() {
    let said = contained("pull", "trap-in-pull", "", 70);
    says(&said, &["@lockkeeper/misbehaving 0.1.0 trapped in `pull`"]);
}

#[test]
fn a_trap_shows_digest_last_host_call_and_the_guests_backtrace() {
    let world = world!();
    at_odds(&world);
    for (call, told) in [("push", "trap-in-push"), ("pull", "trap-in-pull")] {
        let repository = guilty(&world, "a", told, "");
        let inspected = repository.json(&["extensions", "inspect", "@lockkeeper/misbehaving"]);
        let digest = inspected["extension"]["digest"].as_str().unwrap();
        let ran = repository.run(&[call, "--model", "kind/one"]);
        assert_eq!(ran.code, 70);
        says(&ran.stderr, &["last host call: ", digest, "wasm backtrace", "misbehaving"]);
    }
}

#[test]
fn an_endless_loop_is_stopped_by_the_time_limit() {
    for call in ["push", "pull"] {
        let said = contained(call, "endless-loop", &limits("time = \"300ms\""), 72);
        says(&said, &["300ms", "`time`", "[datastore.limits]"]);
    }
}

#[test]
fn a_host_call_that_never_finishes_is_stopped_by_the_time_limit() {
    for call in ["push", "pull"] {
        let said = contained(call, "never-finishes", &limits("time = \"300ms\""), 72);
        says(&said, &["300ms", "`time`"]);
    }
}

#[test]
fn a_file_operation_that_hangs_is_stopped_by_the_time_limit_and_frees_its_locks() {
    let world = world!();
    let repository = world.configured("a", "filesystem", "", &limits("time = \"300ms\""));
    repository.write("data/kind/one/file", "content");
    repository.ok(&["push", "--model", "kind/one"]);
    let object = world.remote().join("data/kind/one/file");
    std::fs::remove_file(&object).unwrap();
    // To open a pipe that nobody writes to takes for ever.
    assert!(std::process::Command::new("mkfifo").arg(&object).status().unwrap().success());
    let fresh = world.configured("b", "filesystem", "", &limits("time = \"300ms\""));
    let said = fails(&fresh.run(&["pull", "--model", "kind/one"]), 72);
    says(&said, &["300ms", "`time`"]);
    std::fs::remove_file(&object).unwrap();
    std::fs::write(&object, "content").unwrap();
    fresh.ok(&["pull", "--model", "kind/one"]);
    assert_eq!(fresh.read("data/kind/one/file").as_deref(), Some(&b"content"[..]));
}

#[test]
fn endless_allocation_is_stopped_by_the_memory_limit() {
    for call in ["push", "pull"] {
        let said = contained(call, "endless-allocation", &limits("memory = \"32MiB\""), 72);
        says(&said, &["32 MiB", "`memory`"]);
    }
}

#[test]
fn endless_recursion_is_stopped_by_the_stack_limit() {
    for call in ["push", "pull"] {
        let said = contained(call, "endless-recursion", "", 72);
        says(&said, &["`stack`", "1 MiB"]);
    }
}

#[test]
fn whatever_the_host_keeps_for_a_guest_is_stopped_by_the_limit_of_resources() {
    for call in ["push", "pull"] {
        let said = contained(call, "endless-hashing", &limits("resources = 200"), 72);
        says(&said, &["200", "`resources`"]);
    }
}

#[test]
fn a_flooded_log_is_stopped_by_the_log_limit() {
    for call in ["push", "pull"] {
        let said = contained(call, "flood-log", &limits("log = \"64KiB\""), 72);
        says(&said, &["64 KiB", "`log`"]);
        assert!(said.len() < 3 * 64 * 1024, "{} bytes", said.len());
    }
}

#[test]
fn flooded_output_is_stopped_by_the_output_limit() {
    for call in ["push", "pull"] {
        let said = contained(call, "flood-stdout", &limits("output = \"64KiB\""), 72);
        says(&said, &["64 KiB", "`output`"]);
        assert!(said.len() < 3 * 64 * 1024, "{} bytes", said.len());
    }
}

#[test]
fn an_enormous_error_text_is_stopped_by_the_output_limit() {
    for call in ["push", "pull"] {
        let said = contained(call, "enormous-error", &limits("output = \"64KiB\""), 72);
        says(&said, &["64 KiB", "`output`"]);
        assert!(said.len() < 4096, "{} bytes", said.len());
    }
}

#[test]
fn reading_outside_of_the_granted_folders_is_denied() {
    for call in ["push", "pull"] {
        let said = contained(call, "read-outside", "", 77);
        says(&said, &["was denied", "open-at", "../etc/passwd"]);
        assert!(!said.contains("root:x:"), "{said}");
    }
}

#[test]
fn a_symlink_in_the_cache_does_not_lead_out_of_it() {
    let world = world!();
    at_odds(&world);
    std::fs::write(world.path("secret"), "secret").unwrap();
    let link = world.path("a/data/kind/one/link.json");
    std::os::unix::fs::symlink(world.path("secret"), &link).unwrap();
    tell(&world, "path", "data/kind/one/link.json");
    let said = contained_in(&world, "push", "follow-symlink", "", 77);
    says(&said, &["was denied", "open-at", "link.json"]);
}

#[test]
fn the_cache_cannot_be_written_during_a_push() {
    let said = contained("push", "write-cache", "", 77);
    says(&said, &["was denied", "open-at", "could not write the cache"]);
}

#[test]
fn a_push_that_does_not_account_for_its_changes_counts_as_failed() {
    let said = contained("push", "lying-report", "", 76);
    says(&said, &["claims that `push` succeeded", "0 of 2 written", "0 of 1 deleted"]);
}

#[test]
fn a_pull_that_dies_half_way_leaves_nothing_half_applied() {
    let said = contained("pull", "half-pull", "", 70);
    says(&said, &["trapped in `pull`"]);
}

#[test]
fn a_half_pull_of_everything_is_not_half_applied_either() {
    let world = world!();
    at_odds(&world);
    let repository = guilty(&world, "a", "half-pull", "");
    let before = standing(&world, &repository);
    let ran = repository.run(&["pull"]);
    assert_eq!(ran.code, 70, "{}", ran.stderr);
    assert_eq!(standing(&world, &repository), before);
    recovers(&world);
}

#[test]
fn a_trap_in_pull_keeps_the_command_from_running_and_one_in_push_keeps_its_work_marked() {
    let world = world!();
    at_odds(&world);
    let repository = guilty(&world, "a", "trap-in-pull", "");
    let before = standing(&world, &repository);
    let (ran, report) = repository.run_script(&["kind/one"], "echo ran > data/kind/one/ran.json");
    assert_eq!((ran.code, &report["exit_code"], &report["outcome"]), (70, &json!(70), &json!("failed")));
    assert_eq!(standing(&world, &repository), before);

    let repository = guilty(&world, "a", "trap-in-push", "");
    let (ran, report) = repository.run_script(
        &["kind/one"],
        "printf newer > data/kind/one/old.json && printf new > data/kind/one/old.json",
    );
    assert_eq!((ran.code, &report["exit_code"], &report["outcome"]), (70, &json!(70), &json!("failed")));
    assert!(report["error"]["message"].as_str().unwrap().contains("trapped in `push`"), "{report}");
    let calls: Vec<_> =
        report["calls"].as_array().unwrap().iter().map(|call| call["error"].is_null()).collect();
    assert_eq!(calls, [true, false], "{report}");
    assert_eq!(files(&world.remote(), ""), before.remote);
    assert_eq!(repository.json(&["status"])["changes"], before.changes);
    recovers(&world);
}

#[test]
fn a_trap_in_capabilities_is_a_warning_and_means_the_exclusive_policy() {
    let world = world!();
    // With no folder in `capabilities`, it has to be told in the configuration.
    let repository = world.configured("a", "misbehaving", "", "misbehave = \"trap-in-capabilities\"");
    let (ran, report) =
        repository.run_script(&["kind/one"], "mkdir -p data/kind/one && echo 1 > data/kind/one/x");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    says(&ran.stderr, &["warning: ", "@lockkeeper/misbehaving 0.1.0 trapped in `capabilities`", "exclusive"]);
    assert_eq!(report["extension"]["scoped_sync"], false);
    let scopes: Vec<_> = report["calls"].as_array().unwrap().iter().map(|call| &call["scope"]).collect();
    assert_eq!(scopes, [&Value::Null, &Value::Null]);
    let locks: Vec<_> = report["locks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|lock| (lock["kind"].as_str().unwrap(), lock["mode"].as_str().unwrap()))
        .collect();
    assert_eq!(
        locks,
        [("repository", "shared"), ("model", "exclusive"), ("sync", "exclusive"), ("sync", "exclusive")]
    );
    let fresh = world.repository("fresh", "misbehaving");
    fresh.ok(&["pull"]);
    assert_eq!(fresh.read("data/kind/one/x").unwrap(), b"1\n");
}

#[test]
fn a_pull_that_writes_outside_of_its_scope_touches_no_other_model() {
    let world = world!();
    at_odds(&world);
    let repository = guilty(&world, "a", "write-outside-scope", "");
    let before = repository.files("");
    repository.ok(&["pull", "--model", "kind/one"]);
    let mut after = repository.files("");
    for path in ["data/kind/one/theirs.json", "data/kind/one/theirs-too.json"] {
        assert!(after.remove(path).is_some(), "{path}");
    }
    let mine = |files: &BTreeMap<String, Vec<u8>>| -> BTreeMap<String, Vec<u8>> {
        files
            .iter()
            .filter(|(path, _)| !path.starts_with(".lockkeeper/"))
            .map(|(path, bytes)| (path.clone(), bytes.clone()))
            .collect()
    };
    assert_eq!(mine(&after), mine(&before));
    recovers(&world);
}

#[test]
fn an_unscoped_pull_writes_nothing_outside_of_the_roots_nor_over_unpushed_work() {
    let world = world!();
    at_odds(&world);
    let repository = guilty(&world, "a", "write-outside-scope", "");
    std::fs::write(repository.folder.join("stray.json"), "not a guest's").unwrap();
    repository.write("secrets/key", "secret");
    repository.write("data/stray/other/state.json", "unpushed");
    let ran = repository.run(&["pull"]);
    assert_ne!(ran.code, 0, "a stray file stands where unpushed work is");
    assert_eq!(repository.read("stray.json").unwrap(), b"not a guest's");
    assert_eq!(repository.read("secrets/key").unwrap(), b"secret");
    assert_eq!(repository.read("data/stray/other/state.json").unwrap(), b"unpushed");
    assert!(repository.read("data/stray.json").is_none(), "nothing of a refused pull is applied");
}

#[test]
fn a_pull_cannot_delete_files_of_another_model() {
    let world = world!();
    at_odds(&world);
    for path in [
        "data/kind/two/theirs.json",
        "data/kind/two/old.json",
        "data/kind/one-2/x",
        "../b/data/kind/one/old.json",
        "lockkeeper.toml",
    ] {
        tell(&world, "path", path);
        let repository = guilty(&world, "a", "delete-everything", "");
        repository.write("data/kind/one-2/x", "sibling");
        repository.ok(&["pull", "--model", "kind/one"]);
        assert_eq!(repository.read("data/kind/two/old.json").unwrap(), b"new");
        assert_eq!(repository.read("data/kind/one-2/x").unwrap(), b"sibling");
        assert!(
            world.path("b/data/kind/one/old.json").exists()
                && repository.folder.join("lockkeeper.toml").exists()
        );
        repository.delete("data/kind/one-2/x");
    }
    recovers(&world);
}

#[test]
fn a_pull_cannot_delete_work_that_was_not_pushed() {
    let world = world!();
    at_odds(&world);
    for path in ["data/kind/one/more/mine.json", "data/kind/one/old.json"] {
        tell(&world, "path", path);
        let repository = guilty(&world, "a", "delete-everything", "");
        let changes = standing(&world, &repository).changes;
        for scope in [&["pull", "--model", "kind/one"][..], &["pull"][..]] {
            repository.ok(scope);
            assert_eq!(repository.read("data/kind/one/more/mine.json").unwrap(), b"mine");
            assert_eq!(repository.read("data/kind/one/old.json").unwrap(), b"new");
            assert_eq!(standing(&world, &repository).changes, changes);
        }
    }
    recovers(&world);
}

/// A listener, and its address as a grant names it.
fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

fn tcp(target: &str) -> String {
    format!("[datastore.grants]\ntcp = [\"{target}\"]")
}

#[test]
fn an_address_without_a_grant_is_never_dialled() {
    let (listener, address) = listener();
    for (call, grants) in [
        ("push", String::new()),
        ("pull", String::new()),
        ("push", tcp("127.0.0.1:9")),
        ("pull", tcp("localhost:9")),
    ] {
        let world = world!();
        at_odds(&world);
        tell(&world, "address", &address);
        let said = contained_in(&world, call, "dial", &grants, 77);
        says(&said, &["was denied", &address, &format!("tcp = [\"{address}\"]")]);
    }
    assert!(listener.accept().is_err(), "a connection arrived");
}

#[test]
fn a_name_without_a_grant_is_not_looked_up() {
    let world = world!();
    at_odds(&world);
    tell(&world, "address", "localhost:9");
    let said = contained_in(&world, "push", "dial", "", 77);
    says(&said, &["was denied", "localhost", "tcp = ["]);
}

#[test]
fn a_granted_address_or_name_is_dialled() {
    let (listener, address) = listener();
    let port = address.rsplit_once(':').unwrap().1.to_owned();
    let name = format!("localhost:{port}");
    for (grant, dialled) in [(&address, &address), (&name, &name), (&name, &address)] {
        let world = world!();
        at_odds(&world);
        tell(&world, "address", dialled);
        let repository = guilty(&world, "a", "dial", &tcp(grant));
        repository.ok(&["push", "--model", "kind/one"]);
        assert!(listener.accept().is_ok(), "no connection to {dialled} with a grant for {grant}");
    }
}

#[test]
fn a_folder_that_is_granted_read_only_cannot_be_written() {
    let world = world!();
    let writer = world.repository("a", "filesystem");
    writer.write("data/kind/one/x", "1");
    writer.ok(&["push"]);
    let before = files(&world.remote(), "");

    let reader = world.repository("b", "filesystem");
    let config = String::from_utf8(reader.read("lockkeeper.toml").unwrap()).unwrap();
    reader.write("lockkeeper.toml", config.replace("read-write", "read-only"));
    reader.write("data/kind/one/mine", "mine");
    let ran = reader.run(&["push"]);
    assert_eq!(ran.code, 77, "{ran:?}");
    says(&ran.stderr, &["@lockkeeper/filesystem 0.1.0 was denied in `push`", "[datastore.grants] folders"]);
    assert_eq!(files(&world.remote(), ""), before);
    reader.ok(&["pull"]);
    assert_eq!(reader.read("data/kind/one/x").unwrap(), b"1");
}

#[test]
fn a_granted_folder_that_is_missing_is_named() {
    let world = world!();
    let repository = world.repository("a", "filesystem");
    repository.write("data/kind/one/x", "1");
    std::fs::remove_dir(world.remote()).unwrap();
    for call in ["push", "pull"] {
        let ran = repository.run(&[call]);
        assert_eq!((ran.code, errors(&ran)), (78, 1), "{ran:?}");
        says(&ran.stderr, &["/remote", "No such file or directory"]);
    }
    assert!(!world.remote().exists());
}

#[test]
fn a_limit_that_is_too_small_to_start_is_named() {
    let world = world!();
    for (limit, option) in [
        ("memory = \"64KiB\"", "`memory`"),
        ("instances = 1", "`instances`"),
        ("table-elements = 1", "`table-elements`"),
        ("resources = 1", "`resources`"),
        ("stack = \"1KiB\"", "`stack`"),
    ] {
        let repository = guilty(&world, "a", "", &limits(limit));
        repository.write("data/kind/one/x", "1");
        let ran = repository.run(&["push"]);
        assert_eq!((ran.code, errors(&ran)), (72, 1), "{limit}: {ran:?}");
        says(&ran.stderr, &[option]);
        assert!(files(&world.remote(), "").is_empty());
    }
    honest(&world, "a").ok(&["push"]);
}

#[test]
fn a_limit_that_is_no_limit_is_refused_with_its_line() {
    let world = world!();
    for limit in [
        "memory = \"lots\"",
        "memory = 5",
        "time = \"12\"",
        "time = 12",
        "log = \"-1KiB\"",
        "output = \"1KB\"",
        "stack = \"99999999999GiB\"",
        "fuel = 1",
        "instances = -1",
    ] {
        let repository = guilty(&world, "a", "", &limits(limit));
        let ran = repository.run(&["status"]);
        assert_eq!((ran.code, errors(&ran)), (78, 1), "{limit}: {ran:?}");
        let key = limit.split(' ').next().unwrap();
        says(&ran.stderr, &["lockkeeper.toml", "line ", key]);
    }
}

#[test]
fn what_a_guest_says_reaches_no_terminal_raw() {
    let world = world!();
    at_odds(&world);
    tell(&world, "address", "\u{1b}[2J\u{7}evil\u{9b}31m:1");
    for verbose in [&[][..], &["--verbose"][..], &["--json"][..]] {
        let repository = guilty(&world, "a", "dial", "");
        let ran = repository.run(&[verbose, &["push", "--model", "kind/one"]].concat());
        assert_ne!(ran.code, 0);
        says(&ran.stderr, &["evil"]);
        for text in [&ran.stderr, &ran.stdout] {
            assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
        }
    }
}

#[test]
fn a_second_signal_ends_a_guest_that_does_not_listen_and_frees_its_locks() {
    let world = world!();
    at_odds(&world);
    let repository = guilty(&world, "a", "endless-loop", "");
    let before = standing(&world, &repository);
    let mut child = repository
        .command(&["push", "--model", "kind/one"])
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let held = || repository.json(&["locks", "list"])["holders"].as_array().unwrap().len();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while held() < 2 {
        assert!(std::time::Instant::now() < deadline, "the push never took its locks");
    }
    let pid = child.id().to_string();
    let signal = || {
        std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap();
    };
    signal();
    let status = loop {
        // Signals that arrive together are one to the kernel, so once more until it is heard.
        signal();
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        assert!(std::time::Instant::now() < deadline, "the push did not end");
    };
    assert_eq!(support::code(status), 130);
    assert_eq!(standing(&world, &repository), before);
    recovers(&world);
}
