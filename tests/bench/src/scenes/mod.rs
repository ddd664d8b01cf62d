//! What is measured, each with the peers that it has.

mod filled;
mod first_push;
mod scale;
pub mod schedules;
mod size;
pub mod start;
mod warm;
mod writers;

use std::path::Path;

use anyhow::Result;
use support::World;
use support::datastores::credentials;

use crate::figure::Report;

/// One thing to measure.
pub struct Scene {
    /// What it is called on the command line.
    pub name: &'static str,
    /// What is measured.
    pub what: &'static str,
    /// Measures it, with files in a folder of its own.
    pub measure: fn(&Path, &mut Report) -> Result<()>,
}

/// All of them, in the order of the table.
pub const SCENES: &[Scene] = &[
    Scene { name: "size", what: "one changed file in stores of all sizes", measure: size::measure },
    Scene { name: "rclone", what: "one changed file, beside rclone", measure: size::beside_rclone },
    Scene { name: "upload", what: "a first push to S3", measure: first_push::to_s3 },
    Scene { name: "copy", what: "a first push to a folder", measure: first_push::to_a_folder },
    Scene { name: "writers", what: "many writers on as many models", measure: writers::measure },
    Scene { name: "warm", what: "a run with nothing to do", measure: warm::measure },
    Scene { name: "start", what: "until the first instruction of a guest", measure: start::measure },
    Scene { name: "schedules", what: "schedules that a check tries", measure: schedules::measure },
    Scene { name: "scale", what: "ten thousand writers, simulated", measure: scale::measure },
];

/// A world with the optimised command.
fn world(space: &Path) -> Result<World> {
    let bench = std::env::current_exe()?;
    let command = bench.with_file_name("lockkeeper");
    let command = command.to_str().ok_or_else(|| anyhow::anyhow!("{} is no UTF-8", command.display()))?;
    Ok(World::within(command, space).with_environment(credentials()))
}
