//! The command as people and scripts meet it: its errors, its exit codes, its help, its JSON, and what goes where.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code"
)]

use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use lockkeeper_command::exit;
use serde_json::{Value, json};
use support::{Ran, Repository, World, code, fails, guest, says, world};

/// Every command that takes `--help`.
const COMMANDS: [&[&str]; 20] = [
    &[],
    &["init"],
    &["extensions"],
    &["extensions", "list"],
    &["extensions", "inspect"],
    &["extensions", "add"],
    &["extensions", "remove"],
    &["pull"],
    &["push"],
    &["run"],
    &["status"],
    &["locks"],
    &["locks", "list"],
    &["index"],
    &["index", "show"],
    &["index", "verify"],
    &["index", "rebuild"],
    &["index", "convert"],
    &["check"],
    &["new"],
];

fn repository(world: &World) -> Repository<'_> {
    let repository = world.repository("a", "filesystem");
    repository.write("data/kind/one/x", "1");
    repository
}

fn run(world: &World, arguments: &[&str]) -> Ran {
    Ran::of(world.command().args(arguments))
}

fn everything(world: &World) -> BTreeMap<String, Vec<u8>> {
    support::files(&world.path(""), "")
}

#[test]
fn a_wrong_configuration_is_named_with_its_line_and_key() {
    let world = world!();
    let repository = repository(&world);
    let good = String::from_utf8(repository.read("lockkeeper.toml").unwrap()).unwrap();
    let line = |text: &str| format!("line {}", good.lines().position(|it| it.starts_with(text)).unwrap() + 1);
    for (from, to, at, key) in [
        ("[datastore]", "[datastore", line("[datastore]"), "]"),
        ("extension = ", "extention = ", line("extension"), "extention"),
        ("\"@lockkeeper/filesystem\"", "\"filesystem\"", line("extension"), "@collective/name"),
        ("\"@lockkeeper/filesystem\"", "5", line("extension"), "extension"),
        ("read-write", "write-only", line("folders"), "write-only"),
        ("root = \"/remote\"", "root = { a = 1 }", line("root"), "root"),
        ("root = \"/remote\"", "root = \"/remote\"\n[locks]\nstore = \"paper\"", String::new(), "paper"),
        ("root = \"/remote\"", "root = \"/remote\"\n[surprise]", String::new(), "surprise"),
        ("root = \"/remote\"", "root = \"/remote\"\nroot = \"/other\"", String::new(), "root"),
        ("folders = ", "http = [\"example.org\"]\nfolders = ", line("folders"), "example.org"),
        ("folders = ", "tcp = [\"host\"]\nfolders = ", line("folders"), "host:port"),
    ] {
        assert!(good.contains(from));
        repository.write("lockkeeper.toml", good.replacen(from, to, 1));
        let before = everything(&world);
        for command in [&["status"][..], &["pull"], &["run", "--model", "a/b", "--", "true"]] {
            let said = fails(&repository.run(command), exit::CONFIG);
            says(&said, &["lockkeeper.toml", &at, "line ", key]);
        }
        assert_eq!(everything(&world), before);
    }
    repository.write("lockkeeper.toml", [0xff, 0xfe]);
    says(&fails(&repository.run(&["status"]), exit::CONFIG), &["lockkeeper.toml", "UTF-8"]);
    repository.write("lockkeeper.toml", good);
    repository.ok(&["status"]);
}

#[test]
fn grants_and_roots_that_would_reach_too_far_are_refused() {
    let world = world!();
    let repository = repository(&world);
    let good = String::from_utf8(repository.read("lockkeeper.toml").unwrap()).unwrap();
    for (from, to, said) in [
        ("\n[datastore]", "roots = [\"../elsewhere\"]\n[datastore]", "../elsewhere"),
        ("\n[datastore]", "roots = [\"/etc\"]\n[datastore]", "/etc"),
        ("\n[datastore]", "roots = [\".lockkeeper\"]\n[datastore]", ".lockkeeper"),
        ("\n[datastore]", "roots = []\n[datastore]", "roots"),
        ("guest = \"/remote\"", "guest = \"/cache\"", "/cache"),
        ("guest = \"/remote\"", "guest = \"/a/../b\"", "/a/../b"),
    ] {
        assert!(good.contains(from));
        repository.write("lockkeeper.toml", good.replacen(from, to, 1));
        let before = everything(&world);
        says(&fails(&repository.run(&["push"]), exit::CONFIG), &["lockkeeper.toml", said]);
        assert_eq!(everything(&world), before);
    }
}

