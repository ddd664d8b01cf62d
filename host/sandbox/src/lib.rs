//! Runs one datastore extension, a WebAssembly component, with least privilege.
//!
//! A [`Sandbox`] is the engine and its cache of compiled code. It loads an [`Extension`], whose
//! [`Identity`] comes from the component's own metadata and bytes. Each call (`capabilities`, `push`, `pull`) runs in a
//! fresh instance that reaches what its [`Setting`] says and nothing else, within [`Limits`].
//!
//! This is the one part of the host that knows the WebAssembly runtime. It knows no locks, no registry and no repository.
//!
//! Errors: [`ComponentError`] if the file is no extension that this host can run, [`CallError`] if a call
//! failed. A guest can make its call fail, and nothing more: it can't panic, exhaust or hang the host.

mod auth;
mod call;
mod denial;
mod engine;
mod error;
mod extension;
mod file;
mod grants;
mod guest;
mod identity;
mod index;
mod limits;
mod network;
mod output;
mod quiet;
mod secret;
mod since_v0_1_0;
pub mod stepped;
mod trace;
mod trouble;

pub use auth::Scheme;
pub use call::{Events, LogLevel, Permit, PullReport, Pulled, PushReport, Pushed, Setting};
pub use denial::Denial;
pub use engine::{Sandbox, StartTimes};
pub use error::{CallError, ComponentError, Failure, GuestError};
pub use extension::{Declared, Extension};
pub use file::ComponentFile;
pub use grants::{FolderAccess, FolderGrant, GrantError, Grants, HttpOrigin, TcpTarget};
pub use guest::Pulling;
pub use identity::{ComponentDigest, Identity, inspect};
pub use index::{Finding, FindingKind, IndexAction, Indexed, OnFinding};
pub use limits::{Bytes, Limits, parse_duration};
pub use network::Network;
pub use secret::{Environment, NoEnvironment, Secret, SecretError, SecretSource, Secrets};
pub use trouble::Trouble;
