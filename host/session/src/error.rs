use std::path::PathBuf;

use lockkeeper_changes::{CacheError, PullError};
use lockkeeper_locks::LockError;
use lockkeeper_names::{CachePath, ModelId};
use lockkeeper_sandbox::{CallError, ComponentError, GuestError, Trouble};

use crate::config::ConfigError;
use crate::registry::RegistryError;
use crate::report::Direction;
use crate::session::LostLock;

/// Why a command of lockkeeper failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `lockkeeper.toml` is missing or wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A folder that `lockkeeper.toml` names can't be used.
    #[error("{what} {} can't be used: {source}", .path.display())]
    Folder {
        /// What the folder is for.
        what: &'static str,
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The registry, or a file in it, is wrong.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The extension can't be loaded.
    #[error("extension {}: {source}", .path.display())]
    Component {
        /// The extension's file.
        path: PathBuf,
        /// Why not.
        source: ComponentError,
    },
    /// A lock couldn't be had.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A lock was lost while it was held.
    #[error("the lock `{}` was lost: {}", .0.key, .0.loss)]
    LockLost(LostLock),
    /// A command inside of a `run` wants what the outer one holds.
    #[error(
        "this runs inside of `lockkeeper run` on {outer}, which holds the lock that {wanted} needs; waiting for it would never end"
    )]
    Nested {
        /// What the outer command holds.
        outer: String,
        /// What this command wants.
        wanted: String,
    },
    /// The extension's call failed.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The cache can't be read or written.
    #[error("cache {}: {}{}", .path.display(), .source, because(.source))]
    Cache {
        /// The cache folder.
        path: PathBuf,
        /// What failed.
        source: CacheError,
    },
    /// Files changed both here and in the remote.
    #[error("{direction} stopped: changed both here and in the remote since the last sync: {}", listed(.paths))]
    Conflict {
        /// Which way files were to be moved.
        direction: &'static str,
        /// The files, sorted.
        paths: Vec<CachePath>,
        /// The models whose files they are, if the command named some.
        models: Vec<ModelId>,
    },
    /// A local file changed while a pull was being applied.
    #[error("`{path}` changed while the pull was being applied")]
    Unsettled {
        /// The file.
        path: CachePath,
    },
    /// `run --strict` found files that the command changed outside of its models.
    #[error("the command changed files outside of its models: {}", listed(.paths))]
    Stray {
        /// The files, sorted.
        paths: Vec<CachePath>,
    },
    /// The user interrupted the command.
    #[error("interrupted while {doing}")]
    Interrupted {
        /// What was going on.
        doing: String,
    },
    /// The host itself went wrong.
    #[error("internal error: {problem}")]
    Internal {
        /// What happened.
        problem: String,
    },
}

/// What should be done about an error. Each kind has an exit code of the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// Edit the configuration.
    Config,
    /// Settle which version of a file is right.
    Conflict,
    /// The extension said what went wrong.
    Reported,
    /// The extension trapped.
    Trapped,
    /// The extension reached one of its limits.
    Limit,
    /// The system refused something to the host.
    System,
    /// Wait, or end who holds the lock, or see to the store that keeps it.
    LockTimeout,
    /// Run it again: a lock was lost, and what was under way was stopped.
    LockLost,
    /// The component isn't an extension.
    NotConformant,
    /// Grant what the extension was refused, or don't trust it.
    Denied,
    /// Accept the changed file, or restore it.
    DigestChanged,
    /// The user interrupted the command.
    Interrupted,
}

impl From<LostLock> for Error {
    fn from(lost: LostLock) -> Self {
        Self::LockLost(lost)
    }
}