#[test]
fn a_folder_that_is_no_repository_is_told_how_to_become_one() {
    let world = world!();
    for command in [
        &["status"][..],
        &["pull"],
        &["push"],
        &["run", "--model", "a/b", "--", "true"],
        &["extensions", "list"],
        &["locks", "list"],
    ] {
        let said = fails(&run(&world, command), exit::CONFIG);
        says(&said, &["lockkeeper.toml", "lockkeeper init"]);
    }
    assert!(everything(&world).is_empty());
}

#[test]
fn a_damaged_lock_file_is_named_and_left_alone() {
    let world = world!();
    let repository = repository(&world);
    repository.ok(&["pull"]);
    let good = String::from_utf8(repository.read("lockkeeper.lock").unwrap()).unwrap();
    for bad in [
        good.replacen("digest", "digset", 1),
        good.replacen("[extension", "[extension[", 1),
        good.replacen("version = ", "version 7 ", 1),
        "\u{0}\u{0}\u{0}\u{0}".to_owned(),
    ] {
        repository.write("lockkeeper.lock", &bad);
        let before = everything(&world);
        for command in [&["push"][..], &["pull"], &["extensions", "list"], &["status"]] {
            says(&fails(&repository.run(command), exit::CONFIG), &["lockkeeper.lock"]);
        }
        assert_eq!(everything(&world), before);
    }
}

#[test]
fn a_name_that_is_no_model_is_refused_with_a_reason_and_changes_nothing() {
    let world = world!();
    let repository = repository(&world);
    let before = everything(&world);
    let long = format!("kind/{}", "x".repeat(295));
    for (name, reason) in [
        ("kind/../../etc", "begins with `.`"),
        ("../kind/one", "begins with `.`"),
        ("kind/..", "begins with `.`"),
        ("/etc/passwd", "is an absolute path"),
        ("kind//one", "empty segment"),
        ("kind/one/", "empty segment"),
        ("", "empty segment"),
        ("one", "has no id"),
        (&long, "longer than 200 bytes"),
        ("kind\\one", "'\\\\'"),
        ("kind/o\\ne", "'\\\\'"),
        ("kind/a\nb", "'\\n'"),
        ("kind/\u{1b}[31m", "'\\u{1b}'"),
        ("kind/*", "'*'"),
        ("kind/ ", "space"),
    ] {
        for command in [
            &["pull", "--model", name][..],
            &["push", "--model", name],
            &["run", "--model", "kind/one", "--model", name, "--", "touch", "ran"],
        ] {
            let said = fails(&repository.run(command), exit::USAGE);
            says(&said, &[reason, "--model"]);
            assert!(said.len() < 600 && !said.contains('\u{1b}'), "{said:?}");
        }
    }
    assert_eq!(everything(&world), before);
}

#[test]
fn a_wrong_command_line_is_exit_code_64_and_changes_nothing() {
    let world = world!();
    let repository = repository(&world);
    let before = everything(&world);
    for command in [
        &[][..],
        &["frobnicate"],
        &["pull", "--frobnicate"],
        &["run", "--model", "a/b"],
        &["run", "--", "true"],
        &["pull", "--on-conflict", "guess"],
        &["extensions", "remove", "plain"],
        &["extensions"],
        &["locks", "release", "model/a/b"],
        &["locks", "release", "../escape", "--id", "1"],
        &["--wait", "soon", "pull"],
        &["init", "--extension", "plain"],
    ] {
        let ran = repository.run(command);
        assert_eq!((ran.code, ran.stdout.as_str()), (i32::from(exit::USAGE), ""), "{command:?}: {ran:?}");
        assert!(!ran.stderr.is_empty());
    }
    assert_eq!(everything(&world), before);
}

/// Help texts as they are without a terminal.
fn help(world: &World, command: &[&str]) -> String {
    let ran = Ran::of(world.command().args(command).arg("--help").env_remove("COLUMNS"));
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{command:?}");
    let lines: Vec<&str> = ran.stdout.lines().map(str::trim_end).collect();
    lines.join("\n").replace("lockkeeper-under-test", "lockkeeper")
}

