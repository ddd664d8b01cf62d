use lockkeeper_names::CachePath;

use crate::cache::{Cache, STATE};
use crate::carrier::Carrier;
use crate::change::Skipped;
use crate::conflicts::Resolved;
use crate::crash;
use crate::error::{At, PullError};
use crate::extent::Extents;
use crate::interrupted::{self, Mark};
use crate::plan::Plan;
use crate::records;
use crate::staging::Staging;

/// What to do about files that changed both here and in the remote since the last sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnConflict {
    /// Change nothing and name them.
    Stop,
    /// Keep the local files; the next push overwrites the remote's. What the pull brought of the remote's is kept aside.
    KeepLocal,
    /// Take the remote's files; the local ones are kept aside.
    KeepRemote,
}

/// What a pull changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Files moved into the cache.
    pub files: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// Files deleted from the cache.
    pub deletions: u64,
    /// Paths at which cache and remote agreed before they knew of each other; nothing was moved.
    pub adopted: u64,
    /// Unpushed local work among the files that the remote offered, left as it is; the remote has no news of it.
    pub kept: Vec<CachePath>,
    /// The conflicts, sorted by path.
    pub resolved: Vec<Resolved>,
    /// What was brought and is not synced.
    pub skipped: Vec<Skipped>,
}

/// Carries out a plan. The order makes each instant a good one to be killed at: whole files first, records last.
pub(crate) fn apply(
    cache: &Cache,
    within: &Extents,
    staging: &Staging,
    plan: Plan,
    on_conflict: OnConflict,
) -> Result<Applied, PullError> {
    let conflicts = plan.conflicts();
    if on_conflict == OnConflict::Stop && !conflicts.is_empty() {
        return Err(PullError::Conflict { paths: conflicts });
    }
    let (state, base) = (cache.make_state()?, cache.make_base()?);
    let moves = plan.moves();
    let _mark = if moves.is_empty() { None } else { Some(Mark::set(&base, within, moves)?) };
    let mut applied =
        Applied { adopted: plan.adopted, kept: plan.kept, skipped: plan.skipped, ..Applied::default() };
    let keep_local = on_conflict == OnConflict::KeepLocal;
    let mut carrier = Carrier::new(cache, within, staging.dir(), &state, keep_local, &mut applied);
    let mut updates = carrier.carry_out(&plan.deletes, &plan.takes)?;
    updates.extend(plan.updates);
    records::update(&base, updates, within)?;
    crash::point().at("clear the mark of the pull in", STATE)?;
    interrupted::clear(&base, &cache.roots(), within)?;
    applied.resolved.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(applied)
}
