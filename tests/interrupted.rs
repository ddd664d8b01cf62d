//! Killed at any instant, lockkeeper loses nothing: the next command converges, and nobody ever gets a mix of old and new.
//!
//! The processes are killed for real. Where one got to is judged by the files that it has made so far, so how far
//! that is differs from run to run; what must hold afterwards holds wherever it was.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code"
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use support::{Repository, World, files, world};

const INDEXED: [&str; 2] = ["filesystem", "shared-index"];

type Files = BTreeMap<String, Vec<u8>>;

/// How many files there are below a folder, which may not exist.
fn count(folder: &Path) -> usize {
    let entries = walkdir::WalkDir::new(folder).into_iter().filter_map(Result::ok);
    entries.filter(|entry| entry.file_type().is_file()).count()
}

fn start(mut command: Command) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Kills a command as soon as `reached` says so. False if the command ended before that.
fn kill_when(command: Command, reached: impl Fn() -> bool) -> bool {
    let mut child = start(command);
    let deadline = Instant::now() + Duration::from_secs(60);
    while !reached() {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        assert!(Instant::now() < deadline, "the command neither got that far nor ended");
    }
    child.kill().unwrap();
    child.wait().unwrap().code().is_none()
}

/// What `kill -9` in the middle of a push must leave behind, whatever that is.
struct Push<'a> {
    world: &'a World,
    guest: &'a str,
    /// The repository whose push was killed.
    a: &'a Repository<'a>,
    /// One that has the old files, and local work of its own.
    reader: &'a Repository<'a>,
    old: Files,
    new: Files,
}

impl Push<'_> {
    /// A reader gets wholly the old or wholly the new state.
    fn assert_no_mix(&self) {
        let found = self.world.fresh(self.guest);
        assert!(
            found == self.old || found == self.new,
            "a fresh pull brings a mix: {}",
            self.compared(&found)
        );
        self.reader.ok(&["pull", "--model", "t/m"]);
        let mut found = self.reader.files("data");
        assert_eq!(found.remove("data/t/m/own").unwrap(), b"unpushed");
        assert!(found == self.old || found == self.new, "a pull brings a mix: {}", self.compared(&found));
    }

    fn assert_converged(&self) {
        self.a.ok(&["push", "--model", "t/m"]);
        assert_eq!(self.a.unpushed(), [""; 0]);
        assert!(self.a.files("data") == self.new);
        assert!(self.world.objects() == self.new, "objects: {}", self.compared(&self.world.objects()));
        let fresh = self.world.fresh(self.guest);
        assert!(fresh == self.new, "fresh: {}", self.compared(&fresh));
        assert_eq!(count(&self.world.remote().join(".lockkeeper/staged")), 0);
    }

    fn compared(&self, found: &Files) -> String {
        let of =
            |side: &Files| found.iter().filter(|(path, content)| side.get(*path) == Some(content)).count();
        format!("{} files, {} as the old, {} as the new", found.len(), of(&self.old), of(&self.new))
    }
}

const FILES: usize = 120;

/// Kills pushes of many files at several points, each in a world of its own; in each, some files are edited to the same size,
/// some are new, some are deleted.
fn kill_pushes(guest: &str, points: &[(&str, usize)]) {
    let mut killed = 0;
    for (folder, number) in points {
        println!("{guest}: killed when {folder} holds {number} more files");
        let world = world!();
        let (a, reader) = (world.repository("a", guest), world.repository("reader", guest));
        for number in 0..FILES {
            a.write(&format!("data/t/m/{}/{number}", number % 7), format!("old {number:04}"));
        }
        a.ok(&["push"]);
        reader.ok(&["pull"]);
        reader.write("data/t/m/own", "unpushed");
        let old = a.files("data");
        for number in 0..FILES {
            let path = format!("data/t/m/{}/{number}", number % 7);
            match number % 3 {
                0 => a.write(&path, format!("new {number:04}")),
                1 => a.write(&format!("{path}-new"), "new"),
                _ => a.delete(&path),
            }
        }
        let push = Push { world: &world, guest, a: &a, reader: &reader, old, new: a.files("data") };

        let place = world.remote().join(folder);
        let before = count(&place);
        let reached = || *number == 0 || count(&place).abs_diff(before) >= *number;
        killed += usize::from(kill_when(a.command(&["push", "--model", "t/m"]), reached));
        push.assert_no_mix();
        // A second one, killed on top of the first.
        kill_when(a.command(&["push", "--model", "t/m"]), || {
            count(&world.remote().join(".lockkeeper/staged")) > 3
        });
        push.assert_no_mix();
        push.assert_converged();
        push.assert_no_mix();
        reader.ok(&["push"]);
        assert_eq!(world.fresh(guest), reader.files("data"));
    }
    assert!(killed * 2 > points.len(), "most of the pushes were over before they were killed");
}

