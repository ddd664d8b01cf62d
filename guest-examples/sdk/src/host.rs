//! What the protocol needs of its host.

use std::path::Path;
use std::time::Duration;

use futures_util::future::LocalBoxFuture;

use crate::{Change, Finding, Level, ProgressUpdate};

/// The host of a call. A component's is the one of the contract; a native test brings its own.
pub trait Host {
    /// The folder that holds the cache.
    fn cache(&self) -> &Path;

    /// The folder that holds what earlier calls knew about the remote. It may be gone at any time.
    fn state(&self) -> &Path;

    /// Takes the next changes, at most `max`; empty when there are no more.
    fn next_changes(&self, max: u32) -> Vec<Change>;

    /// Asks whether to bring a file.
    fn wants(&self, path: &str, digest: &str) -> bool;

    /// Says that the remote deleted a file; true if the cache holds it.
    fn delete(&self, path: &str) -> bool;

    /// Tells what was found in the index.
    fn found(&self, finding: Finding);

    /// Writes one line to the log.
    fn log(&self, level: Level, message: &str);

    /// Reports how far the call has come.
    fn progress(&self, update: ProgressUpdate);

    /// Asks whether to stop.
    fn cancelled(&self) -> bool;

    /// Waits before something is tried again.
    fn pause(&self, time: Duration) -> LocalBoxFuture<'static, ()>;
}
