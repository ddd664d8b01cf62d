//! Any tree of files arrives as it is: random edits, odd names, several roots, files that become folders; and what lies
//! outside of a command's models stays untouched.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code"
)]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{File, FileTimes};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use support::{Repository, World, files, memory, world};

const INDEXED: [&str; 2] = ["filesystem", "shared-index"];
const ALL: [&str; 3] = ["filesystem", "shared-index", "plain"];

/// Names that some tool, shell or encoding gets wrong.
const ODD: [&str; 18] = [
    "a b",
    " ",
    "ü",
    "u\u{308}",
    "日本語",
    "line\nbreak",
    "quo\"te's",
    "back\\slash",
    "%2F",
    "100%",
    "a+b",
    "-rf",
    ".hidden",
    "...",
    ".shard",
    "file.tmp",
    "file",
    "CON:$HOME*?",
];

/// Everything that can be seen of a folder without changing it: whatever a write or a read of a file would change.
fn traces(folder: &Path) -> BTreeMap<PathBuf, Vec<i64>> {
    let entries = walkdir::WalkDir::new(folder).into_iter().map(Result::unwrap);
    let seen = entries.map(|entry| {
        let it = entry.metadata().unwrap();
        let mut trace = vec![it.ino() as i64, it.mtime(), it.mtime_nsec(), it.ctime(), it.ctime_nsec()];
        if it.is_file() {
            trace.extend([it.size() as i64, it.atime(), it.atime_nsec()]);
        }
        (entry.into_path(), trace)
    });
    seen.collect()
}

/// Sets the time of the last read to long ago, so that a read shows in it.
fn forget_reads(folder: &Path) {
    for entry in walkdir::WalkDir::new(folder).into_iter().map(Result::unwrap) {
        if entry.file_type().is_file() {
            let file = File::open(entry.path()).unwrap();
            file.set_times(FileTimes::new().set_accessed(SystemTime::UNIX_EPOCH)).unwrap();
        }
    }
}

/// Where a repository keeps what it last synced of a model.
fn record(repository: &Repository, id: &str) -> PathBuf {
    let entries =
        walkdir::WalkDir::new(repository.folder.join(".lockkeeper")).into_iter().map(Result::unwrap);
    let mut folders = entries.filter(|entry| entry.file_type().is_dir() && entry.file_name() == id);
    folders.find(|entry| entry.path().to_str().unwrap().contains("/synced/")).unwrap().into_path()
}

#[test]
fn a_command_on_web_never_reads_writes_or_deletes_the_files_of_web_2() {
    for guest in ALL {
        println!("with {guest}:");
        let world = world!();
        let (a, b) = (world.repository("a", guest), world.repository("b", guest));
        for model in ["web", "web-2"] {
            for name in ["edited", "gone", "same"] {
                a.write(&format!("data/t/{model}/{name}"), "base");
            }
        }
        a.ok(&["push"]);
        b.ok(&["pull"]);
        // The remote has news of both models, and so has this repository.
        for model in ["web", "web-2"] {
            a.write(&format!("data/t/{model}/same"), "news");
            a.write(&format!("data/t/{model}/from-a"), "news");
            b.delete(&format!("data/t/{model}/gone"));
            b.write(&format!("data/t/{model}/from-b"), "news");
        }
        a.write("data/t/web-2/edited", "conflict a");
        b.write("data/t/web-2/edited", "conflict b");
        a.ok(&["push"]);

        let mut places = vec![b.folder.join("data/t/web-2"), record(&b, "web-2")];
        if guest == "filesystem" {
            places.push(world.remote().join("data/t/web-2"));
            places.push(world.remote().join(".lockkeeper/index/data/t/web-2"));
        }
        places.iter().for_each(|place| forget_reads(place));
        let seen = || places.iter().map(|place| traces(place)).collect::<Vec<_>>();
        let before = seen();
        assert!(before.iter().all(|traces| traces.len() > 1), "{before:?}");

        b.ok(&["push", "--model", "t/web"]);
        b.ok(&["pull", "--model", "t/web"]);
        let (ran, _) = b.run_script(&["t/web"], "echo run > data/t/web/run && rm data/t/web/edited");
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        assert_eq!(seen(), before);

        let expected = BTreeMap::from([
            ("data/t/web/from-a".to_owned(), b"news".to_vec()),
            ("data/t/web/from-b".to_owned(), b"news".to_vec()),
            ("data/t/web/run".to_owned(), b"run\n".to_vec()),
            ("data/t/web/same".to_owned(), b"news".to_vec()),
        ]);
        assert_eq!(b.files("data/t/web"), expected);
        assert_eq!(files(&world.remote(), "data/t/web"), expected);
        let theirs = files(&world.remote(), "data/t/web-2");
        assert_eq!(theirs, a.files("data/t/web-2"));
        assert_eq!(theirs["data/t/web-2/edited"], b"conflict a");
    }
}

