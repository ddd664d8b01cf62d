use std::time::Duration;

use lockkeeper_changes::{Extent, Scan};
use lockkeeper_locks::{Holder, LockError};
use lockkeeper_sandbox::Identity;

use crate::error::Error;
use crate::repository::{Machine, Repository};

/// How a repository stands, found out without a lock and without running the extension.
#[derive(Debug)]
pub struct Status {
    /// The extension, or why it can't be used.
    pub extension: Result<Identity, Error>,
    /// What changed since the last sync, and what is wrong in the cache.
    pub scan: Scan,
    /// Which store keeps the locks, and how it does.
    pub locks: LocksStatus,
}

/// How a lock store does.
#[derive(Debug)]
pub struct LocksStatus {
    /// Which one it is, as `lockkeeper.toml` calls it.
    pub kind: &'static str,
    /// Where it is.
    pub place: String,
    /// How long it took to answer, and who holds locks now; or why it can't be used.
    pub answer: Result<(Duration, Vec<Holder>), Error>,
}

impl Repository {
    /// Looks how the repository stands. Writes nothing but what this machine remembers of the extension's file.
    pub async fn status(&self, machine: &Machine) -> Result<Status, Error> {
        let mut pins = self.pins()?;
        let name = &self.config().datastore.extension;
        let found = match pins.get(name) {
            Some(_) => self.registry().find(name, &mut pins, machine.compiled.as_deref()),
            None => self.registry().newest(name),
        };
        let extension = found.map(|found| found.identity().clone());
        let cache = self.cache()?;
        let scanned = tokio::task::spawn_blocking(move || cache.changes(&[Extent::Everything])).await;
        let scan = scanned
            .map_err(|error| Error::Internal { problem: error.to_string() })?
            .map_err(|source| Error::Cache { path: self.cache_folder(), source })?;
        Ok(Status {
            extension: extension.map_err(Error::from),
            scan,
            locks: self.locks_status(machine).await?,
        })
    }

    async fn locks_status(&self, machine: &Machine) -> Result<LocksStatus, Error> {
        let store = self.locks(machine)?;
        let asked = async {
            // The first answer has the way there in it as well.
            store.ping().await?;
            let round_trip = store.ping().await?;
            Ok((round_trip, store.holders().await?))
        };
        let answer = asked.await.map_err(|error: LockError| error.into());
        Ok(LocksStatus { kind: store.kind(), place: store.place(), answer })
    }
}
