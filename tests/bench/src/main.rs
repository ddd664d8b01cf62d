//! What `make bench` runs: the command beside its peers, contenders by turns within one run, as ratios with their spread.
//!
//! Prints one table. Writes the same as JSON, and a plot of each curve, to `target/bench/`. Servers are its own, on loopback.

mod contest;
mod figure;
mod peers;
mod process;
mod scenes;
mod store;

use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};

use figure::Report;
use scenes::SCENES;

/// As the command has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        // What it starts itself, each in a process of its own.
        ["--sample", command @ ..] => process::sample(command),
        ["--upload", folder, endpoint, prefix] => peers::upload(Path::new(folder), endpoint, prefix),
        ["--start", guest, pinned, compiled] => {
            scenes::start::ours(Path::new(guest), pinned, Path::new(compiled))
        }
        ["--start-precompiled", file] => scenes::start::theirs(Path::new(file)),
        ["--schedules", compiled] => scenes::schedules::sample(Path::new(compiled)),
        ["--help" | "-h"] => {
            let names: Vec<_> = SCENES.iter().map(|scene| scene.name).collect();
            println!("bench [SCENE…], by default all of: {}", names.join(" "));
            Ok(())
        }
        names => measure(names),
    }
}

/// The folder of results and of what is measured: on a disk, since syncing files is part of the work.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/bench")
}

fn measure(names: &[&str]) -> Result<()> {
    if let Some(unknown) = names.iter().find(|name| SCENES.iter().all(|scene| scene.name != **name)) {
        bail!("there is no scene {unknown:?}; `bench --help` lists them");
    }
    let folder = folder();
    std::fs::create_dir_all(&folder)?;
    let folder = folder.canonicalize()?;
    let (mut report, mut failed) = (Report::default(), Vec::new());
    for scene in SCENES.iter().filter(|scene| names.is_empty() || names.contains(&scene.name)) {
        eprintln!("{}: {}", scene.name, scene.what);
        let space = tempfile::Builder::new().prefix("measured-").tempdir_in(&folder)?;
        if let Err(error) = (scene.measure)(space.path(), &mut report) {
            eprintln!("  failed: {error:#}");
            failed.push(scene.name);
        }
    }
    report.write(&folder)?;
    print!("{report}");
    println!("\nas JSON and plots: {}", folder.display());
    ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    Ok(())
}