#[test]
fn a_model_has_a_folder_in_each_root_and_nothing_outside_of_the_roots_is_synced() {
    for guest in ALL {
        println!("with {guest}:");
        let world = world!();
        let roots = "roots = [\"data\", \"outputs\"]";
        let (a, b) = (world.configured("a", guest, roots, ""), world.configured("b", guest, roots, ""));
        let script =
            "for root in data outputs other; do mkdir -p $root/t/m && echo $root > $root/t/m/x; done";
        let (ran, _) = a.run_script(&["t/m"], script);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        a.write("outputs/t/unrelated/x", "full push");
        a.ok(&["push"]);
        let paths = |found: BTreeMap<String, Vec<u8>>| -> Vec<String> { found.into_keys().collect() };
        let synced = ["data/t/m/x", "outputs/t/m/x", "outputs/t/unrelated/x"];
        assert_eq!(
            [paths(files(&world.remote(), "data")), paths(files(&world.remote(), "outputs"))].concat(),
            synced
        );
        assert!(!world.remote().join("other").exists());

        b.ok(&["pull", "--model", "t/m"]);
        assert_eq!([paths(b.files("data")), paths(b.files("outputs"))].concat(), synced[..2]);
        b.delete("outputs/t/m/x");
        b.ok(&["push", "--model", "t/m"]);
        assert_eq!(paths(files(&world.remote(), "outputs")), synced[2..]);

        // A repository with fewer roots neither gets the others nor deletes them.
        let c = world.repository("c", guest);
        c.ok(&["pull"]);
        c.delete("data/t/m/x");
        c.ok(&["push"]);
        assert_eq!(c.files("outputs").len(), 0);
        assert_eq!(paths(files(&world.remote(), "data")), [""; 0]);
        assert_eq!(paths(files(&world.remote(), "outputs")), synced[2..]);
    }
}

#[test]
fn a_file_that_becomes_a_folder_and_back_arrives() {
    for guest in INDEXED {
        println!("with {guest}:");
        for reach in [&[][..], &["--model", "t/m"]] {
            let world = world!();
            let (a, b) = (world.repository("a", guest), world.repository("b", guest));
            let sync = |from: &Repository, to: &Repository| {
                from.ok(&[&["push"], reach].concat());
                to.ok(&[&["pull"], reach].concat());
                assert_eq!(to.files("data"), from.files("data"));
                assert_eq!(world.objects(), from.files("data"));
            };
            a.write("data/t/m/x", "file");
            a.write("data/t/m/same", "same");
            sync(&a, &b);
            b.delete("data/t/m/x");
            b.write("data/t/m/x/y/z", "in folders");
            sync(&b, &a);
            std::fs::remove_dir_all(a.folder.join("data/t/m/x")).unwrap();
            a.write("data/t/m/x", "file");
            sync(&a, &b);
        }
    }
}

