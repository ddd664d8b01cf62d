use std::path::PathBuf;
use std::time::Duration;

use lockkeeper_locks::{LockKey, Mode};
use lockkeeper_names::{CachePath, ExtensionName, ModelId, Scope};
use lockkeeper_sandbox::ComponentDigest;
use serde::Serialize;

/// What a command did: which locks it held, which calls it made, how it ended.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// `run`, `pull` or `push`.
    pub command: String,
    /// The models it named, sorted, each once.
    pub models: Vec<ModelId>,
    /// The extension that it loaded, absent if it came to nothing.
    pub extension: Option<ExtensionReport>,
    /// The locks that it held, in the order they were taken.
    pub locks: Vec<LockReport>,
    /// The calls of the extension, in order.
    pub calls: Vec<CallReport>,
    /// Local work that a pull left as it is, since it was not pushed yet.
    pub kept: Vec<CachePath>,
    /// Conflicts that were settled by `--on-conflict`.
    pub settled: Vec<Settled>,
    /// How it ended.
    pub outcome: Outcome,
    /// What went wrong, if anything.
    pub error: Option<ErrorReport>,
    /// The exit code of the whole.
    pub exit_code: u8,
}

/// Why a command failed.
#[derive(Debug, Clone, Serialize)]
pub struct ErrorReport {
    /// What went wrong.
    pub message: String,
    /// What to do next, if there is a clear next step.
    pub hint: Option<String>,
    /// Where in the extension it trapped, if it did: its digest and frames.
    pub trace: Option<String>,
    /// The exit code that this failure has by itself.
    pub exit_code: u8,
}

/// The extension that a command ran.
#[derive(Debug, Clone, Serialize)]
pub struct ExtensionReport {
    /// Its name.
    pub name: ExtensionName,
    /// Its version.
    pub version: String,
    /// The hash of its file.
    pub digest: ComponentDigest,
    /// Whether it declares `scoped-sync`.
    pub scoped_sync: bool,
}

/// A conflict that was settled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Settled {
    /// The file.
    pub path: CachePath,
    /// Where the version that wasn't kept is now, relative to the cache; null if that side had deleted the file.
    pub other: Option<PathBuf>,
}

/// One lock that was held.
#[derive(Debug, Clone, Serialize)]
pub struct LockReport {
    /// What it stands for: `repository`, `model` or `sync`.
    pub kind: &'static str,
    /// Its key in the lock store.
    pub key: LockKey,
    /// How it was held.
    pub mode: Mode,
    /// How long it took to get, in milliseconds.
    pub wait_ms: f64,
    /// How long it was held, in milliseconds.
    pub hold_ms: f64,
    /// Its fencing number; null if the store has none.
    pub fence: Option<u64>,
}

/// Which way a call moves files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// From the remote into the cache.
    Pull,
    /// From the cache to the remote.
    Push,
}

/// One call of the extension.
#[derive(Debug, Clone, Serialize)]
pub struct CallReport {
    /// Which way it moved files.
    pub direction: Direction,
    /// The scope that was passed; null if none was.
    pub scope: Option<Scope>,
    /// Files sent to the remote, or moved into the cache.
    pub files: u64,
    /// Bytes of their content.
    pub bytes: u64,
    /// Files deleted in the remote, or in the cache.
    pub deletions: u64,
    /// How long the call and moving its files took, in milliseconds.
    pub duration_ms: f64,
    /// Why it failed, if it did.
    pub error: Option<String>,
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Everything was done.
    Succeeded,
    /// The command inside of `run` failed; its files were pushed all the same.
    CommandFailed,
    /// Lockkeeper could not do its part; what was not pushed stays marked.
    Failed,
}

/// Milliseconds with their fraction.
pub(crate) fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
