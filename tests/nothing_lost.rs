//! Work is never lost and never overwritten unnoticed: what a push sends, what a pull takes, and what both refuse.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code"
)]

use std::fs::File;
use std::path::PathBuf;

use support::{Ran, Repository, World, memory, world};

/// The guests that keep an index, one of them for each scope.
const INDEXED: [&str; 2] = ["filesystem", "shared-index"];
/// The above, and one that only copies files.
const ALL: [&str; 3] = ["filesystem", "shared-index", "plain"];

const CONFLICT: i32 = 65;

/// Runs a test with each of these guests, in a world of its own.
fn each(guests: &[&str], test: impl Fn(&World, &str)) {
    for guest in guests {
        println!("with {guest}:");
        test(&world!(), guest);
    }
}

/// Two repositories that have both synced these files.
fn two<'a>(world: &'a World, guest: &str, content: &[(&str, &str)]) -> (Repository<'a>, Repository<'a>) {
    let (a, b) = (world.repository("a", guest), world.repository("b", guest));
    content.iter().for_each(|(path, content)| a.write(path, content));
    a.ok(&["push"]);
    b.ok(&["pull"]);
    assert_eq!(b.files("data"), a.files("data"));
    (a, b)
}

fn text(content: Option<Vec<u8>>) -> Option<String> {
    content.map(|content| String::from_utf8(content).unwrap())
}

/// A command must have stopped over these files, and named them.
fn assert_conflict(ran: &Ran, paths: &[&str]) {
    assert_eq!(ran.code, CONFLICT, "{}", ran.stderr);
    for path in paths {
        assert!(ran.stderr.contains(path), "{path} is not named: {}", ran.stderr);
    }
}

#[test]
fn a_stale_copy_never_goes_back_over_newer_bytes_of_the_same_size() {
    each(&ALL, |world, guest| {
        let (a, b) = two(world, guest, &[("data/t/m/kept-time", "old!"), ("data/t/m/new-time", "old!")]);
        let kept = a.folder.join("data/t/m/kept-time");
        let time = kept.metadata().unwrap().modified().unwrap();
        a.write("data/t/m/kept-time", "new!");
        a.write("data/t/m/new-time", "new!");
        File::options().write(true).open(&kept).unwrap().set_modified(time).unwrap();

        assert_eq!(a.json(&["push"])["calls"][0]["files"], 2);
        // The second repository's copy is older, and it has nothing to send.
        assert_eq!(b.json(&["push"])["calls"].as_array().unwrap().len(), 0);
        assert_eq!(world.objects(), a.files("data"));
        assert_eq!(text(b.read("data/t/m/kept-time")).unwrap(), "old!");

        b.ok(&["pull"]);
        assert_eq!(b.files("data"), a.files("data"));
        assert_eq!(text(b.read("data/t/m/kept-time")).unwrap(), "new!");
    });
}

#[test]
fn a_file_edited_on_both_sides_is_named_and_neither_version_is_overwritten() {
    each(&INDEXED, |world, guest| {
        let (a, b) = two(world, guest, &[("data/t/m/x", "base"), ("data/t/m/y", "base")]);
        a.write("data/t/m/x", "from a");
        a.ok(&["push"]);
        b.write("data/t/m/x", "from b");
        b.write("data/t/m/y", "from b");
        b.write("data/t/m/z", "from b");
        let (before, remote) = (b.files("data"), world.fresh(guest));

        for arguments in [&["push"][..], &["push", "--model", "t/m"], &["pull"], &["pull", "--model", "t/m"]]
        {
            let ran = b.run(arguments);
            assert_conflict(&ran, &["data/t/m/x"]);
            assert!(!ran.stderr.contains("data/t/m/y"), "{}", ran.stderr);
            assert_eq!(b.files("data"), before, "{arguments:?}");
            assert_eq!(world.fresh(guest), remote, "{arguments:?}");
        }
        assert_eq!(b.unpushed(), ["data/t/m/x", "data/t/m/y", "data/t/m/z"]);
        // A run stops before its command would work on something that can't be sent.
        let (ran, _) = b.run_script(&["t/m"], "echo ran > ran");
        assert_conflict(&ran, &["data/t/m/x"]);
        assert_eq!(b.read("ran"), None);
    });
}