impl Error {
    /// What should be done about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Config(_) | Self::Folder { .. } => ErrorKind::Config,
            Self::Registry(error) => match error {
                RegistryError::NoExtension { source: ComponentError::Unreadable { .. }, .. } => {
                    ErrorKind::System
                }
                RegistryError::NoExtension { .. } => ErrorKind::NotConformant,
                RegistryError::DigestChanged { .. } => ErrorKind::DigestChanged,
                RegistryError::NotFound { .. }
                | RegistryError::Ambiguous { .. }
                | RegistryError::UnreadablePins { .. } => ErrorKind::Config,
                RegistryError::Unreadable { .. }
                | RegistryError::Unwritable { .. }
                | RegistryError::UnwritablePins { .. } => ErrorKind::System,
            },
            Self::Component {
                source: ComponentError::Engine { .. } | ComponentError::Unreadable { .. },
                ..
            } => ErrorKind::System,
            Self::Component { .. } => ErrorKind::NotConformant,
            Self::Lock(
                LockError::TimedOut { .. } | LockError::StillHeld { .. } | LockError::Unreachable { .. },
            )
            | Self::Nested { .. } => ErrorKind::LockTimeout,
            Self::Lock(LockError::Lost { .. }) | Self::LockLost(_) => ErrorKind::LockLost,
            Self::Lock(LockError::Refused { .. } | LockError::Untrusted { .. }) => ErrorKind::Config,
            Self::Lock(_) | Self::Cache { .. } | Self::Internal { .. } => ErrorKind::System,
            Self::Call(error) => match error {
                CallError::Trapped { .. } => ErrorKind::Trapped,
                CallError::Limit { .. } => ErrorKind::Limit,
                CallError::Denied { .. } => ErrorKind::Denied,
                CallError::Reported { error: GuestError::Conflict(_), .. } => ErrorKind::Conflict,
                CallError::Reported { error: GuestError::Fenced(_), .. } => ErrorKind::LockLost,
                CallError::Reported { .. } => ErrorKind::Reported,
                CallError::Unaccounted { .. } => ErrorKind::NotConformant,
                CallError::Stopped { .. } => ErrorKind::Interrupted,
                CallError::Revoked { .. } => ErrorKind::LockLost,
                CallError::Setup { .. } | CallError::Hindered { .. } | CallError::NoIndex { .. } => {
                    ErrorKind::Config
                }
            },
            Self::Conflict { .. } | Self::Unsettled { .. } | Self::Stray { .. } => ErrorKind::Conflict,
            Self::Interrupted { .. } => ErrorKind::Interrupted,
        }
    }

    /// What to do next, if there is a clear next step.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Registry(RegistryError::DigestChanged { path, .. }) => format!(
                "if you trust the new file, accept it with `lockkeeper extensions add {}`; else restore the old one",
                path.display()
            ),
            Self::Registry(RegistryError::NotFound { .. }) => {
                "put its .wasm file there, or install it with `lockkeeper extensions add FILE`".to_owned()
            }
            Self::Lock(LockError::TimedOut { .. }) => {
                "see `lockkeeper locks list`, or wait longer with `--wait 10m`".to_owned()
            }
            Self::Lock(LockError::Unreachable { .. }) => {
                "nothing was done without a lock; see `lockkeeper status`, and [locks] in lockkeeper.toml"
                    .to_owned()
            }
            Self::Lock(LockError::Refused { .. } | LockError::Untrusted { .. }) => {
                "see [locks] in lockkeeper.toml".to_owned()
            }
            Self::LockLost(_) | Self::Lock(LockError::Lost { .. }) => {
                "nothing is lost: what was not pushed stays marked; run it again, or `lockkeeper push`"
                    .to_owned()
            }
            Self::Call(CallError::Reported { error: GuestError::Fenced(number), .. }) => format!(
                "somebody has had the lock since: pull, and push again; if your locks have moved to another \
                 store, whose numbers begin anew, add `fence-from = {number}` to [locks]"
            ),
            Self::Conflict { models, .. } => {
                let models: String = models.iter().map(|model| format!(" --model {model}")).collect();
                format!(
                    "settle it with `lockkeeper pull{models} --on-conflict keep-local` or `--on-conflict keep-remote`; \
                     the version that isn't kept is saved below .lockkeeper/conflicts"
                )
            }
            Self::Stray { .. } => {
                "see `lockkeeper status`; a full `lockkeeper push` takes them along".to_owned()
            }
            Self::Unsettled { .. } => "pull again when nothing else writes to the cache".to_owned(),
            Self::Call(CallError::Hindered { troubles, .. } | CallError::Reported { troubles, .. })
                if !troubles.is_empty() =>
            {
                advice(troubles)
            }
            Self::Call(
                CallError::Reported { error: GuestError::Retry(_), .. } | CallError::Stopped { .. },
            )
            | Self::Interrupted { .. } => {
                "nothing is lost: what was not pushed stays marked, and the next run or push sends it"
                    .to_owned()
            }
            _ => return None,
        })
    }

    /// Turns what a guest or the cache said about a conflict into the one error for it.
    pub(crate) fn from_call(error: CallError, direction: Direction, models: &[ModelId]) -> Self {
        match error {
            CallError::Reported { error: GuestError::Conflict(paths), .. } => {
                let paths = paths.iter().filter_map(|path| CachePath::parse(path).ok()).collect();
                Self::conflict(paths, direction, models)
            }
            other => Self::Call(other),
        }
    }

    pub(crate) fn conflict(mut paths: Vec<CachePath>, direction: Direction, models: &[ModelId]) -> Self {
        paths.sort();
        let direction = match direction {
            Direction::Pull => "pull",
            Direction::Push => "push",
        };
        Self::Conflict { direction, paths, models: models.to_vec() }
    }

    pub(crate) fn from_pull(error: PullError, cache: &std::path::Path, models: &[ModelId]) -> Self {
        match error {
            PullError::Conflict { paths } => Self::conflict(paths, Direction::Pull, models),
            PullError::Changed { path } => Self::Unsettled { path },
            PullError::Cache(source) => Self::Cache { path: cache.to_owned(), source },
        }
    }
}

/// What to do about trouble with a remote; what the guest reports leaves out whose credentials they were.
fn advice(troubles: &[Trouble]) -> String {
    let each = troubles.iter().map(|trouble| match trouble {
        Trouble::Refused { .. } => format!("{trouble}; {}", trouble.remedy()),
        other => other.remedy(),
    });
    let mut each: Vec<String> = each.collect();
    each.dedup();
    each.join("; ")
}

/// The causes of an error, as far as its own text leaves them out.
fn because(error: &dyn std::error::Error) -> String {
    let mut text = String::new();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}

/// Paths in one line, the first few of them, safe to print.
fn listed(paths: &[CachePath]) -> String {
    const SHOWN: usize = 20;
    let mut shown: Vec<String> =
        paths.iter().take(SHOWN).map(|path| path.as_str().escape_debug().to_string()).collect();
    if paths.len() > SHOWN {
        shown.push(format!("and {} more", paths.len() - SHOWN));
    }
    shown.join(", ")
}