#[test]
fn help_shows_examples_and_exits_with_success() {
    let world = world!();
    for command in COMMANDS {
        let text = help(&world, command);
        assert!(text.contains("Usage: "), "{text}");
        let leaf = !matches!(command, ["extensions"] | ["locks"] | ["index"] | [_, "list"] | [_, "remove"]);
        assert!(!leaf || text.contains("Example"), "no example in the help of {command:?}:\n{text}");
    }
    assert!(everything(&world).is_empty());
}

#[test]
fn the_command_reference_shows_every_help_text() {
    let world = world!();
    let mut reference = "# Command reference\n".to_owned();
    let release: &[&str] = &["locks", "release"];
    for command in COMMANDS.into_iter().chain([release]) {
        let name = [&["lockkeeper"], command].concat().join(" ");
        reference.push_str(&format!("\n## `{name}`\n\n```text\n{}\n```\n", help(&world, command).trim_end()));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("command_reference.md");
    if std::env::var_os("LOCKKEEPER_UPDATE").is_some() {
        std::fs::write(&path, &reference).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = written.lines().zip(reference.lines()).find(|(written, now)| written != now);
    assert!(
        written == reference,
        "tests/command_reference.md is not what the help texts say now, first at {differs:?}; \
         if they are meant, run: LOCKKEEPER_UPDATE=1 cargo test -p lockkeeper-tests --test command_line"
    );
}

#[test]
fn every_subcommand_is_in_the_reference() {
    let world = world!();
    for (group, names) in [(&[][..], 10), (&["extensions"], 4), (&["locks"], 2), (&["index"], 4)] {
        let text = help(&world, group);
        let listed = text.lines().skip_while(|line| *line != "Commands:").skip(1);
        let listed: Vec<&str> = listed
            .take_while(|line| !line.is_empty())
            .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
            .filter_map(|line| line.split_whitespace().next())
            .filter(|name| *name != "help")
            .collect();
        assert_eq!(listed.len(), names, "add the new command to COMMANDS: {listed:?}");
    }
}

#[test]
fn the_documented_exit_codes_are_those_of_the_command() {
    let documented: Vec<u8> = help(&world!(), &["run"])
        .lines()
        .skip_while(|line| *line != "Exit codes:")
        .flat_map(|line| line.split_whitespace().filter_map(|word| word.parse().ok()).collect::<Vec<u8>>())
        .collect();
    let known = [
        exit::OK,
        exit::USAGE,
        exit::CONFLICT,
        exit::REPORTED,
        exit::TRAPPED,
        exit::SYSTEM,
        exit::LIMIT,
        exit::LOCK_LOST,
        exit::DAMAGED,
        exit::LOCK_TIMEOUT,
        exit::NOT_CONFORMANT,
        exit::DENIED,
        exit::CONFIG,
        exit::DIGEST_CHANGED,
        exit::NOT_EXECUTABLE,
        exit::NOT_FOUND,
        exit::SIGNAL,
    ];
    for code in known {
        assert!(documented.contains(&code), "{code} is not in --help");
    }
    for code in documented {
        assert!(known.contains(&code), "{code} is in --help only");
    }
}

/// Runs a command with `--json` and expects exactly one document, and nothing that isn't one.
fn document(world: &World, folder: &Path, command: &[&str], code: u8) -> Value {
    let ran = Ran::of(world.command().arg("--json").arg("--repo").arg(folder).args(command));
    assert_eq!(ran.code, i32::from(code), "{command:?}: {ran:?}");
    assert!(!ran.stdout.contains('\u{1b}') && !ran.stderr.contains('\u{1b}'), "{ran:?}");
    let mut documents = serde_json::Deserializer::from_str(&ran.stdout).into_iter::<Value>();
    let document =
        documents.next().unwrap_or_else(|| panic!("{command:?} printed nothing: {ran:?}")).unwrap();
    assert!(documents.next().is_none(), "{command:?}: {ran:?}");
    document
}

#[test]
fn json_is_one_document_for_every_command() {
    let world = world!();
    let repository = repository(&world);
    let model = ["--model", "kind/one"];
    let filesystem = "@lockkeeper/filesystem";
    let plain = guest("plain");
    for (command, field) in [
        (&["status"][..], "changes"),
        (&["push"], "calls"),
        (&["push"], "calls"),
        (&["pull"], "calls"),
        (&[&["push"][..], &model].concat(), "locks"),
        (&[&["pull"][..], &model].concat(), "locks"),
        (&[&["run"][..], &model, &["--", "echo", "not json"]].concat(), "outcome"),
        (&["locks", "list"], "holders"),
        (&["extensions", "list"], "extensions"),
        (&["extensions", "inspect", filesystem], "capabilities"),
        (&["extensions", "add", plain.to_str().unwrap()], "extension"),
        (&["extensions", "remove", "@lockkeeper/plain"], "removed"),
        (&["--verbose", "pull"], "calls"),
    ] {
        let document = document(&world, &repository.folder, command, 0);
        assert!(!document[field].is_null(), "{command:?}: {document}");
    }
    assert!(document(&world, &world.path("new"), &["init"], 0)["config"].is_string());
}

#[test]
fn json_errors_are_one_document_too() {
    let world = world!();
    let repository = repository(&world);
    let rubbish = world.path("rubbish.wasm");
    std::fs::write(&rubbish, "rubbish").unwrap();
    for (command, code) in [
        (&["init"][..], exit::USAGE),
        (&["extensions", "inspect", rubbish.to_str().unwrap()], exit::NOT_CONFORMANT),
        (&["extensions", "add", rubbish.to_str().unwrap()], exit::NOT_CONFORMANT),
        (&["extensions", "remove", "@nobody/nothing"], exit::CONFIG),
        (&["locks", "release", "model/kind/one", "--id", "none"], exit::SYSTEM),
        (&["pull", "--model", "no-model"], exit::USAGE),
        (&["frobnicate"], exit::USAGE),
    ] {
        let document = document(&world, &repository.folder, command, code);
        assert_eq!(document["error"]["exit_code"], code, "{command:?}: {document}");
        assert!(!document["error"]["message"].as_str().unwrap().is_empty());
        assert_eq!(document.as_object().unwrap().len(), 1);
    }
    for command in [&["status"][..], &["pull"], &["push"], &["extensions", "list"], &["locks", "list"]] {
        let document = document(&world, Path::new("/nonexistent"), command, exit::CONFIG);
        says(document["error"]["message"].as_str().unwrap(), &["/nonexistent/lockkeeper.toml"]);
    }
    // A pull, push or run that got as far as its locks says in its report what went wrong.
    std::fs::remove_dir_all(world.remote()).unwrap();
    for command in [&["pull"][..], &["push"], &["run", "--model", "kind/one", "--", "true"]] {
        let document = document(&world, &repository.folder, command, exit::CONFIG);
        assert_eq!((&document["outcome"], &document["exit_code"]), (&json!("failed"), &json!(exit::CONFIG)));
        says(document["error"]["message"].as_str().unwrap(), &["/remote"]);
    }
}

#[test]
fn data_goes_to_standard_output_and_the_rest_to_standard_error() {
    let world = world!();
    let repository = repository(&world);
    let ran = repository.ok(&["--verbose", "push"]);
    assert_eq!(ran.stdout, "pushed 1 file (1 B), deleted 0\n");
    says(&ran.stderr, &["note: accepted @lockkeeper/filesystem"]);
    let ran = repository.ok(&["run", "--model", "kind/one", "--", "echo", "the command's own"]);
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("the command's own\n", ""));
}

#[test]
fn there_are_no_colours_without_a_terminal() {
    let world = world!();
    let repository = repository(&world);
    let run = |command: &[&str], colour: Option<(&str, &str)>| {
        let mut command = repository.command(command);
        command.envs(colour).env("TERM", "xterm-256color").env_remove("NO_COLOR");
        Ran::of(&mut command)
    };
    for colour in [None, Some(("NO_COLOR", "1"))] {
        for command in
            [&["--verbose", "pull"][..], &["status"], &["frobnicate"], &["--help"], &["pull", "--model", "x"]]
        {
            let ran = run(command, colour);
            assert!(!ran.stdout.contains('\u{1b}') && !ran.stderr.contains('\u{1b}'), "{command:?}: {ran:?}");
        }
    }
}

#[test]
fn init_makes_a_repository_that_works_and_never_overwrites_one() {
    let world = world!();
    let folder = world.path("new");
    let here = folder.to_str().unwrap();
    let ran = run(&world, &["--repo", here, "init", "--extension", "@lockkeeper/plain"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    says(&ran.stdout, &["lockkeeper.toml", "extensions add"]);
    assert!(folder.join("extensions").is_dir());
    let config = std::fs::read_to_string(folder.join("lockkeeper.toml")).unwrap();

    assert_eq!(run(&world, &["--repo", here, "extensions", "add", guest("plain").to_str().unwrap()]).code, 0);
    let script = format!("mkdir -p {here}/data/kind/one && echo 1 > {here}/data/kind/one/x");
    let ran = run(&world, &["--repo", here, "run", "--model", "kind/one", "--", "sh", "-c", &script]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(std::fs::read(world.remote().join("data/kind/one/x")).unwrap(), b"1\n");

    let said = fails(&run(&world, &["--repo", here, "init"]), exit::USAGE);
    says(&said, &["is there already", "nothing was changed"]);
    assert_eq!(std::fs::read_to_string(folder.join("lockkeeper.toml")).unwrap(), config);
}

#[test]
fn run_passes_exit_codes_through_and_says_when_the_command_cannot_start() {
    let world = world!();
    let repository = repository(&world);
    let run = |command: &[&str]| repository.run(&[&["run", "--model", "kind/one", "--"], command].concat());
    for code in [0, 1, 42, 64, 255] {
        assert_eq!(run(&["sh", "-c", &format!("exit {code}")]).code, code);
    }
    assert_eq!(run(&["sh", "-c", "kill -TERM $$"]).code, i32::from(exit::SIGNAL) + 15);
    says(&fails(&run(&["/nonexistent/program"]), exit::NOT_FOUND), &["/nonexistent/program"]);
    says(&fails(&run(&["no-such-program-anywhere"]), exit::NOT_FOUND), &["no-such-program-anywhere"]);
    let text = world.path("text");
    std::fs::write(&text, "no program").unwrap();
    std::fs::set_permissions(&text, std::fs::Permissions::from_mode(0o644)).unwrap();
    says(&fails(&run(&[text.to_str().unwrap()]), exit::NOT_EXECUTABLE), &["text"]);
    says(&fails(&run(&[world.path("").to_str().unwrap()]), exit::NOT_EXECUTABLE), &["can't run"]);
}

#[test]
fn a_file_name_cannot_write_to_the_terminal() {
    let world = world!();
    let repository = repository(&world);
    let name = "data/kind/one/\u{1b}[2J\u{7}\u{9b}31m\nerror: fake";
    repository.write(name, "odd");
    std::os::unix::fs::symlink("/etc/passwd", repository.folder.join("data/kind/one/\u{1b}[1mlink")).unwrap();
    let clean = |ran: &Ran| {
        for text in [&ran.stdout, &ran.stderr] {
            assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
            assert!(!text.lines().any(|line| line.starts_with("error: fake")), "{text:?}");
        }
    };
    for command in [&["status"][..], &["--json", "status"], &["--verbose", "push"], &["status"]] {
        let ran = repository.ok(command);
        clean(&ran);
    }
    let fresh = world.repository("b", "filesystem");
    fresh.ok(&["pull"]);
    assert_eq!(fresh.read(name).unwrap(), b"odd");
    // The same in a conflict.
    fresh.write(name, "theirs");
    fresh.ok(&["push"]);
    repository.write(name, "mine");
    for command in [&["pull"][..], &["push"], &["--json", "pull"]] {
        let ran = repository.run(command);
        assert_eq!(ran.code, i32::from(exit::CONFLICT), "{ran:?}");
        clean(&ran);
    }
    clean(&repository.ok(&["pull", "--on-conflict", "keep-local"]));
    let file = repository.folder.join("extensions/\u{1b}[2Jx.wasm");
    std::fs::write(&file, "rubbish").unwrap();
    clean(&repository.ok(&["extensions", "list"]));
    clean(&repository.run(&["extensions", "inspect", file.to_str().unwrap()]));
}

#[test]
fn output_that_nobody_reads_is_no_failure() {
    let world = world!();
    let repository = repository(&world);
    for number in 0..5_000 {
        repository.write(&format!("data/kind/one/{number:0100}"), "");
    }
    for command in [&["status"][..], &["--json", "status"], &["extensions", "list"], &["--help"]] {
        let mut child =
            repository.command(command).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!((code(child.wait().unwrap()), said.as_str()), (0, ""), "{command:?}");
    }
    // Standard error may be gone too.
    let mut child = repository.command(&["frobnicate"]).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stderr.take());
    assert_eq!(code(child.wait().unwrap()), i32::from(exit::USAGE));
    let mut child =
        world.command().args(["--repo", "/nonexistent", "pull"]).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stderr.take());
    assert_eq!(code(child.wait().unwrap()), i32::from(exit::CONFIG));
}
