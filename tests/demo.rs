//! Takes an inventory of this machine: what `make demo` shows.
//!
//! Two repositories share one remote. Each collects models with real commands through `lockkeeper run`, all at the same
//! time; then each pulls what the other collected. It is done twice: with an extension whose pushes may run side
//! by side, and with one that keeps a single index, so that its pushes queue.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a demonstration"
)]

use std::time::Instant;

use serde_json::Value;
use support::{Ran, Repository, World};

/// Which repository collects which model, with which command.
const MODELS: [(&str, &str, &str); 8] = [
    ("east", "system/cpu", "cat /proc/cpuinfo 2>/dev/null || sysctl machdep.cpu hw.ncpu"),
    ("west", "system/disks", "df -k"),
    ("east", "system/kernel", "uname -a"),
    ("west", "system/memory", "cat /proc/meminfo 2>/dev/null || vm_stat"),
    ("east", "system/mounts", "mount"),
    (
        "west",
        "system/packages",
        "dpkg-query -W 2>/dev/null || brew list --versions 2>/dev/null || ls /usr/bin",
    ),
    ("east", "toolchain/cargo", "cargo --version --verbose"),
    ("west", "toolchain/rust", "rustc --version --verbose"),
];

fn main() {
    let command = std::env::current_exe().unwrap().with_file_name("lockkeeper-under-test");
    assert!(
        command.exists(),
        "{} is not there; build it with `cargo build -p lockkeeper-tests`",
        command.display()
    );
    println!(
        "An inventory of this machine, collected by two repositories, east and west, into one shared folder.\n"
    );

    let scoped = inventory(
        &command,
        "filesystem",
        "declares scoped-sync: one lock for each model, only its files move",
    );
    let exclusive =
        inventory(&command, "shared-index", "one index for everything, so pushes and pulls take turns");

    println!(
        "Longest wait for a lock: {scoped:.1} ms with per-model locks, {exclusive:.1} ms with one index for everything."
    );
}

/// Collects all models at once, and returns the longest wait for a lock in milliseconds.
fn inventory(command: &std::path::Path, guest: &str, about: &str) -> f64 {
    let world = World::new(command.to_str().unwrap());
    let repositories = ["east", "west"].map(|name| world.repository(name, guest));
    for repository in &repositories {
        // The first use compiles the component; later ones find it compiled.
        repository.ok(&["extensions", "add", support::guest(guest).to_str().unwrap()]);
        repository.ok(&["extensions", "inspect", &format!("@lockkeeper/{guest}")]);
    }

    let started = Instant::now();
    let reports: Vec<Value> = std::thread::scope(|scope| {
        let runs: Vec<_> = MODELS
            .map(|(who, model, collect)| {
                let repository = &repositories[usize::from(who == "west")];
                scope.spawn(move || collect_model(repository, model, collect))
            })
            .into();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    let took = started.elapsed();

    println!("@lockkeeper/{guest}: {about}");
    let mut rows = vec![["MODEL", "BY", "WRITTEN", "LOCKS HELD", "WAITED", "SCOPE"].map(str::to_owned)];
    let mut longest = 0.0_f64;
    for ((who, model, _), report) in MODELS.iter().zip(&reports) {
        let list = |key: &str| report[key].as_array().cloned().unwrap_or_default();
        let push = list("calls").into_iter().find(|call| call["direction"] == "push").unwrap_or_default();
        let locks: Vec<String> = list("locks")
            .iter()
            .map(|lock| format!("{} {}", lock["kind"].as_str().unwrap(), lock["mode"].as_str().unwrap()))
            .collect();
        let waited = list("locks").iter().filter_map(|lock| lock["wait_ms"].as_f64()).fold(0.0, f64::max);
        longest = longest.max(waited);
        rows.push([
            (*model).to_owned(),
            (*who).to_owned(),
            format!("{} file, {} bytes", push["files"], push["bytes"]),
            counted(&locks),
            format!("{waited:.1} ms"),
            push["scope"].as_str().unwrap_or("none").to_owned(),
        ]);
    }
    print_table(&rows);

    for repository in &repositories {
        repository.ok(&["pull"]);
    }
    assert_eq!(repositories[0].files("data"), repositories[1].files("data"), "both hold the whole inventory");
    assert_eq!(repositories[0].files("data").len(), MODELS.len());
    println!(
        "{} models in {:.1} s; then each repository pulled the other's: both hold all {} files.\n",
        MODELS.len(),
        took.as_secs_f64(),
        MODELS.len()
    );
    longest
}

fn collect_model(repository: &Repository<'_>, model: &str, collect: &str) -> Value {
    let script = format!("mkdir -p data/{model} && ( {collect} ) > data/{model}/inventory.txt");
    let (ran, report): (Ran, Value) = repository.run_script(&[model], &script);
    assert_eq!(ran.code, 0, "{model}: {}", ran.stderr);
    report
}

/// The texts, each once, with how often it came.
fn counted(texts: &[String]) -> String {
    let mut seen: Vec<(&String, usize)> = Vec::new();
    for text in texts {
        match seen.iter_mut().find(|(other, _)| *other == text) {
            Some((_, count)) => *count += 1,
            None => seen.push((text, 1)),
        }
    }
    let shown = seen
        .iter()
        .map(|(text, count)| if *count == 1 { (*text).clone() } else { format!("{text} x{count}") });
    shown.collect::<Vec<_>>().join(", ")
}

fn print_table(rows: &[[String; 6]]) {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    for row in rows {
        let cells: Vec<String> = (0..6).map(|column| format!("{:<1$}", row[column], width(column))).collect();
        println!("  {}", cells.join("  ").trim_end());
    }
}