#[test]
fn a_conflict_on_pull_is_found_even_for_an_extension_that_compares_nothing() {
    each(&["plain"], |world, guest| {
        let (a, b) = two(world, guest, &[("data/t/m/x", "base")]);
        a.write("data/t/m/x", "from a");
        a.ok(&["push"]);
        b.write("data/t/m/x", "from b");
        assert_conflict(&b.run(&["pull"]), &["data/t/m/x"]);
        assert_eq!(text(b.read("data/t/m/x")).unwrap(), "from b");
        assert_eq!(b.unpushed(), ["data/t/m/x"]);
    });
}

/// What each side made of a file that said `base`; none if it deleted the file.
struct Clash {
    there: Option<&'static str>,
    here: Option<&'static str>,
}

const CLASHES: [Clash; 3] = [
    Clash { there: Some("from a"), here: Some("from b") },
    Clash { there: Some("from a"), here: None },
    Clash { there: None, here: Some("from b") },
];

/// A file that was changed on both sides, in a repository that has been told so by push and pull.
fn clash<'a>(world: &'a World, guest: &str, clash: &Clash) -> (Repository<'a>, Repository<'a>) {
    let (a, b) = two(world, guest, &[("data/t/m/x", "base"), ("data/t/m/other", "same")]);
    for (repository, content) in [(&a, clash.there), (&b, clash.here)] {
        match content {
            Some(content) => repository.write("data/t/m/x", content),
            None => repository.delete("data/t/m/x"),
        }
    }
    a.ok(&["push"]);
    for arguments in [["push"], ["pull"]] {
        assert_conflict(&b.run(&arguments), &["data/t/m/x"]);
        assert_eq!(text(b.read("data/t/m/x")).as_deref(), clash.here);
        assert_eq!(world.objects().get("data/t/m/x").map(Vec::as_slice), clash.there.map(str::as_bytes));
    }
    (a, b)
}

/// Settles the clash in `b`, and checks that the version that lost is kept where the report says.
fn settle(b: &Repository, choice: &str, lost: Option<&str>) {
    let report = b.json(&["pull", "--on-conflict", choice]);
    let settled = report["settled"].as_array().unwrap();
    assert_eq!(settled.len(), 1, "{report}");
    assert_eq!(settled[0]["path"], "data/t/m/x");
    let place = settled[0]["other"].as_str();
    assert!(place.is_none_or(|place| place.starts_with(".lockkeeper/conflicts/")), "{report}");
    assert_eq!(text(place.and_then(|place| b.read(place))).as_deref(), lost, "{report}");
}

#[test]
fn keep_local_lets_the_next_push_win_and_saves_the_other_version() {
    each(&INDEXED, |_, guest| {
        for sides in CLASHES {
            let world = world!();
            let (a, b) = clash(&world, guest, &sides);
            settle(&b, "keep-local", sides.there);
            assert_eq!(text(b.read("data/t/m/x")).as_deref(), sides.here);
            b.ok(&["push"]);
            a.ok(&["pull"]);
            assert_eq!(text(a.read("data/t/m/x")).as_deref(), sides.here);
            assert_eq!(world.fresh(guest), b.files("data"));
            assert_eq!(world.objects(), b.files("data"));
        }
    });
}

#[test]
fn keep_remote_takes_the_other_version_and_saves_the_local_one() {
    each(&INDEXED, |_, guest| {
        for sides in CLASHES {
            let world = world!();
            let (a, b) = clash(&world, guest, &sides);
            settle(&b, "keep-remote", sides.here);
            assert_eq!(b.files("data"), a.files("data"));
            assert_eq!(b.unpushed(), [""; 0]);
            assert_eq!(world.fresh(guest), a.files("data"));
        }
    });
}

#[test]
fn a_path_that_is_pushed_twice_with_a_change_between_arrives_twice() {
    each(&ALL, |world, guest| {
        let (a, b) = (world.repository("a", guest), world.repository("b", guest));
        for content in ["one", "two", "2ow", "two"] {
            a.write("data/t/m/x", content);
            a.ok(&["push", "--model", "t/m"]);
            b.ok(&["pull", "--model", "t/m"]);
            assert_eq!(text(b.read("data/t/m/x")).unwrap(), content);
        }
        for content in ["3", "4"] {
            let (ran, _) = a.run_script(&["t/m"], &format!("printf {content} > data/t/m/x"));
            assert_eq!(ran.code, 0, "{}", ran.stderr);
            assert_eq!(text(world.objects().remove("data/t/m/x")).unwrap(), content);
        }
    });
}

