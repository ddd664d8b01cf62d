//! A first push, beside a native program that does the same to the same place.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use fastrand::Rng;
use support::servers::Metered;
use support::{Repository, World};

use super::world;
use crate::contest::{Spread, milliseconds, ratio, take_turns};
use crate::figure::{Bar, Figure, Report, number};
use crate::process::{Took, took};
use crate::store::configure;

/// What is pushed: how many files of which size.
#[derive(Clone, Copy)]
struct Load {
    name: &'static str,
    files: usize,
    size: usize,
    rounds: usize,
}

const LOADS: [Load; 2] = [
    Load { name: "10,000 x 4 KiB", files: 10_000, size: 4 << 10, rounds: 5 },
    Load { name: "8 x 256 MiB", files: 8, size: 256 << 20, rounds: 3 },
];

impl Load {
    /// Writes the files, which no one can make smaller.
    fn write(self, folder: &Path) -> Result<()> {
        let mut random = Rng::with_seed(6);
        let mut piece = vec![0; self.size.min(1 << 20)];
        for number in 0..self.files {
            let folder = folder.join(format!("folder-{:02}", number % 100));
            fs::create_dir_all(&folder)?;
            let mut file = fs::File::create(folder.join(format!("file-{number:05}")))?;
            for _ in 0..self.size / piece.len() {
                random.fill(&mut piece);
                file.write_all(&piece)?;
            }
        }
        Ok(())
    }
}

const MODEL: &str = "kind/model";

/// A repository that has the files and never synced.
fn fresh<'a>(world: &'a World, files: &Path, name: &str, extension: &str) -> Result<Repository<'a>> {
    let repository = world.repository(name, extension);
    let data = repository.folder.join("data").join(MODEL);
    fs::create_dir_all(data.with_file_name(""))?;
    fs::rename(files, &data)?;
    Ok(repository)
}

/// Gives the files back for the next one.
fn give_back(repository: &Repository, files: &Path) -> Result<()> {
    fs::rename(repository.folder.join("data").join(MODEL), files)?;
    fs::remove_dir_all(&repository.folder)?;
    Ok(())
}

fn compare(report: &mut Report, what: &str, against: &str, bar: f64, ours: &[Took], theirs: &[Took]) {
    let times = |samples: &[Took]| samples.iter().map(|took| milliseconds(took.time)).collect::<Vec<_>>();
    let busy = |samples: &[Took]| Spread::of(samples.iter().map(|took| milliseconds(took.processor))).median;
    let (mine, others) = (times(ours), times(theirs));
    report.add(Figure {
        what: what.into(),
        against: against.into(),
        value: ratio(&mine, &others),
        unit: "",
        bar: Bar::AtMost(bar),
        detail: format!(
            "{} and {} ms; busy {} and {} ms",
            number(Spread::of(mine).median),
            number(Spread::of(others).median),
            number(busy(ours)),
            number(busy(theirs)),
        ),
    });
}

/// To S3, beside a program on the crate `object_store`.
pub fn to_s3(space: &Path, report: &mut Report) -> Result<()> {
    for load in LOADS {
        let world = world(space)?;
        let server = Metered::start(Duration::ZERO);
        let empty = server.remote.inner.snapshot();
        let endpoint = format!("http://{}", server.address());
        let files = world.path("files");
        load.write(&files)?;
        let mut ours = |_| {
            let repository = fresh(&world, &files, "cache", "s3")?;
            configure(&repository, &server, "@lockkeeper/s3", "");
            let took = took(&repository.command(&["push", "--model", MODEL]))?;
            give_back(&repository, &files)?;
            server.remote.inner.restore(&empty);
            server.remote.traffic();
            Ok(took)
        };
        let mut native = |_| {
            let mut command = Command::new(std::env::current_exe()?);
            command.arg("--upload").arg(&files).args([&endpoint, "native"]);
            let took = took(&command)?;
            server.remote.inner.restore(&empty);
            server.remote.traffic();
            Ok(took)
        };
        let samples = take_turns(load.rounds, &mut [&mut ours, &mut native])?;
        let [ours, native] = samples.as_slice() else { continue };
        compare(
            report,
            &format!("first push to S3, {}", load.name),
            "object_store, native",
            1.05,
            ours,
            native,
        );
        if load.size > 1 << 20 {
            report.add(Figure {
                what: format!("memory of that push, {}", load.name),
                against: String::new(),
                value: Spread::of(ours.iter().map(|took| took.memory as f64 / f64::from(1 << 20))),
                unit: " MiB",
                bar: Bar::AtMost(64.0),
                detail: "the process at its largest".into(),
            });
        }
    }
    Ok(())
}

/// To a folder on a disk, beside `cp -r` and as many syncs as make it durable.
pub fn to_a_folder(space: &Path, report: &mut Report) -> Result<()> {
    for load in LOADS {
        let world = world(space)?;
        let files = world.path("files");
        load.write(&files)?;
        let remote = world.remote();
        let empty = || -> Result<()> {
            fs::remove_dir_all(&remote)?;
            Ok(fs::create_dir(&remote)?)
        };
        let mut ours = |_| {
            let repository = fresh(&world, &files, "cache", "filesystem")?;
            let took = took(&repository.command(&["push", "--model", MODEL]))?;
            give_back(&repository, &files)?;
            empty()?;
            Ok(took)
        };
        let mut native = |_| {
            let mut command = Command::new("sh");
            let script = r#"cp -r "$0" "$1/copy" && find "$1/copy" -print0 | xargs -0 sync"#;
            command.args(["-c", script]).arg(&files).arg(&remote);
            let took = took(&command)?;
            empty()?;
            Ok(took)
        };
        let samples = take_turns(load.rounds, &mut [&mut ours, &mut native])?;
        let [ours, native] = samples.as_slice() else { continue };
        compare(
            report,
            &format!("first push to a folder, {}", load.name),
            "cp -r, then sync of each",
            1.1,
            ours,
            native,
        );
    }
    Ok(())
}
