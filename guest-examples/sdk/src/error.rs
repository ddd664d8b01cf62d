//! Making and telling apart the errors of the contract.

use std::io;

use crate::{Error, Failure};

/// What a remote's operations return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

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

    /// Recovers the error that a body gave as `io::Error::other`; any other failure to read one may pass.
    pub(crate) fn from_body(error: io::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(error) => error,
            Err(error) => Self::retry(format!("can't read from the remote: {error}")),
        }
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
            Self::Conflict(_) => {}
        }
        self
    }
}

fn failure(message: impl Into<String>) -> Failure {
    Failure { message: message.into(), path: None, status: None, request_id: None }
}