#[test]
fn a_repository_that_pulled_one_scope_pushes_everything_and_deletes_nobody_elses_files() {
    each(&ALL, |world, guest| {
        let (a, b) = (world.repository("a", guest), world.repository("b", guest));
        for path in ["data/t/web/x", "data/t/web-2/x", "data/t/db/x", "data/u/db/deep/er/x"] {
            a.write(path, path);
        }
        a.ok(&["push"]);
        b.ok(&["pull", "--model", "t/web"]);
        assert_eq!(b.files("data").len(), 1);

        b.write("data/t/web/x", "newer");
        b.write("data/t/new/x", "new");
        b.ok(&["push"]);
        let mut expected = a.files("data");
        expected.extend(b.files("data"));
        assert_eq!(expected.len(), 5);
        assert_eq!(world.objects(), expected);
        assert_eq!(world.fresh(guest), expected);
        a.ok(&["pull"]);
        assert_eq!(a.files("data"), expected);
    });
}

#[test]
fn a_pull_stops_over_unpushed_work_that_the_remote_changed_too() {
    each(&ALL, |world, guest| {
        let (a, b) = two(world, guest, &[("data/t/m/x", "base"), ("data/t/m/y", "base")]);
        a.write("data/t/m/x", "from a");
        a.write("data/t/m/y", "from a");
        a.write("data/t/m/new", "from a");
        a.ok(&["push"]);
        b.write("data/t/m/x", "from b");
        b.write("data/t/m/new", "from b");
        let before = b.files("data");
        assert_conflict(&b.run(&["pull"]), &["data/t/m/x", "data/t/m/new"]);
        // All or nothing: what was no conflict was not taken either.
        assert_eq!(b.files("data"), before);
    });
}

#[test]
fn a_pull_keeps_unpushed_work_that_the_remote_has_no_news_of_and_names_it() {
    each(&ALL, |world, guest| {
        let (a, b) =
            two(world, guest, &[("data/t/m/x", "base"), ("data/t/m/y", "base"), ("data/t/m/z", "base")]);
        a.write("data/t/m/y", "from a");
        a.ok(&["push"]);
        b.write("data/t/m/x", "from b");
        b.write("data/t/m/new", "from b");
        b.delete("data/t/m/z");
        let ran = b.ok(&["pull"]);
        assert!(ran.stderr.contains("data/t/m/x"), "{}", ran.stderr);
        assert!(!ran.stderr.contains("data/t/m/y"), "{}", ran.stderr);
        assert_eq!(text(b.read("data/t/m/x")).unwrap(), "from b");
        assert_eq!(text(b.read("data/t/m/y")).unwrap(), "from a");
        assert_eq!(text(b.read("data/t/m/new")).unwrap(), "from b");
        assert_eq!(b.read("data/t/m/z"), None);
        assert_eq!(b.unpushed(), ["data/t/m/new", "data/t/m/x", "data/t/m/z"]);
        let report = b.json(&["pull"]);
        assert_eq!(report["kept"], serde_json::json!(["data/t/m/x", "data/t/m/z"]));
        b.ok(&["push"]);
        assert_eq!(world.objects(), b.files("data"));
    });
}

/// A `lockkeeper.toml` with another one in its place until this is put back.
struct Misconfigured<'a> {
    repository: &'a Repository<'a>,
    right: String,
}

