//! What went wrong with a request, as `wasi:http` names it: a guest can tell from it what may be tried again.

use std::error::Error as StdError;
use std::io;

use rustls::Error as TlsError;
use wasmtime_wasi_http::Error;

use super::names::NameError;
use crate::denial::{Denial, Denials};
use crate::grants::HttpOrigin;
use crate::trouble::Trouble;

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// The host can't sign the request.
    Unsigned(Trouble),
    /// The server's certificate, or the machine's list of authorities, is no good.
    Untrusted(String),
    /// The name leads to an address that needs a grant of its own.
    Private(Denial),
    /// Anything else.
    Other(Error),
}

impl Failure {
    /// What the client reports, by the deepest cause that says something.
    pub(super) fn of(error: &hyper_util::client::legacy::Error) -> Self {
        for cause in causes(error) {
            if let Some(NameError::Private { host, address }) = cause.downcast_ref() {
                return Self::Private(Denial::PrivateAddress { host: host.clone(), address: *address });
            }
            if let Some(TlsError::InvalidCertificate(problem)) = in_io(cause).downcast_ref() {
                return Self::Untrusted(problem.to_string());
            }
        }
        Self::Other(code(error, error.is_connect()))
    }

    /// Whether the server closed the connection without an answer.
    pub(super) fn is_hangup(&self) -> bool {
        matches!(self, Self::Other(Error::ConnectionTerminated))
    }

    /// Notes for the host what the guest can't know, and returns what the guest is told.
    pub(super) fn told(self, origin: &HttpOrigin, denials: &Denials) -> Error {
        match self {
            Self::Unsigned(trouble) => {
                denials.trouble(trouble);
                Error::ConfigurationError
            }
            Self::Untrusted(problem) => {
                denials.trouble(Trouble::Certificate { origin: origin.to_string(), problem });
                Error::TlsCertificateError
            }
            Self::Private(denial) => {
                denials.add(denial);
                Error::DestinationIpProhibited
            }
            Self::Other(error) => error,
        }
    }
}

/// What a body that was cut off reports.
pub(super) fn body_failure(error: super::patience::Late<hyper::Error>) -> Error {
    match error {
        super::patience::Late::Stalled => Error::ConnectionReadTimeout,
        super::patience::Late::Failed(error) => code(&error, false),
    }
}

fn code(error: &(dyn StdError + 'static), connecting: bool) -> Error {
    for cause in causes(error) {
        if let Some(NameError::Unknown(error)) = cause.downcast_ref() {
            return Error::DnsError { rcode: Some(error.to_string()), info_code: None };
        }
        if let Some(error) = in_io(cause).downcast_ref::<TlsError>() {
            return match error {
                TlsError::InvalidCertificate(_) => Error::TlsCertificateError,
                TlsError::AlertReceived(alert) => Error::TlsAlertReceived {
                    alert_id: Some((*alert).into()),
                    alert_message: Some(format!("{alert:?}")),
                },
                _ => Error::TlsProtocolError,
            };
        }
        if let Some(error) = cause.downcast_ref::<hyper::Error>()
            && let Some(code) = of_hyper(error)
        {
            return code;
        }
        if let Some(error) = cause.downcast_ref::<io::Error>()
            && let Some(code) = of_io(error, connecting)
        {
            return code;
        }
    }
    Error::InternalError(Some(innermost(error)))
}

fn of_hyper(error: &hyper::Error) -> Option<Error> {
    Some(if error.is_parse_too_large() {
        Error::HttpResponseHeaderSectionSize(None)
    } else if error.is_parse() {
        Error::HttpProtocolError
    } else if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        Error::ConnectionTerminated
    } else {
        return None;
    })
}

fn of_io(error: &io::Error, connecting: bool) -> Option<Error> {
    Some(match error.kind() {
        io::ErrorKind::ConnectionRefused => Error::ConnectionRefused,
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::NotConnected => Error::ConnectionTerminated,
        io::ErrorKind::UnexpectedEof if connecting => Error::ConnectionTerminated,
        io::ErrorKind::UnexpectedEof => Error::HttpResponseIncomplete,
        io::ErrorKind::TimedOut if connecting => Error::ConnectionTimeout,
        io::ErrorKind::TimedOut => Error::ConnectionReadTimeout,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Error::DestinationIpUnroutable,
        _ => return None,
    })
}

/// An error and its causes, outermost first.
fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// What an I/O error was made of: its source skips that.
fn in_io<'a>(mut error: &'a (dyn StdError + 'static)) -> &'a (dyn StdError + 'static) {
    while let Some(inner) = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        error = inner;
    }
    error
}

/// The last cause of an error, which says most.
pub(crate) fn innermost(error: &(dyn StdError + 'static)) -> String {
    causes(error).last().map(ToString::to_string).unwrap_or_default()
}
