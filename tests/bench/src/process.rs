//! One process, with what it took.

use std::ffi::OsStr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use serde::{Deserialize, Serialize};

/// What a process took, with all that it waited for.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Took {
    /// From its start to its end.
    pub time: Duration,
    /// On all cores, in the program and in the kernel.
    pub processor: Duration,
    /// The most memory that it had at once, in bytes.
    pub memory: u64,
}

/// Runs a command to its end, which must be a success. It is started by a small process of its own, since the kernel counts
/// memory by parent.
pub fn took(command: &Command) -> Result<Took> {
    let mut sampler = Command::new(std::env::current_exe()?);
    sampler.arg("--sample").arg(command.get_program()).args(command.get_args());
    if let Some(folder) = command.get_current_dir() {
        sampler.current_dir(folder);
    }
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => sampler.env(name, value),
            None => sampler.env_remove(name),
        };
    }
    let output = sampler.stdin(Stdio::null()).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{:?}: {said}", command.get_program());
    serde_json::from_slice(&output.stdout).with_context(|| format!("{:?}: {said}", command.get_program()))
}

/// Runs a command and prints what it took.
pub fn sample(command: &[impl AsRef<OsStr>]) -> Result<()> {
    let (program, arguments) = command.split_first().context("no command")?;
    let started = Instant::now();
    let output =
        Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::piped()).output()?;
    let time = started.elapsed();
    ensure!(output.status.success(), "{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let took = Took {
        time,
        processor: duration(usage.user_time()) + duration(usage.system_time()),
        memory: u64::try_from(usage.max_rss())? * 1024,
    };
    println!("{}", serde_json::to_string(&took)?);
    Ok(())
}

fn duration(time: TimeVal) -> Duration {
    let micros = time.tv_sec() * 1_000_000 + time.tv_usec();
    Duration::from_micros(u64::try_from(micros).unwrap_or_default())
}
