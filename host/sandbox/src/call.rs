use std::path::PathBuf;
use std::sync::Arc;

use lockkeeper_changes::{Change, Incoming};
use lockkeeper_names::Scope;
use tokio_util::sync::CancellationToken;

use crate::grants::Grants;
use crate::limits::Limits;
use crate::network::Network;
use crate::secret::Secrets;

/// How important a log line of a guest is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// For the extension's author.
    Debug,
    /// What a user may want to know.
    Info,
    /// Something is wrong, yet the call goes on.
    Warn,
    /// Something failed.
    Error,
}

/// Hears what a guest says while it runs.
pub trait Events: Send + Sync {
    /// A line for the log: control characters are the guest's, so escape them before a terminal sees them.
    fn log(&self, level: LogLevel, message: &str);
    /// How far the call has come: files and bytes done, and all bytes there are to do, if known.
    fn progress(&self, files: u64, bytes: u64, total_bytes: Option<u64>);
}

/// What all calls of an extension have in common in one repository.
#[derive(Clone)]
pub struct Setting {
    /// The values of `[datastore.config]`.
    pub config: Vec<(String, String)>,
    /// Those of them that are never to be seen: whatever the guest says is rid of them.
    pub secrets: Secrets,
    /// What the user lets the extension reach.
    pub grants: Grants,
    /// How its requests are sent; made for the same grants.
    pub network: Network,
    /// What a call may use.
    pub limits: Limits,
    /// Hears log lines and progress.
    pub events: Arc<dyn Events>,
    /// Asks a running call to stop: the guest is told, and dropped if it goes on.
    pub stop: CancellationToken,
    /// Whether calls may go on, as far as it isn't up to them.
    pub permit: Arc<dyn Permit>,
}

/// Says whether a call may go on. Asked before each of its calls of the host, and before each of its requests is sent.
pub trait Permit: Send + Sync {
    /// Whether it may no longer: the guest is then dropped where it stands, and told nothing.
    fn is_revoked(&self) -> bool;
}

/// A permit that stays.
impl Permit for () {
    fn is_revoked(&self) -> bool {
        false
    }
}

/// What a push hands to the guest.
pub struct Pushed {
    /// The scope to pass.
    pub scope: Option<Scope>,
    /// The folder of the cache.
    pub cache: PathBuf,
    /// The folders below it that the guest may read; they need not exist.
    pub folders: Vec<String>,
    /// A folder that the host keeps for this scope, to hold an empty copy of the folders above the mounted ones.
    pub skeleton: PathBuf,
    /// What changed, sorted by path.
    pub changes: Arc<[Change]>,
    /// The extension's own folder for this scope.
    pub state: PathBuf,
    /// The fencing number of the lock that the push is made under, if its store has one.
    pub fence: Option<u64>,
}

/// What a push did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PushReport {
    /// Files sent.
    pub files: u64,
    /// Files that the remote already held.
    pub unchanged: u64,
    /// Bytes sent.
    pub bytes: u64,
    /// Files deleted.
    pub deletions: u64,
}

/// What a pull brought, as the guest says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PullReport {
    /// Files written.
    pub files: u64,
    /// Bytes written.
    pub bytes: u64,
    /// Deletions passed on.
    pub deletions: u64,
}

/// What a pull hands to the guest.
pub struct Pulled {
    /// The scope to pass.
    pub scope: Option<Scope>,
    /// The empty folder that stands at `/cache`; with a scope, the guest can write only below that scope in it.
    pub folder: PathBuf,
    /// Takes in what the guest brings.
    pub incoming: Arc<Incoming>,
    /// The extension's own folder for this scope.
    pub state: PathBuf,
}
