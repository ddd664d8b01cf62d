use std::fmt;
use std::path::PathBuf;

use lockkeeper_names::NameError;

use crate::denial::Denial;
use crate::identity::{ComponentDigest, Identity};
use crate::secret::Secrets;
use crate::trouble::Trouble;

/// Why a file is not an extension that this host can run.
#[derive(Debug, thiserror::Error)]
pub enum ComponentError {
    /// The file can't be read.
    #[error("can't read {}: {source}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is larger than any sensible component.
    #[error("{} has {size} bytes; a component may have {limit} at most", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        size: u64,
        /// The largest that is read.
        limit: u64,
    },
    /// The file isn't the one that was accepted.
    #[error("it is not the file that was accepted: pinned {}, found {}", .accepted.short(), .found.short())]
    NotAccepted {
        /// The digest that was accepted.
        accepted: ComponentDigest,
        /// The digest of the file.
        found: ComponentDigest,
    },
    /// The bytes are no WebAssembly, or damaged.
    #[error("it is not a WebAssembly component, or damaged: {problem}")]
    Malformed {
        /// What is wrong with it, and where.
        problem: String,
    },
    /// The bytes are a core module, not a component.
    #[error(
        "it is a core module, not a component; build it for the target wasm32-wasip2, or wrap it with `wasm-tools component new`"
    )]
    CoreModule,
    /// The component is something else.
    #[error("it does not export `lockkeeper:datastore/sync`, so it is no datastore extension; it exports {}", listed(.exports))]
    OtherWorld {
        /// What it exports.
        exports: Vec<String>,
    },
    /// The component was built for a version of the contract that this host doesn't speak.
    #[error(
        "it was built for lockkeeper:datastore {found}, this host speaks {spoken}; upgrade lockkeeper, or build the extension for that version"
    )]
    UnknownContract {
        /// The version that it exports.
        found: String,
        /// The versions of this host.
        spoken: &'static str,
    },
    /// The component doesn't say who it is.
    #[error(
        "it has no {missing} in its metadata; add it with `wasm-tools metadata add --name @you/name --version 0.1.0`"
    )]
    Unnamed {
        /// What is missing.
        missing: &'static str,
    },
    /// The component's name has the wrong form.
    #[error("its metadata has a wrong name: {0}")]
    BadName(NameError),
    /// The component asks for something that this host doesn't have, or doesn't compile.
    #[error("it can't be run here: {problem}")]
    Unloadable {
        /// What the runtime said.
        problem: String,
    },
    /// The engine can't be set up.
    #[error("can't start the WebAssembly engine: {problem}")]
    Engine {
        /// What the runtime said.
        problem: String,
    },
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

/// A limit that a call ran into.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it reached its limit of {limit} (`{option}`)")]
pub(crate) struct LimitHit {
    pub(crate) option: &'static str,
    pub(crate) limit: String,
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The guest trapped.
    #[error("extension {} {} trapped in `{call}`: {cause}{}", .extension.name, .extension.version, in_host_call(.host_call))]
    Trapped {
        /// The extension.
        extension: Box<Identity>,
        /// `push`, `pull` or `capabilities`.
        call: &'static str,
        /// What the runtime said.
        cause: String,
        /// The last host call that the guest made.
        host_call: Option<String>,
        /// The guest's frames, innermost first, one a line.
        backtrace: String,
    },
    /// The guest used more than it may.
    #[error("extension {} {} was stopped in `{call}`: it reached its limit of {limit}; raise `{option}` in [datastore.limits] if it needs more", .extension.name, .extension.version)]
    Limit {
        /// The extension.
        extension: Box<Identity>,
        /// `push`, `pull` or `capabilities`.
        call: &'static str,
        /// The option in `[datastore.limits]`.
        option: &'static str,
        /// The limit that was reached.
        limit: String,
    },
    /// The guest failed after it was refused something.
    #[error("extension {} {} was denied in `{call}`: {}{}", .extension.name, .extension.version, denied(.denials), after_all(.reported))]
    Denied {
        /// The extension.
        extension: Box<Identity>,
        /// `push`, `pull` or `capabilities`.
        call: &'static str,
        /// What it was refused, in order.
        denials: Vec<Denial>,
        /// What it said itself, if anything.
        reported: Option<String>,
    },
    /// The guest failed since the host could not send its requests as it should.
    #[error("extension {} {} failed in `{call}`: {}{}", .extension.name, .extension.version, each(.troubles), after_all(.reported))]
    Hindered {
        /// The extension.
        extension: Box<Identity>,
        /// `push`, `pull` or `capabilities`.
        call: &'static str,
        /// What stood in the way, in order.
        troubles: Vec<Trouble>,
        /// What the guest said itself, if anything.
        reported: Option<String>,
    },
    /// The guest said what went wrong.
    #[error("extension {} {} reported from `{call}`: {error}", .extension.name, .extension.version)]
    Reported {
        /// The extension.
        extension: Box<Identity>,
        /// `push`, `pull` or `capabilities`.
        call: &'static str,
        /// What it said.
        error: GuestError,
        /// What the host knows besides, such as whose credentials were refused.
        troubles: Vec<Trouble>,
    },
    /// The guest claimed success without accounting for what it was given.
    #[error("extension {} {} claims that `push` succeeded, but accounts for {counted_written} of {written} written and {counted_deleted} of {deleted} deleted files; the push counts as failed", .extension.name, .extension.version)]
    Unaccounted {
        /// The extension.
        extension: Box<Identity>,
        /// Written files that it was given.
        written: u64,
        /// Deleted files that it was given.
        deleted: u64,
        /// Written files that its report counts.
        counted_written: u64,
        /// Deleted files that its report counts.
        counted_deleted: u64,
    },
    /// The extension has no index that can be looked after.
    #[error("extension {} {} does not export `lockkeeper:datastore/index`, so its index can't be looked at or repaired", .extension.name, .extension.version)]
    NoIndex {
        /// The extension.
        extension: Box<Identity>,
    },
    /// The host asked the call to stop.
    #[error("`{call}` of extension {} {} was stopped", .extension.name, .extension.version)]
    Stopped {
        /// The extension.
        extension: Box<Identity>,
        /// `push`, `pull` or `capabilities`.
        call: &'static str,
    },
    /// The guest was dropped, since its permit was revoked.
    #[error("`{call}` of extension {} {} was ended before it was done", .extension.name, .extension.version)]
    Revoked {
        /// The extension.
        extension: Box<Identity>,
        /// `push`, `pull` or `capabilities`.
        call: &'static str,
    },
    /// The host couldn't prepare the call.
    #[error("can't prepare `{call}`: {problem}")]
    Setup {
        /// `push`, `pull` or `capabilities`.
        call: &'static str,
        /// What failed and where.
        problem: String,
    },
}