#[test]
fn a_file_that_became_a_folder_there_and_was_edited_here_is_a_conflict_that_loses_neither() {
    for guest in INDEXED {
        for (choice, kept, lost) in [("keep-local", "edited", "inside"), ("keep-remote", "inside", "edited")]
        {
            println!("with {guest}, {choice}:");
            let world = world!();
            let (a, b) = (world.repository("a", guest), world.repository("b", guest));
            a.write("data/t/m/x", "file");
            a.ok(&["push"]);
            b.ok(&["pull"]);
            a.delete("data/t/m/x");
            a.write("data/t/m/x/y", "inside");
            a.ok(&["push"]);
            b.write("data/t/m/x", "edited");
            for command in ["push", "pull"] {
                let ran = b.run(&[command]);
                assert_eq!(ran.code, 65, "{command}: {}", ran.stderr);
                assert!(ran.stderr.contains("data/t/m/x"), "{}", ran.stderr);
                assert_eq!(b.read("data/t/m/x").unwrap(), b"edited");
                assert_eq!(world.objects()["data/t/m/x/y"], b"inside");
            }
            b.ok(&["pull", "--on-conflict", choice]);
            let holds = |found: BTreeMap<String, Vec<u8>>, content: &str| {
                assert_eq!(found.into_values().collect::<Vec<_>>(), [content.as_bytes()]);
            };
            holds(b.files("data"), kept);
            holds(b.files(".lockkeeper/conflicts"), lost);
            b.ok(&["push"]);
            holds(world.fresh(guest), kept);
        }
    }
}

#[test]
fn odd_names_and_empty_files_arrive_as_they_are() {
    for guest in ALL {
        println!("with {guest}:");
        let world = world!();
        let (a, b) = (world.repository("a", guest), world.repository("b", guest));
        for (number, name) in ODD.iter().enumerate() {
            a.write(&format!("data/t/m/{name}"), if number % 3 == 0 { "" } else { name });
            a.write(&format!("data/t/m/in {name}/{name}/{name}"), name);
            a.write(&format!("data/{name}/beside/{name}"), name);
        }
        a.write(&format!("data/t/m/{}", "n".repeat(255)), "a long name");
        a.ok(&["push", "--model", "t/m"]);
        a.ok(&["push"]);
        b.ok(&["pull"]);
        assert_eq!(b.files("data"), a.files("data"));
        assert_eq!(world.objects(), a.files("data"));
        for name in ODD {
            b.write(&format!("data/t/m/{name}"), "edited");
            b.delete(&format!("data/{name}/beside/{name}"));
        }
        b.ok(&["push"]);
        assert_eq!(world.objects(), b.files("data"));
        if guest != "plain" {
            a.ok(&["pull"]);
            assert_eq!(a.files("data"), b.files("data"));
        }
    }
}

