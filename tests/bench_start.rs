//! Measures the time from the start of a process to the first guest instruction, with warm caches: what `make bench-start` prints.
//!
//! Each sample is a process of its own, since the first engine of a process costs more than later ones.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a benchmark"
)]

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lockkeeper_sandbox::{Events, Grants, Limits, LogLevel, Network, Sandbox, Secrets, Setting, inspect};

const SAMPLES: usize = 20;
const STEPS: [&str; 5] = ["read and hash", "engine", "load", "link", "instantiate"];

struct Silent;

impl Events for Silent {
    fn log(&self, _level: LogLevel, _message: &str) {}
    fn progress(&self, _files: u64, _bytes: u64, _total_bytes: Option<u64>) {}
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    match (arguments.next().as_deref(), arguments.next(), arguments.next()) {
        (Some("--sample"), Some(guest), Some(cache)) => sample(&guest, &cache),
        _ => measure(),
    }
}

/// Starts one guest and prints the microseconds of each step, and of all.
fn sample(guest: &str, cache: &str) {
    let started = Instant::now();
    let bytes = Sandbox::read(guest.as_ref()).unwrap();
    let identity = inspect(&bytes).unwrap();
    let read = started.elapsed();
    let limits = Limits::default();
    let sandbox = Sandbox::new(&limits, Some(cache.into())).unwrap();
    let (extension, times) = sandbox.load(&identity, &bytes).unwrap();
    let setting = Setting {
        config: Vec::new(),
        secrets: Secrets::default(),
        network: Network::default(),
        grants: Grants::default(),
        limits,
        events: Arc::new(Silent),
        stop: tokio_util::sync::CancellationToken::new(),
        permit: std::sync::Arc::new(()),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let instantiate = runtime.block_on(extension.instantiate(&setting)).unwrap();
    let all = started.elapsed();
    let micros = |duration: Duration| duration.as_secs_f64() * 1e6;
    let steps = [read, times.engine, times.load, times.link, instantiate, all].map(micros);
    println!("{}", steps.map(|step| format!("{step:.1}")).join(" "));
}

fn measure() {
    let cache = tempfile::tempdir().unwrap();
    println!("Start to first guest instruction, warm: median of {SAMPLES} processes, in milliseconds\n");
    println!("  {:<20} {:>8} {}", "guest", "all", STEPS.map(|step| format!("{step:>20}")).join(""));
    for guest in ["plain", "filesystem"] {
        let path = support::guest(guest);
        let mut samples: Vec<Vec<f64>> = (0..=SAMPLES)
            .map(|_| {
                let output = Command::new(std::env::current_exe().unwrap())
                    .args(["--sample", path.to_str().unwrap(), cache.path().to_str().unwrap()])
                    .output()
                    .unwrap();
                let text = String::from_utf8(output.stdout).unwrap();
                text.split_whitespace().map(|number| number.parse().unwrap()).collect()
            })
            .collect();
        // The first one compiles.
        samples.remove(0);
        let median = |step: usize| {
            let mut values: Vec<f64> = samples.iter().map(|sample| sample[step]).collect();
            values.sort_by(f64::total_cmp);
            values[values.len() / 2] / 1000.0
        };
        let all = median(STEPS.len());
        let shares: String = (0..STEPS.len())
            .map(|step| format!("{:>12.3} ({:>3.0}%)", median(step), 100.0 * median(step) / all))
            .collect();
        println!("  {guest:<20} {all:>8.3} {shares}");
    }
}
