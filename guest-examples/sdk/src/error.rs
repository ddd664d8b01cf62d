//! Making and telling apart the errors of the contract.

use std::fmt;
use std::io;
use std::time::Duration;

use crate::bindings::lockkeeper::datastore::types;

/// What a remote's operations return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why something failed, by what should be done about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// Trying again later may succeed.
    Retry(Failure),
    /// The user has to authenticate again.
    Reauthenticate(Failure),
    /// The user has to edit the configuration.
    Config(Failure),
    /// These paths changed in the remote and here since the last sync.
    Conflict(Vec<String>),
    /// The remote was written under this higher fencing number.
    Fenced(u64),
    /// Trying again will not help.
    Fatal(Failure),
}

/// What went wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failure {
    /// One or two sentences that name what failed and why.
    pub message: String,
    /// The file or object it happened at.
    pub path: Option<String>,
    /// The remote's status code.
    pub status: Option<u16>,
    /// The remote's identifier for the request.
    pub request_id: Option<String>,
    /// How long the remote asked to wait before the next attempt.
    pub retry_after: Option<Duration>,
}

impl Error {
    /// Makes an error after which the same operation may be tried again.
    pub fn retry(message: impl Into<String>) -> Self {
        Self::Retry(failure(message))
    }

    /// Makes an error after which the user has to authenticate again.
    pub fn reauthenticate(message: impl Into<String>) -> Self {
        Self::Reauthenticate(failure(message))
    }

    /// Makes an error after which the user has to edit the configuration.
    pub fn config(message: impl Into<String>) -> Self {
        Self::Config(failure(message))
    }

    /// Makes an error that trying again won't cure.
    pub fn fatal(message: impl Into<String>) -> Self {
        Self::Fatal(failure(message))
    }

    /// Names the file or object that it happened at, unless one is named already.
    #[must_use]
    pub fn at(self, path: &str) -> Self {
        self.map(|failure| {
            failure.path.get_or_insert_with(|| path.to_owned());
        })
    }

    /// Adds the remote's status code.
    #[must_use]
    pub fn with_status(self, status: u16) -> Self {
        self.map(|failure| failure.status = Some(status))
    }

    /// Adds the remote's identifier for the request.
    #[must_use]
    pub fn with_request_id(self, id: impl Into<String>) -> Self {
        self.map(|failure| failure.request_id = Some(id.into()))
    }

    /// Adds how long the remote asked to wait before the next attempt.
    #[must_use]
    pub fn after(self, time: Duration) -> Self {
        self.map(|failure| failure.retry_after = Some(time))
    }

    /// Says that a file of the cache could not be used.
    pub(crate) fn cache(path: &str, error: &io::Error) -> Self {
        Self::fatal(format!("can't use this file of the cache: {error}")).at(path)
    }

    fn map(mut self, change: impl FnOnce(&mut Failure)) -> Self {
        match &mut self {
            Self::Retry(failure)
            | Self::Reauthenticate(failure)
            | Self::Config(failure)
            | Self::Fatal(failure) => {
                change(failure);
            }
            Self::Conflict(_) | Self::Fenced(_) => {}
        }
        self
    }
}

fn failure(message: impl Into<String>) -> Failure {
    Failure { message: message.into(), ..Failure::default() }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Retry(failure)
            | Self::Reauthenticate(failure)
            | Self::Config(failure)
            | Self::Fatal(failure) => {
                f.write_str(&failure.message)?;
                failure.path.as_ref().map_or(Ok(()), |path| write!(f, " (at {path})"))
            }
            Self::Conflict(paths) => {
                write!(f, "changed here and in the remote since the last sync: {}", paths.join(", "))
            }
            Self::Fenced(fence) => {
                write!(f, "the remote was written under fencing number {fence}, which is higher")
            }
        }
    }
}

impl std::error::Error for Error {}

impl From<Error> for types::Error {
    fn from(error: Error) -> Self {
        let failure = |Failure { message, path, status, request_id, retry_after: _ }| types::Failure {
            message,
            path,
            status,
            request_id,
        };
        match error {
            Error::Retry(it) => Self::Retry(failure(it)),
            Error::Reauthenticate(it) => Self::Reauthenticate(failure(it)),
            Error::Config(it) => Self::Config(failure(it)),
            Error::Conflict(paths) => Self::Conflict(paths),
            Error::Fenced(fence) => Self::Fenced(fence),
            Error::Fatal(it) => Self::Fatal(failure(it)),
        }
    }
}
