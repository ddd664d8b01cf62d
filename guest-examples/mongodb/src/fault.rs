//! What goes wrong with a server, and what it means for the user.

use std::fmt;
use std::io::{self, ErrorKind};

use lockkeeper_sdk::Error;

use crate::url::{Address, Target};

/// How much of a server's own words is repeated.
const LONGEST: usize = 500;

/// What went wrong with a request.
#[derive(Clone, Debug)]
pub enum Fault {
    /// There is no connection, or no longer. Whether the request was carried out is unknown.
    Network(String),
    /// The host does not let the extension connect to this address.
    Denied(Address),
    /// The server speaks something else, or nonsense.
    Protocol(String),
    /// The deployment is not what the configuration says.
    Config(String),
    /// The login failed.
    Login(String),
    /// The server refused the request.
    Refused(Refusal),
    /// The server is not to blame.
    Other(Error),
}

/// A server's refusal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusal {
    /// The code of the error.
    pub code: i32,
    /// Its name, such as `WriteConflict`.
    pub name: String,
    /// The server's explanation.
    pub message: String,
    /// Whether the server says that the request may be sent again.
    pub retryable: bool,
}

/// Says what the code of an error asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    NoPrimary,
    Passing,
    Login,
    Config,
    Other,
}

fn meaning(code: i32) -> Meaning {
    match code {
        // NotWritablePrimary, PrimarySteppedDown, InterruptedAtShutdown, InterruptedDueToReplStateChange,
        // NotPrimaryNoSecondaryOk, NotPrimaryOrSecondary, ShutdownInProgress.
        10107 | 189 | 11600 | 11602 | 13435 | 13436 | 91 => Meaning::NoPrimary,
        // HostUnreachable, HostNotFound, LockTimeout, LockBusy, MaxTimeMSExpired, WriteConcernTimeout, NetworkTimeout, UnsatisfiableWriteConcern,
        // WriteConflict, ReadConcernMajorityNotAvailableYet, TransactionTooOld…, SnapshotUnavailable, ExceededTimeLimit, SocketException.
        6 | 7 | 24 | 46 | 50 | 64 | 89 | 100 | 112 | 134 | 246 | 262 | 9001 => Meaning::Passing,
        // UserNotFound, Unauthorized, AuthenticationFailed, ReauthenticationRequired, Atlas.
        11 | 13 | 18 | 391 | 8000 => Meaning::Login,
        // CommandNotFound, InvalidOptions, InvalidNamespace, ReadConcernMajorityNotEnabled.
        59 | 72 | 73 | 148 => Meaning::Config,
        _ => Meaning::Other,
    }
}

impl Fault {
    /// Sorts a failure to connect, read or write.
    pub fn io(address: &Address, what: &str, error: &io::Error) -> Self {
        match error.kind() {
            ErrorKind::PermissionDenied => Self::Denied(address.clone()),
            ErrorKind::InvalidData => Self::Config(format!("can't {what} {address}: {error}")),
            ErrorKind::UnexpectedEof => Self::Network(format!("{address} closed the connection")),
            ErrorKind::TimedOut | ErrorKind::WouldBlock => {
                Self::Network(format!("{address} did not answer in time"))
            }
            _ => Self::Network(format!("can't {what} {address}: {error}")),
        }
    }

    /// Says whether the connection can't be used any more.
    pub fn breaks_connection(&self) -> bool {
        match self {
            Self::Refused(refusal) => meaning(refusal.code) == Meaning::NoPrimary,
            _ => true,
        }
    }

    /// Says whether the same request may succeed now.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Network(_) => true,
            Self::Refused(refusal) => refusal.may_pass(),
            _ => false,
        }
    }

    /// Says whether a unique value is taken.
    pub fn is_duplicate(&self) -> bool {
        matches!(self, Self::Refused(refusal) if matches!(refusal.code, 11000 | 11001))
    }

    /// Says whether there is no such collection yet.
    pub fn is_missing_collection(&self) -> bool {
        matches!(self, Self::Refused(refusal) if refusal.code == 26)
    }

    /// Makes an error of the contract.
    pub fn into_error(self, target: &Target) -> Error {
        match self {
            Self::Network(what) => Error::retry(what),
            Self::Denied(address) => Error::config(format!(
                "the host does not let this extension connect to {address}: grant it with `tcp = [\"{address}\"]` in [datastore.grants]"
            )),
            Self::Protocol(what) => {
                Error::fatal(format!("the server sent {what}: is it MongoDB 4.4 or newer?"))
            }
            Self::Config(what) => Error::config(what),
            Self::Login(what) => Error::reauthenticate(format!("{}: {what}", login(target))),
            Self::Refused(refusal) => refusal.into_error(target),
            Self::Other(error) => error,
        }
    }
}

/// Names who logs in.
fn login(target: &Target) -> String {
    match &target.credentials {
        Some(who) => format!("user {:?} of authSource {:?}", who.user, who.source),
        None => "no user is configured".to_owned(),
    }
}

impl Refusal {
    fn may_pass(&self) -> bool {
        self.retryable || matches!(meaning(self.code), Meaning::NoPrimary | Meaning::Passing)
    }

    fn into_error(self, target: &Target) -> Error {
        let error = match meaning(self.code) {
            _ if self.may_pass() => Error::retry(self.to_string()),
            Meaning::Login => Error::reauthenticate(format!("{}: {self}", login(target))),
            Meaning::Config => Error::config(self.to_string()),
            _ => Error::fatal(self.to_string()),
        };
        match u16::try_from(self.code) {
            Ok(code) if code != 0 => error.with_status(code),
            _ => error,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message: String = self.message.chars().take(LONGEST).collect();
        write!(f, "the server answers {:?}", message)?;
        if self.name.is_empty() {
            Ok(())
        } else {
            write!(f, " ({})", self.name.chars().take(60).collect::<String>())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(code: i32, retryable: bool) -> Error {
        let target = Target::parse("mongodb://me:secret@h/?authSource=users", None).unwrap();
        Fault::Refused(Refusal { code, retryable, ..Refusal::default() }).into_error(&target)
    }

    #[test]
    fn a_code_decides_what_the_user_should_do() {
        for code in [10107, 11600, 189, 112, 50, 64] {
            assert!(matches!(error(code, false), Error::Retry(_)), "{code}");
        }
        assert!(matches!(error(13, false), Error::Reauthenticate(_)));
        assert!(matches!(error(73, false), Error::Config(_)));
        assert!(matches!(error(2, false), Error::Fatal(_)));
        assert!(matches!(error(2, true), Error::Retry(_)));
    }

    #[test]
    fn a_failed_login_names_user_and_source_and_never_the_password() {
        match error(18, false) {
            Error::Reauthenticate(failure) => {
                assert!(
                    failure.message.contains("\"me\"") && failure.message.contains("\"users\""),
                    "{failure:?}"
                );
                assert!(!failure.message.contains("secret"));
                assert_eq!(failure.status, Some(18));
            }
            other => panic!("{other:?}"),
        }
    }
}
