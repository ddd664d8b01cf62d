//! What a run costs that has nothing to do.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::filled::write_template;
use super::world;
use crate::contest::{Spread, milliseconds, ratio, take_turns};
use crate::figure::{Bar, Figure, Report, number};
use crate::peers;
use crate::process::took;

/// Compares with `flock` and `rsync`, there and back.
pub fn measure(space: &Path, report: &mut Report) -> Result<()> {
    peers::install()?;
    let world = world(space)?;
    let repository = world.repository("cache", "filesystem");
    write_template(&repository);
    repository.ok(&["push"]);
    let mut run = repository.command(&["run", "--model", "kind/0000"]);
    run.args(["--", "true"]);
    let copy = world.path("copy");
    let script = r#"mkdir -p "$1" && rsync -a "$1/" "$0/" && true && rsync -a "$0/" "$1/""#;
    let mut rsync = Command::new("flock");
    rsync
        .arg(world.path("lock"))
        .args(["sh", "-c", script])
        .arg(repository.folder.join("data/kind/0000"))
        .arg(&copy);
    // Both ways in one: the first time fills the copy.
    let mut once = Command::new("flock");
    let script = r#"mkdir -p "$1" && rsync -a "$0/" "$1/" && true"#;
    once.arg(world.path("lock"))
        .args(["sh", "-c", script])
        .arg(repository.folder.join("data/kind/0000"))
        .arg(copy);
    let samples = take_turns(
        40,
        &mut [
            &mut |_| Ok(milliseconds(took(&run)?.time)),
            &mut |_| Ok(milliseconds(took(&once)?.time)),
            &mut |_| Ok(milliseconds(took(&rsync)?.time)),
        ],
    )?;
    let [ours, once, both] = samples.as_slice() else { return Ok(()) };
    for (what, theirs, bar) in [
        ("flock, rsync -a; true", once, Bar::AtMost(1.0)),
        ("flock, rsync -a there and back", both, Bar::None),
    ] {
        report.add(Figure {
            what: "run -- true, nothing changed, folder".into(),
            against: what.into(),
            value: ratio(ours, theirs),
            unit: "",
            bar,
            detail: format!(
                "{} and {} ms",
                number(Spread::of(ours.iter().copied()).median),
                number(Spread::of(theirs.iter().copied()).median)
            ),
        });
    }
    Ok(())
}