impl<'a> Misconfigured<'a> {
    fn new(repository: &'a Repository<'a>, right: &str, wrong: &str) -> Self {
        let path = repository.folder.join("lockkeeper.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(right), "{text}");
        std::fs::write(path, text.replace(right, wrong)).unwrap();
        Self { repository, right: text }
    }

    fn put_right(self) {
        std::fs::write(self.repository.folder.join("lockkeeper.toml"), self.right).unwrap();
    }
}

#[test]
fn a_push_that_fails_leaves_everything_marked_and_the_next_one_sends_it() {
    let changed = ["data/t/m/edited", "data/t/m/gone", "data/t/m/new"];
    let ways = [
        ("filesystem", "\"read-write\"", "\"read-only\"", 77),
        ("shared-index", "\"read-write\"", "\"read-only\"", 77),
        ("plain", "\"read-write\"", "\"read-only\"", 77),
        ("filesystem", "root = \"/remote\"", "root = \"/elsewhere\"", 69),
        ("plain", "root = \"/remote\"", "", 69),
        ("filesystem", "../remote", "../nowhere", 78),
        ("misbehaving", "\"behave\"", "\"trap-in-push\"", 70),
        ("misbehaving", "\"behave\"", "\"lying-report\"", 76),
        ("misbehaving", "\"behave\"", "\"enormous-error\"", 72),
    ];
    for (guest, right, wrong, code) in ways {
        println!("{guest} with {wrong}");
        let world = world!();
        let misbehave = if guest == "misbehaving" { "misbehave = \"behave\"" } else { "" };
        let a = world.configured("a", guest, "", misbehave);
        for path in ["data/t/m/edited", "data/t/m/gone", "data/t/m/same"] {
            a.write(path, "old");
        }
        a.ok(&["push"]);
        let remote = world.objects();
        a.write("data/t/m/edited", "new");
        a.write("data/t/m/new", "new");
        a.delete("data/t/m/gone");

        let misconfigured = Misconfigured::new(&a, right, wrong);
        for arguments in [&["push"][..], &["push", "--model", "t/m"]] {
            let ran = a.run(arguments);
            assert_eq!(ran.code, code, "{}", ran.stderr);
            assert_eq!(world.objects(), remote);
        }
        misconfigured.put_right();
        assert_eq!(a.unpushed(), changed);
        a.ok(&["push", "--model", "t/m"]);
        assert_eq!(a.unpushed(), [""; 0]);
        assert_eq!(world.objects(), a.files("data"));
    }
}

#[test]
fn a_run_whose_push_fails_keeps_its_files_marked_and_the_next_run_sends_them() {
    each(&ALL, |world, guest| {
        let a = world.repository("a", guest);
        a.write("data/t/m/x", "old");
        a.ok(&["push"]);
        // The remote goes away while the command runs.
        let script = "printf new > data/t/m/x && printf new > data/t/m/y && mv ../remote ../away";
        let (ran, report) = a.run_script(&["t/m"], script);
        assert!(ran.code != 0, "{report}");
        assert_eq!(report["outcome"], "failed");
        assert_eq!(a.unpushed(), ["data/t/m/x", "data/t/m/y"]);
        std::fs::rename(world.path("away"), world.remote()).unwrap();
        let (ran, _) = a.run_script(&["t/m"], "true");
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        assert_eq!(a.unpushed(), [""; 0]);
        assert_eq!(world.objects(), a.files("data"));
    });
}

#[test]
fn what_a_failing_command_wrote_is_sent_all_the_same() {
    each(&ALL, |world, guest| {
        let a = world.repository("a", guest);
        let (ran, report) = a.run_script(&["t/m"], "mkdir -p data/t/m && echo half > data/t/m/x && exit 3");
        assert_eq!((ran.code, &report["outcome"]), (3, &"command-failed".into()));
        assert_eq!(world.objects(), a.files("data"));
        assert_eq!(world.objects().len(), 1);
    });
}

#[test]
fn a_deletion_reaches_the_remote_and_the_other_repositories() {
    each(&INDEXED, |world, guest| {
        let (a, b) =
            two(world, guest, &[("data/t/m/x", "1"), ("data/t/m/sub/y", "2"), ("data/t/m/stays", "3")]);
        b.write("data/t/m/sub/own", "never synced");
        a.delete("data/t/m/x");
        std::fs::remove_dir_all(a.folder.join("data/t/m/sub")).unwrap();
        assert_eq!(a.json(&["push", "--model", "t/m"])["calls"][0]["deletions"], 2);
        assert_eq!(world.objects(), a.files("data"));
        assert_eq!(b.json(&["pull"])["calls"][0]["deletions"], 2);
        assert_eq!(b.files("data").into_keys().collect::<Vec<_>>(), ["data/t/m/stays", "data/t/m/sub/own"]);
        // A file of the same name and content comes back as a new one.
        b.write("data/t/m/x", "1");
        b.ok(&["push"]);
        a.ok(&["pull"]);
        assert_eq!(a.files("data"), b.files("data"));
        assert_eq!(a.files("data").len(), 3);
    });
}

#[test]
fn what_is_missing_here_is_never_a_reason_to_delete_it_there() {
    each(&ALL, |world, guest| {
        let paths = [("data/t/m/x", "1"), ("data/t/m/y", "2"), ("data/u/n/x", "3")];
        let (a, b) = two(world, guest, &paths);
        let all = a.files("data");
        let nothing_is_gone = |repository: &Repository| {
            for arguments in [&["push"][..], &["push", "--model", "t/m"], &["push", "--model", "u/n"]] {
                repository.ok(arguments);
                assert_eq!(world.objects(), all, "{arguments:?}");
            }
        };
        // A repository that has nothing, one that has a part, and one that forgot what it had.
        nothing_is_gone(&world.repository("fresh", guest));
        let part = world.repository("part", guest);
        part.ok(&["pull", "--model", "t/m"]);
        nothing_is_gone(&part);
        std::fs::remove_dir_all(b.folder.join(".lockkeeper")).unwrap();
        b.delete("data/t/m/x");
        std::fs::remove_dir_all(b.folder.join("data/u")).unwrap();
        nothing_is_gone(&b);
        assert_eq!(world.fresh(guest), all);
        b.ok(&["pull"]);
        assert_eq!(b.files("data"), all);
    });
}

#[test]
fn a_repository_that_forgot_what_it_synced_takes_its_old_copies_for_a_conflict() {
    each(&INDEXED, |world, guest| {
        let (a, b) = two(world, guest, &[("data/t/m/x", "old!"), ("data/t/m/y", "same")]);
        a.write("data/t/m/x", "new!");
        a.ok(&["push"]);
        std::fs::remove_dir_all(b.folder.join(".lockkeeper")).unwrap();
        assert_conflict(&b.run(&["push"]), &["data/t/m/x"]);
        assert_conflict(&b.run(&["pull"]), &["data/t/m/x"]);
        assert_eq!(world.objects(), a.files("data"));
        b.ok(&["pull", "--on-conflict", "keep-remote"]);
        assert_eq!(b.files("data"), a.files("data"));
        assert_eq!(b.unpushed(), [""; 0]);
    });
}

#[test]
fn thousands_of_changes_arrive_and_so_does_the_next_one() {
    // More than the pages in which changes are handed out, and more than any cap that a change list could have.
    for (guest, count) in [("filesystem", 10_001), ("shared-index", 2_500)] {
        let world = world!(in &memory());
        let a = world.repository("a", guest);
        for number in 0..count {
            a.write(&format!("data/t/m/{}/{number}", number % 10), number.to_string());
        }
        assert_eq!(a.json(&["push", "--model", "t/m"])["calls"][0]["files"], count);
        a.write("data/t/m/3/3", "another");
        a.delete("data/t/m/4/4");
        let report = a.json(&["push", "--model", "t/m"]);
        assert_eq!((&report["calls"][0]["files"], &report["calls"][0]["deletions"]), (&1.into(), &1.into()));
        assert!(a.files("data") == world.objects(), "{guest}: the remote holds other files");
        assert!(a.files("data") == world.fresh(guest), "{guest}: others get other files");
    }
}

#[test]
fn syncing_again_moves_nothing_and_writes_nothing_to_the_remote() {
    each(&ALL, |world, guest| {
        let (a, b) = two(world, guest, &[("data/t/m/x", "1"), ("data/t/m/y", ""), ("data/top", "3")]);
        let tree = || -> Vec<_> {
            let entries = walkdir::WalkDir::new(world.remote()).sort_by_file_name().into_iter();
            entries
                .map(|entry| entry.unwrap())
                .map(|it| (it.path().to_owned(), it.metadata().unwrap().modified().unwrap()))
                .collect()
        };
        let before = tree();
        for repository in [&a, &b] {
            for arguments in
                [&["push"][..], &["pull"], &["push", "--model", "t/m"], &["pull", "--model", "t/m"]]
            {
                let report = repository.json(arguments);
                for call in report["calls"].as_array().unwrap() {
                    assert_eq!([&call["files"], &call["bytes"], &call["deletions"]], [0, 0, 0], "{report}");
                }
            }
            let (_, report) = repository.run_script(&["t/m"], "true");
            assert_eq!(
                report["calls"].as_array().unwrap().len(),
                1,
                "nothing to push costs no call: {report}"
            );
            assert_eq!(report["calls"][0]["files"], 0);
        }
        // An extension that keeps plain copies reads them, and writes none.
        assert_eq!(tree(), before);
    });
}

/// The newest version of the index document of a scope.
fn shard(world: &World, scope: &str) -> PathBuf {
    let folder = world.remote().join(".lockkeeper/index").join(scope).join(".shard");
    let versions = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    versions.map(|entry| entry.unwrap().path()).max().unwrap()
}

#[test]
fn a_damaged_index_is_an_error_that_names_it_and_never_an_empty_one() {
    for (guest, scope) in [("filesystem", "data/t/m"), ("shared-index", "")] {
        let world = world!();
        let (a, b) = two(&world, guest, &[("data/t/m/x", "1"), ("data/t/m/y", "2")]);
        let document = shard(&world, scope);
        let whole = std::fs::read(&document).unwrap();
        let of_another = String::from_utf8(whole.clone()).unwrap().replacen("data/t/m/x", "data/t/n/../x", 1);
        b.write("data/t/m/new", "new");
        let (local, remote) = (b.files("data"), world.objects());
        for damage in [&whole[..whole.len() / 2], b"", b"{}", b"\0\0\0\0", of_another.as_bytes()] {
            std::fs::write(&document, damage).unwrap();
            for arguments in
                [&["pull"][..], &["push"], &["pull", "--model", "t/m"], &["push", "--model", "t/m"]]
            {
                let ran = b.run(arguments);
                assert_eq!(ran.code, 69, "{}{}", ran.stdout, ran.stderr);
                let name = format!("{scope}/.shard");
                assert!(ran.stderr.contains(&name), "{name} is not named: {}", ran.stderr);
                assert_eq!(b.files("data"), local);
                assert_eq!(world.objects(), remote);
                assert_eq!(std::fs::read(&document).unwrap(), damage);
            }
        }
        assert_eq!(b.unpushed(), ["data/t/m/new"]);
        std::fs::write(&document, &whole).unwrap();
        b.ok(&["push"]);
        a.ok(&["pull"]);
        assert_eq!(a.files("data"), b.files("data"));
    }
}

#[test]
fn an_index_that_is_gone_deletes_nothing() {
    each(&INDEXED, |world, guest| {
        let (a, b) = two(world, guest, &[("data/t/m/x", "1"), ("data/t/m/y", "2")]);
        std::fs::remove_dir_all(world.remote().join(".lockkeeper")).unwrap();
        let before = b.files("data");
        b.ok(&["pull"]);
        b.ok(&["push"]);
        assert_eq!((b.files("data"), world.objects()), (before.clone(), before.clone()));
        // Content that stands in the way of a new file is neither trusted nor lost.
        let c = world.repository("c", guest);
        c.write("data/t/m/x", "other");
        c.ok(&["push"]);
        assert_eq!(world.fresh(guest), c.files("data"));
        assert_eq!(world.objects()["data/t/m/y"], b"2");
        assert_conflict_or_kept(&a);
    });
}

/// Whatever the remote's index says now, the local files are still there.
fn assert_conflict_or_kept(a: &Repository) {
    let before = a.files("data");
    let ran = a.run(&["push"]);
    assert!(ran.code == 0 || ran.code == CONFLICT, "{}", ran.stderr);
    assert_eq!(a.files("data"), before);
}

#[test]
fn content_that_is_not_what_the_index_lists_is_never_pulled() {
    each(&INDEXED, |world, guest| {
        let (_, b) = two(world, guest, &[("data/t/m/x", "right"), ("data/t/m/y", "2")]);
        std::fs::write(world.remote().join("data/t/m/x"), "wrong").unwrap();
        let c = world.repository("c", guest);
        let ran = c.run(&["pull"]);
        assert_eq!(ran.code, 69, "{}", ran.stderr);
        assert!(ran.stderr.contains("data/t/m/x"), "{}", ran.stderr);
        assert_eq!(c.files("data").len(), 0);
        b.ok(&["pull"]);
        assert_eq!(text(b.read("data/t/m/x")).unwrap(), "right");
    });
}
