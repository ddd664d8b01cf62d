//! Lockkeeper as a library: opens a repository, loads its extension, and carries out what the locking policy says.
//!
//! A [`Repository`] is a folder with a `lockkeeper.toml`. Its [`Registry`] holds the extensions as `.wasm` files, pinned
//! by digest in `lockkeeper.lock`. A [`Session`] is one command at work: it has the extension loaded, takes the locks, pulls,
//! lets the caller do its work, finds what changed, pushes, and gives the locks back, whatever happens in between.
//! What it did is in its [`Report`].
//!
//! The library never reads the environment, the home folder or the terminal: what it needs comes in [`Machine`].
//! Every failure is an [`Error`]; its [`ErrorKind`] says what should be done about it.

mod config;
mod error;
mod pins;
mod registry;
mod report;
mod repository;
mod session;
mod status;

pub use config::{ConfigError, DatastoreConfig, LocksConfig, OnLost, RepositoryConfig, SecretConfig, Value};
pub use error::{Error, ErrorKind};
pub use lockkeeper_changes::{Change, DamagedRecord, OnConflict, Skipped};
pub use lockkeeper_locks::{
    FileLocks, Holder, Identity as LockIdentity, LockKey, LockStore, Mode, Released, Waiting,
};
pub use lockkeeper_names::{CachePath, Digest, ExtensionName, ModelId, NameError, Root, Scope};
pub use lockkeeper_policy::{Capabilities, Reach};
pub use lockkeeper_sandbox::{
    CallError, ComponentDigest, ComponentError, ComponentFile, Declared, Environment, Events, Extension,
    Finding, FindingKind, GuestError, Identity, IndexAction, Limits, LogLevel, OnFinding, StartTimes,
};
pub use pins::{Pin, Pins};
pub use registry::{Listed, Registry, RegistryError};
pub use report::{CallReport, Direction, ErrorReport, ExtensionReport, LockReport, Outcome, Report, Settled};
pub use repository::{CONFIG_FILE, LOCK_FILE, Machine, Repository};
pub use session::{Held, LostLock, Session, Transfer};
pub use status::{LocksStatus, Status};
pub use tokio_util::sync::CancellationToken;