/// Before anything is sent, while files are sent, at the commit, and while what was committed is put in its place.
const STAGED: &str = ".lockkeeper/staged";
const INDEX: &str = ".lockkeeper/index";

#[test]
fn a_push_that_is_killed_leaves_the_old_or_the_new_state_and_the_next_one_converges_with_an_index_for_each_scope()
 {
    kill_pushes(
        INDEXED[0],
        &[("", 0), ("data", 1), (STAGED, 20), (STAGED, 39), (INDEX, 1), ("data", 41), ("data", 60)],
    );
}

#[test]
fn a_push_that_is_killed_leaves_the_old_or_the_new_state_and_the_next_one_converges_with_one_index() {
    kill_pushes(INDEXED[1], &[("", 0), ("data", 20), (STAGED, 40), (INDEX, 1), ("data", 50)]);
}

#[test]
fn an_extension_that_keeps_plain_copies_converges_after_a_kill() {
    let world = world!();
    let a = world.repository("a", "plain");
    for number in 0..FILES {
        a.write(&format!("data/t/m/{number}"), format!("new {number}"));
    }
    let objects = world.remote().join("data");
    assert!(kill_when(a.command(&["push"]), || count(&objects) >= FILES / 3));
    assert_eq!(a.unpushed().len(), FILES);
    a.ok(&["push"]);
    assert!(world.objects() == a.files("data"));
    assert!(world.fresh("plain") == a.files("data"));
}

#[test]
fn a_pull_that_is_killed_keeps_local_work_and_the_next_one_converges() {
    for guest in INDEXED {
        let world = world!();
        let a = world.repository("a", guest);
        for number in 0..FILES {
            a.write(&format!("data/t/m/{}/{number}", number % 7), format!("{number:04}"));
        }
        a.ok(&["push"]);
        let b = world.repository("b", guest);
        // Killed at the start, twice while files arrive, and while they are moved in.
        let incoming = b.folder.join(".lockkeeper");
        for number in [0, 1, 60, 2 * FILES] {
            println!("{guest}: killed when {number} files have arrived");
            b.write("data/t/m/own", "unpushed");
            let data = b.folder.join("data");
            let before = count(&incoming) + count(&data);
            kill_when(b.command(&["pull"]), || count(&incoming) + count(&data) >= before + number);
            assert_eq!(b.read("data/t/m/own").unwrap(), b"unpushed");
            assert!(b.unpushed().contains(&"data/t/m/own".to_owned()));
        }
        b.ok(&["pull"]);
        assert_eq!(b.unpushed(), ["data/t/m/own"]);
        let mut found = b.files("data");
        found.remove("data/t/m/own");
        assert!(found == a.files("data"));
        assert_eq!(count(&b.folder.join(".lockkeeper/incoming")), 1, "only the lock is left");
    }
}

