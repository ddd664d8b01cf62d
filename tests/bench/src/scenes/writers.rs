//! Many writers on as many models, with a store that is 20 ms away.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use support::servers::{InProcess, Metered};
use support::{World, guest};
use wasmparser::{Parser, Payload};

use super::world;
use crate::contest::Spread;
use crate::figure::{Bar, Curve, Figure, Report, number};
use crate::store::configure;

const DISTANCE: Duration = Duration::from_millis(20);
const WRITERS: [usize; 7] = [1, 2, 4, 8, 16, 32, 64];
/// How many runs each writer makes.
const RUNS: usize = 6;
const ROUNDS: usize = 3;

/// Whether the extension keeps its promise to itself.
#[derive(Clone, Copy, PartialEq)]
enum Promise {
    Declared,
    TakenOut,
}

/// So many writers at once: how many runs per second there were, and how busy this machine was, in cores.
fn together(
    world: &World,
    server: &InProcess<Metered>,
    promise: Promise,
    writers: usize,
) -> Result<(f64, f64)> {
    let repositories: Vec<_> = (0..writers)
        .map(|writer| {
            let repository = world.repository(&format!("cache-{writer}"), "s3");
            let prefix = if promise == Promise::Declared { "scoped" } else { "unscoped" };
            configure(&repository, server, "@lockkeeper/s3", prefix);
            if promise == Promise::TakenOut {
                fs::write(repository.folder.join("extensions/s3.wasm"), without_promise()?)?;
                let pins = repository.folder.join("lockkeeper.lock");
                if pins.exists() {
                    fs::remove_file(pins)?;
                }
            }
            Ok(repository)
        })
        .collect::<Result<_>>()?;
    let busy = processor_time()?;
    let started = Instant::now();
    std::thread::scope(|scope| -> Result<()> {
        let mut threads = Vec::new();
        for (writer, repository) in repositories.iter().enumerate() {
            threads.push(scope.spawn(move || -> Result<()> {
                let model = format!("kind/{writer:02}");
                for run in 0..RUNS {
                    let script = format!("mkdir -p data/{model} && echo {run} >> data/{model}/file");
                    let mut command = repository.script(&[&model], &script, &["--wait", "10m"]);
                    let output = command.output()?;
                    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
                }
                Ok(())
            }));
        }
        for thread in threads {
            thread.join().map_err(|_| anyhow::anyhow!("a writer panicked"))??;
        }
        Ok(())
    })?;
    let time = started.elapsed().as_secs_f64();
    Ok(((writers * RUNS) as f64 / time, (processor_time()? - busy) / time))
}

/// How long all cores have worked so far, in seconds.
fn processor_time() -> Result<f64> {
    let text = fs::read_to_string("/proc/stat")?;
    let line = text.lines().next().context("nothing in /proc/stat")?;
    let ticks: Vec<f64> = line.split_whitespace().skip(1).filter_map(|number| number.parse().ok()).collect();
    // Idle, and waiting for a disk.
    let idle: f64 = ticks.iter().skip(3).take(2).sum();
    Ok((ticks.iter().take(8).sum::<f64>() - idle) / 100.0)
}

/// The same component, that doesn't export `capabilities`: the export has another name.
fn without_promise() -> Result<Vec<u8>> {
    const NAME: &[u8] = b"lockkeeper:datastore/capabilities@";
    let mut component = fs::read(guest("s3"))?;
    let mut depth = 0_u32;
    let mut exports = None;
    for payload in Parser::new(0).parse_all(&component) {
        match payload? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentExportSection(section) if depth == 0 => {
                let range = section.range();
                let bytes = component.get(range.clone()).context("no such section")?;
                if let Some(at) = bytes.windows(NAME.len()).position(|name| name == NAME) {
                    exports = Some(range.start + at);
                }
            }
            _ => {}
        }
    }
    let at = exports.context("it exports no capabilities")?;
    let name = component.get_mut(at..at + NAME.len()).context("it has no name")?;
    name.copy_from_slice(b"lockkeeper:datastore/incapability@");
    Ok(component)
}

/// Compares many writers with one.
pub fn measure(space: &Path, report: &mut Report) -> Result<()> {
    let server = Metered::start(DISTANCE);
    let world = world(space)?;
    let mut lines = Vec::new();
    for (promise, name) in [(Promise::Declared, "scoped"), (Promise::TakenOut, "unscoped")] {
        // The first one finds out what the store can do, and compiles.
        together(&world, &server, promise, 64)?;
        let mut samples = vec![Vec::new(); WRITERS.len()];
        for _ in 0..ROUNDS {
            for (writers, samples) in WRITERS.iter().zip(&mut samples) {
                // Without the promise it is one after the other: what 64 take is 64 times what one takes.
                if promise == Promise::Declared || *writers <= 16 {
                    samples.push(together(&world, &server, promise, *writers)?);
                }
            }
        }
        let alone: Vec<f64> = samples.first().into_iter().flatten().map(|(rate, _)| *rate).collect();
        let mut points = Vec::new();
        for (writers, samples) in WRITERS.iter().zip(&samples).filter(|(_, samples)| !samples.is_empty()) {
            let speedup = Spread::of(samples.iter().zip(&alone).map(|((rate, _), alone)| rate / alone));
            let rate = Spread::of(samples.iter().map(|(rate, _)| *rate)).median;
            let busy = Spread::of(samples.iter().map(|(_, busy)| *busy)).median;
            points.push((*writers as f64, rate));
            if *writers == 1 {
                continue;
            }
            // Beyond that, writers wait for a core as well, and not for the store alone.
            let crowded = busy > std::thread::available_parallelism()?.get() as f64 / 2.0;
            let bar = match promise {
                Promise::Declared if !crowded => Bar::AtLeast(0.9 * *writers as f64),
                _ => Bar::None,
            };
            let limit = if crowded { "; they share them with the server" } else { "" };
            report.add(Figure {
                what: format!("{writers} writers on {writers} models, {name}, S3 at 20 ms"),
                against: "one writer".into(),
                value: speedup,
                unit: " times",
                bar,
                detail: format!("{} runs/s, {} cores busy{limit}", number(rate), number(busy)),
            });
        }
        lines.push((name.to_owned(), points));
    }
    report.curves.push(Curve {
        name: "writers",
        title: "Writers on as many models, S3 at 20 ms".into(),
        x: "writers",
        y: "runs per second",
        lines,
    });
    Ok(())
}