#[test]
fn what_cannot_be_synced_is_named_and_left_alone() {
    for guest in ALL {
        println!("with {guest}:");
        let world = world!();
        let (a, b) = (world.repository("a", guest), world.repository("b", guest));
        a.write("secret", "outside of the roots");
        a.write("data/t/m/plain", "content");
        a.write("data/t/m/was-a-file", "content");
        a.ok(&["push"]);
        a.delete("data/t/m/was-a-file");
        let folder = a.folder.join("data/t/m");
        symlink("../../../secret", folder.join("was-a-file")).unwrap();
        symlink("plain", folder.join("link")).unwrap();
        symlink("/", folder.join("to-folder")).unwrap();
        let bytes = folder.join(OsStr::from_bytes(b"not-utf8-\xff"));
        std::fs::write(&bytes, "mine").unwrap();
        assert_eq!(
            std::process::Command::new("mkfifo").arg(folder.join("pipe")).status().unwrap().code(),
            Some(0)
        );

        let status = a.json(&["status"]);
        let skipped: Vec<_> =
            status["skipped"].as_array().unwrap().iter().map(|it| it["path"].as_str().unwrap()).collect();
        let mut names = ["link", "not-utf8-\u{fffd}", "pipe", "to-folder", "was-a-file"]
            .map(|name| format!("data/t/m/{name}"));
        names.sort();
        let mut sorted = skipped.clone();
        sorted.sort();
        assert_eq!(sorted, names);
        assert_eq!(status["changes"].as_array().unwrap().len(), 0, "{status}");
        let said = a.ok(&["status"]).stdout;
        assert!(names.iter().all(|name| said.contains(&name.escape_debug().to_string())), "{said}");

        for arguments in [&["push"][..], &["push", "--model", "t/m"], &["pull"]] {
            a.ok(arguments);
        }
        // Nothing of them was sent, and the file that a link replaced was not deleted.
        assert_eq!(
            world.objects().into_keys().collect::<Vec<_>>(),
            ["data/t/m/plain", "data/t/m/was-a-file"]
        );
        assert_eq!(std::fs::read(&bytes).unwrap(), b"mine");
        assert_eq!(std::fs::read_link(folder.join("was-a-file")).unwrap(), Path::new("../../../secret"));
        b.ok(&["pull"]);
        assert_eq!(b.files("data"), world.objects());
        // A run on the model leaves them alone as well.
        let (ran, _) = a.run_script(&["t/m"], "test -L data/t/m/link");
        assert_eq!(ran.code, 0, "{}", ran.stderr);
    }
}

#[test]
fn permissions_are_not_synced() {
    for guest in ALL {
        let world = world!();
        let (a, b) = (world.repository("a", guest), world.repository("b", guest));
        a.write("data/t/m/script", "#!/bin/sh\n");
        std::fs::set_permissions(a.folder.join("data/t/m/script"), PermissionsExt::from_mode(0o755)).unwrap();
        a.ok(&["push"]);
        b.ok(&["pull"]);
        let mode = b.folder.join("data/t/m/script").metadata().unwrap().mode();
        assert_eq!(mode & 0o111, 0, "{mode:o}");
        // Nor is a change of them alone a change of the file.
        std::fs::set_permissions(b.folder.join("data/t/m/script"), PermissionsExt::from_mode(0o700)).unwrap();
        assert_eq!(b.unpushed(), [""; 0]);
        b.ok(&["pull"]);
        assert_eq!(b.folder.join("data/t/m/script").metadata().unwrap().mode() & 0o777, 0o700);
    }
}

/// A small generator of pseudo-random numbers (SplitMix64): the same seed makes the same test.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    fn content(&mut self) -> Vec<u8> {
        let size = match self.below(100) {
            0..10 => 0,
            10..98 => self.below(200),
            _ => 2_000_000 + self.below(2_000_000),
        };
        let seed = self.next();
        (0..size).map(|at| (seed >> (at % 8 * 8)) as u8 ^ at as u8).collect()
    }
}

/// One repository, the models that only it works on, and what their files must be.
struct Worker<'a> {
    repository: Repository<'a>,
    models: &'a [&'a str],
    files: BTreeMap<String, Vec<u8>>,
}