fn in_host_call(host_call: &Option<String>) -> String {
    host_call.as_ref().map(|name| format!(" (last host call: {name})")).unwrap_or_default()
}

fn denied(denials: &[Denial]) -> String {
    let mut texts: Vec<String> = denials.iter().map(ToString::to_string).collect();
    texts.dedup();
    texts.join("; ")
}

fn each(troubles: &[Trouble]) -> String {
    troubles.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn after_all(reported: &Option<String>) -> String {
    reported.as_ref().map(|text| format!(" (it says: {text})")).unwrap_or_default()
}

/// What an extension said about its failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What failed and why.
    pub message: String,
    /// The file or object it happened at.
    pub path: Option<String>,
    /// The remote's status code.
    pub status: Option<u16>,
    /// The remote's identifier of the request.
    pub request_id: Option<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message.trim_end())?;
        let details: Vec<String> = [
            self.path.as_ref().map(|path| format!("at {path}")),
            self.status.map(|status| format!("status {status}")),
            self.request_id.as_ref().map(|id| format!("request {id}")),
        ]
        .into_iter()
        .flatten()
        .collect();
        if details.is_empty() { Ok(()) } else { write!(f, " ({})", details.join(", ")) }
    }
}

/// An error that an extension reported, by what should be done about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GuestError {
    /// Trying again later may help.
    #[error("{0}; try again")]
    Retry(Failure),
    /// The user has to authenticate again.
    #[error("{0}; renew the credentials")]
    Reauthenticate(Failure),
    /// The user has to edit the configuration.
    #[error("{0}; check [datastore.config] and [datastore.grants]")]
    Config(Failure),
    /// These paths changed in the remote and here since the last sync.
    #[error("changed here and in the remote since the last sync: {}", .0.join(", "))]
    Conflict(Vec<String>),
    /// The remote was written under this fencing number, which is higher than that of the push.
    #[error("the lock of this push was lost: the remote was written under the later lock number {0}")]
    Fenced(u64),
    /// Trying again won't help.
    #[error("{0}")]
    Fatal(Failure),
}

impl CallError {
    /// The same error without the secrets that the guest was told.
    pub(crate) fn without(mut self, secrets: &Secrets) -> Self {
        let hide = |text: &mut String| secrets.hide_string(text);
        match &mut self {
            Self::Trapped { cause, host_call, backtrace, .. } => {
                hide(cause);
                host_call.iter_mut().for_each(hide);
                hide(backtrace);
            }
            Self::Denied { denials, reported, .. } => {
                denials.iter_mut().for_each(|denial| denial.edit(hide));
                reported.iter_mut().for_each(hide);
            }
            Self::Hindered { reported, .. } => reported.iter_mut().for_each(hide),
            Self::Reported { error, .. } => match error {
                GuestError::Retry(failure)
                | GuestError::Reauthenticate(failure)
                | GuestError::Config(failure)
                | GuestError::Fatal(failure) => {
                    hide(&mut failure.message);
                    failure.path.iter_mut().for_each(hide);
                    failure.request_id.iter_mut().for_each(hide);
                }
                GuestError::Conflict(paths) => paths.iter_mut().for_each(hide),
                GuestError::Fenced(_) => {}
            },
            Self::Setup { problem, .. } => hide(problem),
            Self::Limit { .. }
            | Self::Unaccounted { .. }
            | Self::Stopped { .. }
            | Self::Revoked { .. }
            | Self::NoIndex { .. } => {}
        }
        self
    }
}
