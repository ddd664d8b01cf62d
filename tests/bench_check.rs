//! Measures how many schedules a second `lockkeeper check` tries: what `make bench-check` prints.
//!
//! Each sample is a process of its own that runs the interleave suite on the filesystem guest, on one thread. The basis is the
//! processor time of the process, which a busy machine does not change much; the clock on the wall is shown beside it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a benchmark"
)]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use lockkeeper_check::{Check, Options, Outcome, Settings, Subject, SuiteName};
use rustix::time::{ClockId, clock_gettime};

const GUEST: &str = "filesystem";
/// How often the suite runs in one sample, each time with another seed.
const SUITES: u64 = 4;
const SAMPLES: usize = 7;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["--sample", compiled] => sample(Path::new(compiled)),
        _ => measure(),
    }
}

/// The processor time of this process so far, in seconds, in the kernel as well.
fn processor_time() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap()).as_secs_f64()
}

/// Runs the suite and prints the schedules, and the seconds of processor and of wall time that they took.
fn sample(compiled: &Path) {
    let bytes = std::fs::read(support::guest(GUEST)).unwrap();
    let subject = Subject::load(&bytes, Settings::folder(), Some(compiled)).unwrap();
    let (began, used) = (Instant::now(), processor_time());
    let mut schedules = 0;
    for seed in 1..=SUITES {
        let options = Options { seed, budget: Duration::from_secs(600), ..Options::default() };
        let verdict = Check::new(&subject, options).only(&[SuiteName::Interleave]).run();
        assert_eq!(verdict.suites[0].outcome, Outcome::Held, "{:#?}", verdict.findings);
        schedules += verdict.suites[0].counts.schedules;
    }
    println!("{schedules} {} {}", processor_time() - used, began.elapsed().as_secs_f64());
}

fn start(compiled: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg("--sample").arg(compiled).env_remove("RUST_BACKTRACE").stdout(Stdio::piped()).spawn().unwrap()
}

/// Schedules in a second of processor time and of wall time.
fn rates(process: Child) -> [f64; 2] {
    let output = process.wait_with_output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let numbers: Vec<f64> = text.split_whitespace().map(|number| number.parse().unwrap()).collect();
    [numbers[0] / numbers[1], numbers[0] / numbers[2]]
}

fn measure() {
    let compiled = tempfile::tempdir().unwrap();
    // The first one compiles.
    rates(start(compiled.path()));
    println!(
        "Schedules a second, interleave suite of the {GUEST} guest: median (lowest to highest) of {SAMPLES}\n"
    );
    println!("  {:<14} {:>28} {:>28}", "processes", "per second of processor", "per second on the wall");
    for processes in [1, 2] {
        let samples: Vec<[f64; 2]> = (0..SAMPLES)
            .map(|_| {
                let running: Vec<Child> = (0..processes).map(|_| start(compiled.path())).collect();
                running.into_iter().map(rates).fold([0.0, 0.0], |sum, one| [sum[0] + one[0], sum[1] + one[1]])
            })
            .collect();
        let column = |kind: usize| {
            let mut values: Vec<f64> = samples.iter().map(|sample| sample[kind]).collect();
            values.sort_by(f64::total_cmp);
            format!("{:.0} ({:.0} to {:.0})", values[values.len() / 2], values[0], values[values.len() - 1])
        };
        println!("  {processes:<14} {:>28} {:>28}", column(0), column(1));
    }
}
