//! Credentials: the host signs the requests of a guest on their way out, so that the guest never sees a secret.
//!
//! A [`Scheme`] is bound to an origin that is granted. Whatever the guest says about credentials in a request to that
//! origin is replaced by what the scheme says; a request to any other origin gets nothing. Credentials are loaded
//! at the first request that needs them, shared by all calls of a command, and loaded again shortly before they expire.

mod answer;
mod aws;
mod google;
mod plain;
mod recent;
mod surroundings;

use std::sync::Arc;

use http::HeaderName;
use http::request::Parts;

pub(crate) use self::answer::Given;
pub(crate) use self::surroundings::{Sender, Surroundings};
use crate::grants::HttpOrigin;
use crate::secret::{Environment, SecretSource};
use crate::trouble::Trouble;

/// How requests to an origin are authenticated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scheme {
    /// AWS Signature Version 4, with credentials from the environment, a profile, a web identity or the instance's metadata.
    AwsSigV4 {
        /// The region, where the origin or the environment doesn't tell.
        region: Option<String>,
        /// The service, where it isn't `s3` and the origin doesn't tell.
        service: Option<String>,
        /// The profile in `~/.aws/config`, in place of credentials in the environment.
        profile: Option<String>,
    },
    /// Google's application default credentials.
    Google,
    /// A bearer token.
    Bearer {
        /// Where it is.
        token: SecretSource,
    },
    /// A user's name and password.
    Basic {
        /// The name.
        user: String,
        /// Where the password is.
        password: SecretSource,
    },
}

/// Headers that carry credentials or say who signed what. On a bound origin they are the host's alone.
const HOSTS_OWN: [HeaderName; 8] = [
    http::header::AUTHORIZATION,
    http::header::PROXY_AUTHORIZATION,
    http::header::COOKIE,
    HeaderName::from_static("x-amz-date"),
    HeaderName::from_static("x-amz-security-token"),
    HeaderName::from_static("x-amz-s3session-token"),
    HeaderName::from_static("x-goog-api-key"),
    HeaderName::from_static("x-goog-iam-authorization-token"),
];

/// The bound origins of one setting.
#[derive(Default)]
pub(crate) struct Credentials {
    bound: Vec<(HttpOrigin, Signer)>,
}

enum Signer {
    Aws(Box<aws::Aws>),
    Google(Box<google::Google>),
    Plain(plain::Plain),
}

impl Credentials {
    /// Loads nothing yet.
    pub(crate) fn new(
        bindings: Vec<(HttpOrigin, Scheme)>,
        environment: &Arc<dyn Environment>,
        sender: &Sender,
    ) -> Self {
        let surroundings = Surroundings::new(environment, sender);
        let signer = |origin: &HttpOrigin, scheme| match scheme {
            Scheme::AwsSigV4 { region, service, profile } => {
                Signer::Aws(Box::new(aws::Aws::new(origin, region, service, profile, &surroundings)))
            }
            Scheme::Google => Signer::Google(Box::new(google::Google::new(&surroundings))),
            Scheme::Bearer { token } => Signer::Plain(plain::Plain::bearer(token, environment)),
            Scheme::Basic { user, password } => {
                Signer::Plain(plain::Plain::basic(user, password, environment))
            }
        };
        let bound = bindings.into_iter().map(|(origin, scheme)| {
            let signer = signer(&origin, scheme);
            (origin, signer)
        });
        Self { bound: bound.collect() }
    }

    /// Puts credentials into a request if its origin is bound to some, and says what it put there.
    pub(crate) async fn sign(
        &self,
        origin: &HttpOrigin,
        parts: &mut Parts,
    ) -> Result<Option<Given>, Trouble> {
        let Some((_, signer)) = self.bound.iter().find(|(bound, _)| bound == origin) else {
            return Ok(None);
        };
        for name in &HOSTS_OWN {
            parts.headers.remove(name);
        }
        let signed = match signer {
            Signer::Aws(aws) => aws.sign(parts).await,
            Signer::Google(google) => google.sign(parts).await,
            Signer::Plain(plain) => plain.sign(parts),
        };
        match signed {
            Ok(()) => Ok(Some(Given::new(origin, &parts.headers, signer.source()))),
            Err(Unsigned { problem, remedy }) => {
                Err(Trouble::Credentials { origin: origin.to_string(), problem, remedy })
            }
        }
    }
}

impl Signer {
    /// Where the credentials came from, and what to do if they are refused.
    fn source(&self) -> (String, &'static str) {
        match self {
            Self::Aws(aws) => (aws.source(), aws::REMEDY),
            Self::Google(google) => (google.source(), google::REMEDY),
            Self::Plain(plain) => (plain.source(), plain::REMEDY),
        }
    }
}

/// Why a request could not be signed.
pub(super) struct Unsigned {
    problem: String,
    remedy: String,
}

/// An error of the signing library with its causes and what it says about the circumstances.
fn described(error: &reqsign_core::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    if !error.context().is_empty() {
        text.push_str(&format!(" ({})", error.context().join(", ")));
    }
    text
}
