//! Pulling and pushing, call by call.

use std::sync::{Arc, PoisonError};
use std::time::Instant;

use lockkeeper_changes::{CacheError, Extent, OnConflict, Scan};
use lockkeeper_names::{Digest, ModelId};
use lockkeeper_policy::{Call, Plan, Reach};
use lockkeeper_sandbox::{Pulled, Pushed};

use super::Session;
use super::state::StateFolder;
use super::transfer::Transfer;
use crate::error::Error;
use crate::report::{CallReport, Direction, milliseconds};

impl Session {
    pub(super) async fn pull_all(
        &self,
        reach: &Reach,
        plan: &Plan,
        on_conflict: OnConflict,
    ) -> Result<Transfer, Error> {
        self.around_sync(plan, async || {
            let mut sum = Transfer::default();
            for call in &plan.calls {
                let started = Instant::now();
                let result = self.pull_one(call, &named(reach), on_conflict).await;
                self.record(Direction::Pull, call, started, result.as_ref());
                sum.add(result?);
            }
            Ok(sum)
        })
        .await
    }

    async fn pull_one(
        &self,
        call: &Call,
        models: &[ModelId],
        on_conflict: OnConflict,
    ) -> Result<Transfer, Error> {
        let cache_folder = self.repository.cache_folder();
        let (cache, extents) = (self.cache.clone(), extents(call));
        let incoming = Arc::new(self.blocking(move || cache.incoming(&extents)).await?);
        let state = self.state_folder(call, "")?;
        state.doubt().map_err(|source| Error::Folder {
            what: "the state folder",
            path: state.path.clone(),
            source,
        })?;
        let pulled = Pulled {
            scope: call.scope.clone(),
            folder: incoming.folder().to_owned(),
            incoming: incoming.clone(),
            state: state.path.clone(),
        };
        let result = self.extension.pull(&self.setting, &pulled).await;
        result.map_err(|error| Error::from_call(error, Direction::Pull, models))?;
        drop(pulled);
        // Whoever has the lock by now may be at work on these files.
        self.refuse_lost()?;
        let incoming = Arc::into_inner(incoming)
            .ok_or_else(|| Error::Internal { problem: "a finished pull is still in use".to_owned() })?;
        let applied = tokio::task::spawn_blocking(move || incoming.apply(on_conflict))
            .await
            .map_err(|error| Error::Internal { problem: error.to_string() })?;
        let applied = applied.map_err(|error| Error::from_pull(error, &cache_folder, models))?;
        state.trust();
        Ok(applied.into())
    }

    pub(super) async fn push_all(&self, reach: &Reach, plan: &Plan) -> Result<Transfer, Error> {
        let mut due = Vec::new();
        for call in &plan.calls {
            let scan = self.scan(extents(call)).await?;
            if scan.changes.is_empty() {
                self.mark_synced(scan).await?;
            } else {
                due.push((call, scan));
            }
        }
        // Nothing to send costs no call and no lock.
        if due.is_empty() {
            return Ok(Transfer::default());
        }
        self.around_sync(plan, async || {
            let mut sum = Transfer::default();
            for (call, scan) in due {
                let started = Instant::now();
                let result = self.push_one(call, scan, &named(reach)).await;
                self.record(Direction::Push, call, started, result.as_ref());
                sum.add(result?);
            }
            Ok(sum)
        })
        .await
    }

    async fn push_one(&self, call: &Call, scan: Scan, models: &[ModelId]) -> Result<Transfer, Error> {
        let folders = match &call.scope {
            Some(scope) => vec![scope.folder().to_owned()],
            None => self.repository.config().roots.iter().map(ToString::to_string).collect(),
        };
        let state = self.state_folder(call, "")?;
        let pushed = Pushed {
            scope: call.scope.clone(),
            cache: self.repository.cache_folder(),
            folders,
            changes: scan.changes.as_slice().into(),
            skeleton: state.path.with_extension("skeleton"),
            state: state.path,
            fence: self.fence(call),
        };
        let report = self.extension.push(&self.setting, &pushed).await;
        let report = report.map_err(|error| Error::from_call(error, Direction::Push, models))?;
        self.mark_synced(scan).await?;
        Ok(Transfer {
            files: report.files,
            bytes: report.bytes,
            deletions: report.deletions,
            ..Transfer::default()
        })
    }

    /// The number that fences what a call writes, if the locks have some.
    pub(super) fn fence(&self, call: &Call) -> Option<u64> {
        let config = self.repository.config();
        let numbers = self.holds.numbers(call.scope.as_ref(), &config.roots);
        Some(self.store.fence(&numbers)?.saturating_add(config.locks.fence_from))
    }

    fn record(&self, direction: Direction, call: &Call, started: Instant, result: Result<&Transfer, &Error>) {
        let none = Transfer::default();
        let moved = result.unwrap_or(&none);
        let report = CallReport {
            direction,
            scope: call.scope.clone(),
            files: moved.files,
            bytes: moved.bytes,
            deletions: moved.deletions,
            duration_ms: milliseconds(started.elapsed()),
            error: result.err().map(ToString::to_string),
        };
        self.journal.lock().unwrap_or_else(PoisonError::into_inner).calls.push(report);
    }

    /// The extension's own folder for this remote and scope.
    pub(super) fn state_folder(&self, call: &Call, kind: &str) -> Result<StateFolder, Error> {
        let name = match &call.scope {
            Some(scope) => {
                Digest::of(scope.as_str().as_bytes()).to_string().chars().take(32).collect::<String>()
            }
            None => "unscoped".to_owned(),
        };
        let cache = self.repository.cache_folder();
        let remote = cache.join(".lockkeeper").join("remotes").join(self.repository.remote());
        let path = remote.join("state").join(name + kind);
        StateFolder::open(path.clone()).map_err(|source| Error::Folder {
            what: "the state folder",
            path,
            source,
        })
    }

    pub(super) async fn scan(&self, extents: Vec<Extent>) -> Result<Scan, Error> {
        let cache = self.cache.clone();
        self.blocking(move || cache.changes(&extents)).await
    }

    async fn mark_synced(&self, scan: Scan) -> Result<(), Error> {
        let cache = self.cache.clone();
        self.blocking(move || cache.mark_synced(&scan)).await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, CacheError> + Send + 'static,
    ) -> Result<T, Error> {
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|error| Error::Internal { problem: error.to_string() })?
            .map_err(|source| Error::Cache { path: self.repository.cache_folder(), source })
    }
}

fn extents(call: &Call) -> Vec<Extent> {
    match &call.covers {
        Some(scopes) => scopes.iter().cloned().map(Extent::Scope).collect(),
        None => vec![Extent::Everything],
    }
}

fn named(reach: &Reach) -> Vec<ModelId> {
    match reach {
        Reach::Models(models) => models.iter().cloned().collect(),
        Reach::Structural | Reach::ReadOnly => Vec::new(),
    }
}
