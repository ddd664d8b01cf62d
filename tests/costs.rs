//! What never-changing work costs, in counts: a change that makes it dearer has to say so in `costs.toml`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code"
)]

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use lockkeeper_check::{Actor, Repository, Schedule, Settings, Subject, World, run};
use lockkeeper_names::{CachePath, ModelId, Root, Scope};
use support::servers::Metered;
use support::{guest, memory, world, world_with_credentials};

const FILES: usize = 100;
const MODEL: [&str; 2] = ["--model", "kind/model"];

/// Compares counts with what is written down, and at its end fails with all that are wrong.
#[derive(Default)]
struct Costs(Vec<String>);

impl Costs {
    /// Expects a count to be at most what is written down. A number that is far too large guards nothing, so that is wrong as well.
    fn expect(&mut self, what: &str, work: &str, spent: u64) {
        let bounds: toml::Table = include_str!("costs.toml").parse().unwrap();
        let most = u64::try_from(bounds[what][work].as_integer().unwrap()).unwrap();
        println!("{what}, {work}: {spent} of {most}");
        if spent > most {
            self.0.push(format!("{work} costs {spent} {what}; tests/costs.toml allows {most}"));
        } else if most > 2 * spent {
            self.0.push(format!("{work} costs {spent} {what} only; lower the {most} in tests/costs.toml"));
        }
    }

    fn check(self) {
        assert!(self.0.is_empty(), "{}", self.0.join("\n"));
    }
}

fn content(file: usize) -> String {
    format!("content of {file}")
}

#[test]
fn requests_and_bytes_to_s3() {
    let store = Metered::start(Duration::ZERO);
    let world = world_with_credentials!(in &memory());
    let repository = world.repository("a", "s3");
    let origin = format!("http://{}", store.address());
    repository.write(
        "lockkeeper.toml",
        format!(
            "[datastore]\nextension = \"@lockkeeper/s3\"\n\
             [datastore.config]\nbucket = \"bucket\"\nendpoint = {origin:?}\n\
             [datastore.grants]\nhttp = [{origin:?}]\n\
             [datastore.auth]\n{origin:?} = {{ scheme = \"aws-sigv4\", region = \"eu-west-1\" }}\n"
        ),
    );
    for file in 0..FILES {
        repository.write(&format!("data/kind/model/file-{file:03}"), content(file));
    }
    repository.ok(&["push"]);
    // What is found out once about the store isn't counted.
    repository.write("data/kind/model/file-006", "changed");
    repository.ok(&[&["push"], &MODEL[..]].concat());
    let mut costs = Costs::default();
    let mut spends = |work: &str, arguments: &[&str]| {
        store.remote.traffic();
        repository.ok(arguments);
        let traffic = store.remote.traffic();
        costs.expect("requests", work, traffic.requests);
        costs.expect("bytes", work, traffic.bytes);
    };
    spends("pull-of-nothing", &[&["pull"], &MODEL[..]].concat());
    repository.write("data/kind/model/file-007", "changed");
    spends("push-of-one-file", &[&["push"], &MODEL[..]].concat());
    let file = repository.folder.join("data/kind/model/file-008");
    let script = format!("echo changed > '{}'", file.display());
    spends("run-with-one-file", &[&["run"], &MODEL[..], &["--", "sh", "-c", &script]].concat());
    costs.check();
}

#[test]
fn calls_and_instructions_of_the_folder_extension() {
    let component = std::fs::read(guest("filesystem")).unwrap();
    let compiled = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/check-compiled");
    let subject = Subject::load(&component, Settings::folder(), Some(&compiled)).unwrap();
    let mut world = World::new(&subject, 1);
    let scope = Scope::new(&Root::parse("data").unwrap(), &ModelId::parse("kind/model").unwrap());
    let path =
        |file: usize| -> CachePath { CachePath::parse(&format!("data/kind/model/file-{file:03}")).unwrap() };
    let mut repository = Repository::new();
    (0..FILES).for_each(|file| repository.write(&path(file), content(file)));
    world.push(&subject, &mut repository, Some(&scope)).unwrap().result.unwrap();
    let mut costs = Costs::default();
    let mut spends = |work: &str, actor: Actor| {
        let ran = run(&subject, &mut world, vec![actor], &Schedule::default());
        let end = ran.ends.into_iter().next().unwrap();
        end.result.unwrap();
        costs.expect("guest-instructions", work, end.instructions);
        costs.expect("host-calls", work, ran.events.len() as u64);
    };
    spends("pull-of-nothing", Actor::pull(repository.clone(), Some(&scope)));
    repository.write(&path(7), "changed");
    spends("push-of-one-file", Actor::push(repository, Some(&scope)));
    costs.check();
}

#[test]
fn instructions_of_a_run_with_nothing_to_do() {
    if Command::new("valgrind").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "valgrind is not installed");
        eprintln!("SKIPPED: valgrind is not installed");
        return;
    }
    let world = world!();
    let repository = world.repository("a", "plain");
    // A file that was just written is read at each start.
    let extension = repository.folder.join("extensions/plain.wasm");
    std::fs::remove_file(&extension).unwrap();
    std::os::unix::fs::symlink(guest("plain"), extension).unwrap();
    for file in 0..FILES {
        repository.write(&format!("data/kind/model/file-{file:03}"), content(file));
    }
    repository.ok(&["push"]);
    let run = repository.command(&[&["run"], &MODEL[..], &["--", "true"]].concat());
    let counted = || {
        let mut command = Command::new("valgrind");
        command
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg(run.get_program())
            .args(run.get_args());
        for (name, value) in run.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        let line = said.lines().find_map(|line| line.split_once("Collected : ")).expect("a count");
        line.1.trim().parse::<u64>().unwrap()
    };
    // Valgrind's processor has features of its own, so the first one compiles. (So it is a small extension.)
    counted();
    let mut costs = Costs::default();
    costs.expect("instructions", "run-with-nothing-to-do", counted());
    costs.check();
}
