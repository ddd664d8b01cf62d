//! How many schedules a second a check tries.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use lockkeeper_check::{Check, Options, Outcome, Settings, Subject, SuiteName};
use nix::time::{ClockId, clock_gettime};
use support::guest;

use crate::contest::Spread;
use crate::figure::{Bar, Figure, Report, number};

/// How often the suite runs in one sample, each time with another seed.
const SUITES: u64 = 4;
const SAMPLES: usize = 7;

/// The processor time of this process so far, in the kernel as well.
fn processor_time() -> Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)?.into())
}

/// Runs the interleave suite on the filesystem guest, on one thread. Prints the schedules, and the seconds of processor and of wall time.
pub fn sample(compiled: &Path) -> Result<()> {
    let subject = Subject::load(&fs::read(guest("filesystem"))?, Settings::folder(), Some(compiled))?;
    let (began, used) = (Instant::now(), processor_time()?);
    let mut schedules = 0;
    for seed in 1..=SUITES {
        let options = Options { seed, budget: Duration::from_secs(600), ..Options::default() };
        let verdict = Check::new(&subject, options).only(&[SuiteName::Interleave]).run();
        let suite = verdict.suites.first().context("no suite ran")?;
        ensure!(suite.outcome == Outcome::Held, "{:#?}", verdict.findings);
        schedules += suite.counts.schedules;
    }
    let used = (processor_time()? - used).as_secs_f64();
    println!("{schedules} {used} {}", began.elapsed().as_secs_f64());
    Ok(())
}

fn start(compiled: &Path) -> Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--schedules").arg(compiled).env_remove("RUST_BACKTRACE").stdout(Stdio::piped());
    Ok(command.spawn()?)
}

/// Schedules in a second of processor time, and of wall time.
fn rates(process: Child) -> Result<[f64; 2]> {
    let output = process.wait_with_output()?;
    ensure!(output.status.success(), "a check failed");
    let text = String::from_utf8(output.stdout)?;
    let numbers: Vec<f64> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    let [schedules, used, passed] = numbers.as_slice() else { anyhow::bail!("no numbers: {text}") };
    Ok([schedules / used, schedules / passed])
}

/// One process on one core, and two at once.
pub fn measure(space: &Path, report: &mut Report) -> Result<()> {
    let compiled = space.join("compiled");
    // The first one compiles.
    rates(start(&compiled)?)?;
    let mut alone = f64::NAN;
    for processes in [1, 2] {
        let mut samples = Vec::new();
        for _ in 0..SAMPLES {
            let running = (0..processes).map(|_| start(&compiled)).collect::<Result<Vec<_>>>()?;
            let rates = running.into_iter().map(rates).collect::<Result<Vec<_>>>()?;
            samples.push(rates.iter().fold([0.0; 2], |sum, one| [sum[0] + one[0], sum[1] + one[1]]));
        }
        let wall = Spread::of(samples.iter().map(|[_, wall]| *wall));
        let detail = format!(
            "{} in a second of processor time",
            number(Spread::of(samples.iter().map(|[used, _]| *used)).median)
        );
        if processes == 1 {
            alone = wall.median;
            report.add(Figure {
                what: "check, filesystem guest, interleave suite".into(),
                against: "one core".into(),
                value: wall,
                unit: " schedules/s",
                bar: Bar::AtLeast(1500.0),
                detail,
            });
        } else {
            report.add(Figure {
                what: format!("the same in {processes} processes"),
                against: "one process".into(),
                value: Spread::of(samples.iter().map(|[_, wall]| wall / alone)),
                unit: " times",
                bar: Bar::AtLeast(1.8),
                detail,
            });
        }
    }
    Ok(())
}