impl Worker<'_> {
    /// Writes a file, in the place of whatever is in its way.
    fn write(&mut self, path: &str, content: Vec<u8>) {
        let below = format!("{path}/");
        let in_the_way = |other: &str| other.starts_with(&below) || path.starts_with(&format!("{other}/"));
        let gone: Vec<String> = self.files.keys().filter(|other| in_the_way(other)).cloned().collect();
        gone.iter().for_each(|path| self.delete(path));
        let place = self.repository.folder.join(path);
        if place.is_dir() {
            std::fs::remove_dir_all(place).unwrap();
        }
        self.repository.write(path, &content);
        self.files.insert(path.to_owned(), content);
    }

    fn delete(&mut self, path: &str) {
        self.repository.delete(path);
        self.files.remove(path).unwrap();
    }

    fn new_path(&self, random: &mut Random) -> String {
        let mut path = format!("data/{}", random.pick(self.models));
        for _ in 0..=random.below(3) {
            path = format!("{path}/{}", random.pick(&ODD));
        }
        path
    }

    fn edit(&mut self, random: &mut Random) {
        let own: Vec<&String> = self.files.keys().collect();
        let old = if own.is_empty() { None } else { Some((*random.pick(&own)).clone()) };
        match (random.below(10), old) {
            (0..2, Some(old)) => self.delete(&old),
            (2..4, Some(old)) => {
                let content = self.files[&old].clone();
                self.delete(&old);
                let new = self.new_path(random);
                self.write(&new, content);
            }
            (4..7, Some(old)) => {
                // Other bytes of the same size.
                let content = self.files[&old].iter().map(|byte| byte ^ 1).collect();
                self.write(&old, content);
            }
            (7, Some(old)) => {
                let content = random.content();
                self.write(&old, content);
            }
            _ => {
                let (new, content) = (self.new_path(random), random.content());
                self.write(&new, content);
            }
        }
    }

    /// Sends everything, in one of the ways to do so.
    fn push(&self, random: &mut Random) {
        let mut models: Vec<&str> = self.models.iter().flat_map(|model| ["--model", *model]).collect();
        match random.below(4) {
            0 => _ = self.repository.ok(&["push"]),
            1 => _ = self.repository.ok(&[&["push"], &models[..]].concat()),
            2 => {
                models.extend(["--", "true"]);
                self.repository.ok(&[&["run"], &models[..]].concat());
            }
            _ => {
                for model in self.models.iter().rev() {
                    self.repository.ok(&["push", "--model", model]);
                }
            }
        }
        assert_eq!(self.repository.unpushed(), [""; 0]);
    }
}

fn assert_same(found: &BTreeMap<String, Vec<u8>>, expected: &BTreeMap<String, Vec<u8>>, what: &str) {
    let differ = |path: &&String| found.get(*path) != expected.get(*path);
    let paths: Vec<&String> = found.keys().chain(expected.keys()).filter(differ).collect();
    assert!(paths.is_empty(), "{what}: {paths:?} differ");
}

/// Two repositories edit different models at random and sync in turn.
fn random_trees(guest: &str, seed: u64, rounds: usize) {
    let world: World = world!(in &memory());
    let random = &mut Random(seed);
    let worker = |name: &str, models| Worker {
        repository: world.repository(name, guest),
        models,
        files: BTreeMap::new(),
    };
    // Two models of each lie in one another, and the others' names begin alike.
    let mut a = worker("a", &["t/web", "t/web/inner"]);
    let mut b = worker("b", &["t/web-2", "u/x/deep", "u/x"]);
    for round in 0..rounds {
        println!("{guest}, seed {seed}, round {round}");
        for worker in [&mut a, &mut b] {
            for _ in 0..random.below(12) {
                worker.edit(random);
            }
            if random.chance(80) {
                worker.push(random);
            }
            if random.chance(30) {
                worker.edit(random);
            }
        }
        a.push(random);
        b.push(random);
        let all: BTreeMap<_, _> =
            a.files.iter().chain(&b.files).map(|(path, it)| (path.clone(), it.clone())).collect();
        for worker in [&a, &b] {
            worker.repository.ok(&["pull"]);
            assert_same(&worker.repository.files("data"), &all, "cache");
            assert_eq!(worker.repository.unpushed(), [""; 0]);
        }
        assert_same(&world.objects(), &all, "objects of the remote");
        assert_same(&world.fresh(guest), &all, "fresh cache");
    }
    let unfinished = files(&world.remote(), ".lockkeeper");
    assert!(unfinished.keys().all(|path| path.starts_with(".lockkeeper/index/")), "{:?}", unfinished.keys());
}

#[test]
fn random_edits_of_two_repositories_arrive_in_both_with_an_index_for_each_scope() {
    random_trees("filesystem", 1, 20);
}

#[test]
fn random_edits_of_two_repositories_arrive_in_both_with_one_index() {
    random_trees("shared-index", 2, 20);
}
