use std::fmt;

use lockkeeper_sandbox::{CallError, GuestError};
use serde::{Deserialize, Serialize};

/// Why a call under check did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind", content = "message")]
pub enum Failure {
    /// The extension says that trying again may help.
    Retry(String),
    /// The extension says that the user has to authenticate again.
    Reauthenticate(String),
    /// The extension says that its configuration is wrong.
    Config(String),
    /// The extension says that these paths changed on both sides.
    Conflict(Vec<String>),
    /// The extension says that trying again won't help.
    Fatal(String),
    /// It failed after it was refused something.
    Denied(String),
    /// It trapped.
    Trapped(String),
    /// It ran into the limit that this option sets.
    Limit(String),
    /// Its report does not account for what it was given.
    Unaccounted(String),
    /// It waits for something that will never come.
    Stuck,
    /// It goes on and on and gets nowhere.
    NoProgress,
    /// It was killed, as the schedule says.
    Killed,
    /// The host could not prepare the call.
    Setup(String),
}

impl Failure {
    pub(crate) fn of(error: &CallError) -> Self {
        match error {
            CallError::Reported { error, .. } => match error {
                GuestError::Retry(failure) => Self::Retry(failure.to_string()),
                GuestError::Reauthenticate(failure) => Self::Reauthenticate(failure.to_string()),
                GuestError::Config(failure) => Self::Config(failure.to_string()),
                GuestError::Conflict(paths) => Self::Conflict(paths.clone()),
                GuestError::Fenced(number) => Self::Fatal(format!("fenced by {number}")),
                GuestError::Fatal(failure) => Self::Fatal(failure.to_string()),
            },
            CallError::Denied { .. } | CallError::Hindered { .. } => Self::Denied(error.to_string()),
            CallError::Trapped { cause, .. } => Self::Trapped(cause.clone()),
            CallError::Limit { option, limit, .. } => Self::Limit(format!("{option} ({limit})")),
            CallError::Unaccounted { .. } => Self::Unaccounted(error.to_string()),
            CallError::Stopped { .. } | CallError::Revoked { .. } => Self::Killed,
            CallError::Setup { .. } | CallError::NoIndex { .. } => Self::Setup(error.to_string()),
        }
    }

    /// Whether the extension itself said what went wrong.
    pub fn is_reported(&self) -> bool {
        matches!(
            self,
            Self::Retry(_) | Self::Reauthenticate(_) | Self::Config(_) | Self::Conflict(_) | Self::Fatal(_)
        )
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Retry(text) => write!(f, "error retry: {text}"),
            Self::Reauthenticate(text) => write!(f, "error reauthenticate: {text}"),
            Self::Config(text) => write!(f, "error config: {text}"),
            Self::Conflict(paths) => write!(f, "error conflict: {}", paths.join(", ")),
            Self::Fatal(text) => write!(f, "error fatal: {text}"),
            Self::Denied(text) | Self::Unaccounted(text) | Self::Setup(text) => f.write_str(text),
            Self::Trapped(text) => write!(f, "trapped: {text}"),
            Self::Limit(text) => write!(f, "reached its limit of {text}"),
            Self::Stuck => f.write_str("waits for ever"),
            Self::NoProgress => f.write_str("goes on and on and gets nowhere"),
            Self::Killed => f.write_str("killed"),
        }
    }
}
