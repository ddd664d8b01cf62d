use std::fmt;

/// What stood between a guest's requests and the remote, on the host's side of the matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// The request could not be signed, since there are no usable credentials.
    Credentials {
        /// The origin that it was for.
        origin: String,
        /// What is wrong, and what was looked at.
        problem: String,
        /// What to do.
        remedy: String,
    },
    /// The remote refused the credentials.
    Refused {
        /// The origin.
        origin: String,
        /// What it said: a code such as `ExpiredToken`, or a status.
        code: String,
        /// Where the credentials came from.
        source: String,
        /// What to do.
        remedy: String,
    },
    /// The clocks of this machine and the remote are too far apart for signed requests.
    Clock {
        /// The origin.
        origin: String,
        /// How many seconds this machine is ahead of it; negative if behind.
        ahead: i64,
    },
    /// The remote's certificate isn't one that this machine trusts.
    Certificate {
        /// The origin.
        origin: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl Trouble {
    /// Whether it is the remote's own verdict, which the guest sees and reports as well.
    pub(crate) fn is_verdict(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }

    /// What to do about it.
    pub fn remedy(&self) -> String {
        match self {
            Self::Credentials { remedy, .. } | Self::Refused { remedy, .. } => remedy.clone(),
            Self::Clock { .. } => "set this machine's clock".to_owned(),
            Self::Certificate { .. } => {
                "if it was issued by an authority of your own, add that to this machine's, or name a PEM file with it in SSL_CERT_FILE"
                    .to_owned()
            }
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Credentials { origin, problem, .. } => {
                write!(f, "can't authenticate requests to {origin}: {problem}")
            }
            Self::Refused { origin, code, source, .. } => {
                write!(f, "{origin} refused the credentials ({code}) that came from {source}")
            }
            Self::Clock { origin, ahead } => {
                let way = if *ahead < 0 { "behind" } else { "ahead of" };
                write!(
                    f,
                    "{origin} refused a signed request, since this machine's clock is {} minutes {way} its own",
                    ahead.unsigned_abs() / 60
                )
            }
            Self::Certificate { origin, problem } => {
                write!(f, "the certificate of {origin} is not trusted: {problem}")
            }
        }
    }
}
