//! One changed file of one model: what it costs in stores of all sizes, and beside `rclone`.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use support::servers::{InProcess, Metered, Traffic};
use support::{Repository, World};

use super::filled::{FILES, MODEL, multiply_folder, multiply_objects, write_template};
use super::world;
use crate::contest::{Spread, milliseconds, ratio, take_turns};
use crate::figure::{Bar, Curve, Figure, Report, number};
use crate::peers;
use crate::process::{Took, took};
use crate::store::configure;

/// The sizes of stores, in models.
const MODELS: [usize; 4] = [10, 100, 1_000, 10_000];
const ROUNDS: usize = 15;

/// A store of some size, with a repository that has all of it.
struct Filled {
    world: World,
    server: Option<InProcess<Metered>>,
}

/// What one run took.
struct Cost {
    took: Took,
    traffic: Traffic,
}

impl Filled {
    fn new(space: &Path, models: usize, s3: bool) -> Result<Self> {
        let world = world(space)?;
        let server = s3.then(|| Metered::start(Duration::ZERO));
        let filled = Self { world, server };
        let repository = filled.repository();
        write_template(&repository);
        repository.ok(&["push"]);
        match &filled.server {
            Some(server) => multiply_objects(&server.remote, models),
            None => multiply_folder(&filled.world.remote(), models)?,
        }
        repository.ok(&["pull", "--model", MODEL]);
        // The files of the other models are there as well; what is worked on is one model.
        std::fs::rename(repository.folder.join("data").join(MODEL), repository.folder.join("kept"))?;
        multiply_folder(&repository.folder.join("data"), models)?;
        std::fs::remove_dir_all(repository.folder.join("data").join(MODEL))?;
        std::fs::rename(repository.folder.join("kept"), repository.folder.join("data").join(MODEL))?;
        Ok(filled)
    }

    fn repository(&self) -> Repository<'_> {
        let extension = if self.server.is_some() { "s3" } else { "filesystem" };
        let repository = self.world.repository("cache", extension);
        if let Some(server) = &self.server {
            configure(&repository, server, "@lockkeeper/s3", "");
        }
        repository
    }

    /// A run that changes one file.
    fn change(&self, content: &str) -> Command {
        self.repository().script(&[MODEL], &format!("echo {content} > data/{MODEL}/file-007"), &[])
    }

    fn cost(&self, round: usize) -> Result<Cost> {
        let command = self.change(&format!("round {round}"));
        let traffic = || self.server.as_ref().map(|server| server.remote.traffic());
        traffic();
        let took = took(&command)?;
        Ok(Cost { took, traffic: traffic().unwrap_or(Traffic { requests: 0, bytes: 0 }) })
    }
}

/// Compares each size with the smallest one.
pub fn measure(space: &Path, report: &mut Report) -> Result<()> {
    let mut lines = Vec::new();
    for s3 in [false, true] {
        let place = if s3 { "S3" } else { "folder" };
        let stores =
            MODELS.iter().map(|models| Filled::new(space, *models, s3)).collect::<Result<Vec<_>>>()?;
        let mut runs: Vec<_> = stores.iter().map(|store| |round| store.cost(round)).collect();
        let mut runs: Vec<&mut dyn FnMut(usize) -> Result<Cost>> =
            runs.iter_mut().map(|run| run as &mut dyn FnMut(usize) -> Result<Cost>).collect();
        let samples = take_turns(ROUNDS, &mut runs)?;
        let [small, .., large] = samples.as_slice() else { continue };
        let mut compare = |what: &str, unit: &str, of: &dyn Fn(&Cost) -> f64| {
            let values = |samples: &[Cost]| samples.iter().map(of).collect::<Vec<_>>();
            let (small, large) = (values(small), values(large));
            report.add(Figure {
                what: format!("one changed file, {place}, {what}: 1,000,000 files"),
                against: "1,000 files".into(),
                value: ratio(&large, &small),
                unit: "",
                bar: Bar::AtMost(1.1),
                detail: format!(
                    "{} and {} {unit}",
                    number(Spread::of(large).median),
                    number(Spread::of(small).median)
                ),
            });
        };
        compare("time", "ms", &|cost| milliseconds(cost.took.time));
        compare("memory", "MiB", &|cost| cost.took.memory as f64 / f64::from(1 << 20));
        if s3 {
            compare("requests", "requests", &|cost| cost.traffic.requests as f64);
            compare("bytes", "bytes", &|cost| cost.traffic.bytes as f64);
        }
        let points = MODELS.iter().zip(&samples).map(|(models, samples)| {
            let time = Spread::of(samples.iter().map(|cost| milliseconds(cost.took.time)));
            ((models * FILES) as f64, time.median)
        });
        lines.push((place.to_owned(), points.collect()));
    }
    report.curves.push(Curve {
        name: "size",
        title: "A scoped run that changes one file".into(),
        x: "files in the store",
        y: "milliseconds",
        lines,
    });
    Ok(())
}

/// Compares with `rclone copy` of the model's folder, and of everything, where one file changed.
pub fn beside_rclone(space: &Path, report: &mut Report) -> Result<()> {
    peers::install()?;
    let store = Filled::new(space, 1_000, true)?;
    let Some(server) = &store.server else { return Ok(()) };
    let repository = store.repository();
    let (model, all) = (repository.folder.join("data").join(MODEL), repository.folder.join("data"));
    // Its own copy of everything, as it would have made it.
    for (path, content) in support::files(&repository.folder, "data") {
        server.remote.inner.insert(&format!("rclone/{path}"), content);
    }
    let endpoint = format!("http://{}", server.address());
    let change = |content: String| repository.write(&format!("data/{MODEL}/file-008"), content);
    let mut ours = |round: usize| Ok(milliseconds(store.cost(round)?.took.time));
    let mut one = |round: usize| {
        change(format!("one {round}"));
        let command = peers::rclone(&model, &endpoint, &format!("rclone/data/{MODEL}"));
        Ok(milliseconds(took(&command)?.time))
    };
    let mut whole = |round: usize| {
        change(format!("all {round}"));
        Ok(milliseconds(took(&peers::rclone(&all, &endpoint, "rclone/data"))?.time))
    };
    let samples = take_turns(3, &mut [&mut ours, &mut one, &mut whole])?;
    let [ours, one, whole] = samples.as_slice() else { return Ok(()) };
    for (what, theirs, bar) in [("that model's folder", one, 0.25), ("the whole tree", whole, 0.01)] {
        report.add(Figure {
            what: "one changed file, S3, 100,000 files".into(),
            against: format!("rclone copy of {what}"),
            value: ratio(ours, theirs),
            unit: "",
            bar: Bar::AtMost(bar),
            detail: format!(
                "{} and {} ms",
                number(Spread::of(ours.iter().copied()).median),
                number(Spread::of(theirs.iter().copied()).median)
            ),
        });
    }
    Ok(())
}
