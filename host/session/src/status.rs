use std::path::PathBuf;

use lockkeeper_changes::{Extent, Scan};
use lockkeeper_locks::Holder;
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
    /// The folder of the file locks.
    pub locks_folder: PathBuf,
    /// Who holds locks now.
    pub holders: Vec<Holder>,
}

impl Repository {
    /// Looks how the repository stands. Writes nothing.
    pub async fn status(&self, machine: &Machine) -> Result<Status, Error> {
        let mut pins = self.pins()?;
        let name = &self.config().datastore.extension;
        let extension = match pins.get(name) {
            Some(_) => self.registry().find(name, &mut pins).map(|found| found.identity),
            None => self.registry().newest(name).map(|found| found.identity),
        };
        let cache = self.cache()?;
        let scanned = tokio::task::spawn_blocking(move || cache.changes(&[Extent::Everything])).await;
        let scan = scanned
            .map_err(|error| Error::Internal { problem: error.to_string() })?
            .map_err(|source| Error::Cache { path: self.cache_folder(), source })?;
        Ok(Status {
            extension: extension.map_err(Error::from),
            scan,
            locks_folder: self.locks_folder(machine),
            holders: self.locks(machine).holders().await?,
        })
    }
}
