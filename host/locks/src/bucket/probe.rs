//! Finding out whether a store honours conditions, before it is trusted with locks.

use std::time::Duration;

use futures_util::future::try_join_all;
use object_store::path::Path;

use super::objects::Objects;
use super::record::{Record, State};
use crate::{Holder, Identity, LockError, LockKey, Mode};

/// How many write at once in each race. A store that looks first and writes then lets several of them win.
const RACERS: usize = 8;
/// How many races of each kind are run. The worst store known lost nine of ten.
const RACES: usize = 4;

/// Where it is written down that the store has passed.
pub(super) fn verdict(objects: &Objects) -> Path {
    objects.prefix().clone().join(".probed")
}

/// Makes sure that conditions are honoured, also among many writers at once. What it finds is written
/// down in the bucket for others; a copy of the bucket elsewhere is probed anew.
pub(super) async fn probe(objects: &Objects) -> Result<(), LockError> {
    let verdict = verdict(objects);
    let passed = written(objects.place())?;
    if let Some((found, _)) = objects.read(&verdict).await?
        && found
            .holder
            .is_some_and(|it| Some(it.command) == passed.holder.as_ref().map(|it| it.command.clone()))
    {
        return Ok(());
    }
    let untrusted =
        |problem: String| LockError::Untrusted { store: format!("bucket {}", objects.place()), problem };
    for race in 0..RACES {
        let name = format!("{:016x}", fastrand::u64(..));
        let path = objects.prefix().clone().join(".probe").join(name);
        let outcome = run(objects, &path, &passed).await;
        // Nobody else knows the name.
        _ = objects.delete(&path).await;
        if let Some(problem) = outcome? {
            return Err(untrusted(format!("in race {} of {RACES}, {problem}", race + 1)));
        }
    }
    if let Some((_, version)) = objects.read(&verdict).await? {
        objects.swap(&verdict, &passed, &version).await?;
    } else {
        objects.make(&verdict, &passed).await?;
    }
    Ok(())
}

/// Runs one race of each kind, and says what was wrong.
async fn run(objects: &Objects, path: &Path, record: &Record) -> Result<Option<String>, LockError> {
    let made = try_join_all((0..RACERS).map(|_| objects.make(path, record))).await?;
    let winners: Vec<_> = made.into_iter().flatten().collect();
    let [first] = &winners[..] else {
        return Ok(Some(format!("{} of {RACERS} writers made the same new object", winners.len())));
    };
    if objects.make(path, record).await?.is_some() {
        return Ok(Some("an object was made over one that was there".to_owned()));
    }
    let swapped = try_join_all((0..RACERS).map(|_| objects.swap(path, record, first))).await?;
    let winners = swapped.into_iter().flatten().count();
    if winners != 1 {
        return Ok(Some(format!("{winners} of {RACERS} writers replaced the same version of an object")));
    }
    if objects.swap(path, record, first).await?.is_some() {
        return Ok(Some("a version was replaced that was there no longer".to_owned()));
    }
    Ok(None)
}

/// What says that a store at this place has passed.
fn written(place: &str) -> Result<Record, LockError> {
    let key = LockKey::parse("probe")
        .map_err(|error| LockError::Untrusted { store: place.to_owned(), problem: error.to_string() })?;
    let who = Identity {
        user: String::new(),
        host: String::new(),
        pid: 0,
        command: format!("conditions are honoured at {place}"),
    };
    Ok(Record::new(State::Ended, 0, &Holder::new(&key, Mode::Exclusive, &who, false), Duration::ZERO))
}