/// Two repositories that have synced many files, which have changed in the remote since: edited, deleted, and new.
fn outdated<'a>(world: &'a World, guest: &str, files: usize) -> (Repository<'a>, Repository<'a>) {
    let (a, b) = (world.repository("a", guest), world.repository("b", guest));
    let path = |number: usize| format!("data/t/m/{:02}/{number}", number % 20);
    (0..files).for_each(|number| a.write(&path(number), format!("old {number:04}")));
    a.ok(&["push"]);
    b.ok(&["pull"]);
    for number in 0..files {
        match number % 3 {
            0 => a.write(&path(number), format!("new {number:04}")),
            1 => a.write(&format!("{}-new", path(number)), "new"),
            _ => a.delete(&path(number)),
        }
    }
    a.ok(&["push"]);
    (a, b)
}

#[test]
fn a_pull_that_is_killed_while_it_moves_files_in_says_so_until_it_is_done_again() {
    // How far a pull gets before the kill arrives is not in the test's hands, so it tries until one was in the middle.
    let mut in_the_middle = 0;
    for attempt in 0..40 {
        let world = world!(in &support::memory());
        let (a, b) = outdated(&world, "filesystem", 300);
        b.write("data/t/m/own", "unpushed");
        let (old, new) = (b.files("data"), a.files("data"));
        // Deletes come first, then the folders in order.
        let sign = match attempt % 2 {
            0 => b.folder.join("data/t/m/02/2"),
            _ => b.folder.join("data/t/m/00/0"),
        };
        let seen = || std::fs::read(&sign).ok();
        let before = seen();
        if !kill_when(b.command(&["pull"]), || seen() != before) {
            continue;
        }
        // Each file is wholly the old or wholly the new one.
        for (path, content) in b.files("data") {
            assert!(old.get(&path) == Some(&content) || new.get(&path) == Some(&content), "{path}");
        }
        assert_eq!(b.read("data/t/m/own").unwrap(), b"unpushed");
        let status = b.json(&["status"]);
        let whole = new.iter().all(|(path, content)| b.read(path).as_ref() == Some(content))
            && b.files("data").keys().all(|path| new.contains_key(path) || path.ends_with("/own"));
        if !whole {
            in_the_middle += 1;
            assert_eq!(status["interrupted_pulls"], serde_json::json!(["data/"]), "{status}");
            let said = b.ok(&["status"]).stdout;
            assert!(said.contains("a pull of data/ was cut off"), "{said}");
        }
        // A push of the mix sends only this repository's own work: nothing old goes back, nothing is deleted.
        if in_the_middle % 2 == 1 {
            b.ok(&["push"]);
            let mut expected = new.clone();
            expected.insert("data/t/m/own".to_owned(), b"unpushed".to_vec());
            assert!(world.objects() == expected, "the push sent more than its own");
        }
        b.ok(&["pull"]);
        assert_eq!(b.json(&["status"])["interrupted_pulls"], serde_json::json!([]));
        let mut found = b.files("data");
        assert_eq!(found.remove("data/t/m/own").unwrap(), b"unpushed");
        assert!(found == new);
        if in_the_middle == 4 {
            return;
        }
    }
    panic!("only {in_the_middle} pulls were killed in the middle");
}

#[test]
fn a_run_that_is_killed_before_its_push_leaves_its_files_to_the_next_run() {
    for guest in ["filesystem", "shared-index", "plain"] {
        println!("with {guest}:");
        let world = world!();
        let a = world.repository("a", guest);
        a.write("data/t/m/gone", "old");
        a.write("data/t/m/edited", "old!");
        a.ok(&["push"]);
        let script = "echo made > data/t/m/made && rm data/t/m/gone && printf new! > data/t/m/edited \
                      && echo holding && read line";
        support::Holding::start(a.script(&["t/m"], script, &[])).kill();
        assert_eq!(a.unpushed(), ["data/t/m/edited", "data/t/m/gone", "data/t/m/made"]);
        assert_eq!(world.objects()["data/t/m/edited"], b"old!");
        let (ran, _) = a.run_script(&["t/m"], "cat data/t/m/made");
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        assert_eq!(a.unpushed(), [""; 0]);
        assert_eq!(files(&world.remote(), "data/t/m"), a.files("data/t/m"));
        assert_eq!(world.fresh(guest), a.files("data"));
        assert_eq!(a.files("data").len(), 2);
    }
}
