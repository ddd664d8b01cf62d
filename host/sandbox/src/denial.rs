use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::trouble::Trouble;

/// Something that a guest asked for and was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denial {
    /// A request to an origin that isn't granted.
    Http {
        /// The origin, such as `https://example.org`.
        origin: String,
    },
    /// A granted name that resolves to a private, loopback or link-local address.
    PrivateAddress {
        /// The name.
        host: String,
        /// The address it resolves to.
        address: std::net::IpAddr,
    },
    /// A connection to an address that isn't granted.
    Tcp {
        /// The address.
        address: SocketAddr,
    },
    /// The lookup of a name, with no grant for any name.
    Name {
        /// The name, escaped where it needs to be.
        host: String,
    },
    /// A file operation that leads out of the granted folders, or writes where only reading is granted.
    File {
        /// The host call.
        operation: String,
        /// The path as the guest gave it, escaped where it needs to be.
        path: String,
    },
}

impl Denial {
    /// Changes each text that came from the guest.
    pub(crate) fn edit(&mut self, edit: impl Fn(&mut String)) {
        match self {
            Self::Http { origin: text }
            | Self::PrivateAddress { host: text, .. }
            | Self::Name { host: text }
            | Self::File { path: text, .. } => edit(text),
            Self::Tcp { .. } => {}
        }
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http { origin } => {
                write!(f, "no grant for {origin}; to allow it: [datastore.grants] http = [\"{origin}\"]")
            }
            Self::PrivateAddress { host, address } => write!(
                f,
                "{host} resolves to {address}, an address of a private network, which needs a grant of its own"
            ),
            Self::Tcp { address } => {
                write!(f, "no grant for {address}; to allow it: [datastore.grants] tcp = [\"{address}\"]")
            }
            Self::Name { host } => {
                write!(f, "no grant for {host}; to allow it: [datastore.grants] tcp = [\"{host}:PORT\"]")
            }
            Self::File { operation, path } => write!(
                f,
                "{operation} of \"{path}\", which its folders do not allow; more is granted in [datastore.grants] folders"
            ),
        }
    }
}

/// The denials of one call, and the host's own trouble with its requests, shared between the hooks that find them.
#[derive(Clone, Default)]
pub(crate) struct Denials(Arc<Mutex<Found>>);

#[derive(Default)]
struct Found {
    denials: Vec<Denial>,
    troubles: Vec<Trouble>,
}

/// More than this many are not worth keeping.
const MOST: usize = 16;

impl Denials {
    pub(crate) fn add(&self, denial: Denial) {
        let denials = &mut self.lock().denials;
        if denials.len() < MOST && !denials.contains(&denial) {
            denials.push(denial);
        }
    }

    pub(crate) fn trouble(&self, trouble: Trouble) {
        let troubles = &mut self.lock().troubles;
        if troubles.len() < MOST && !troubles.contains(&trouble) {
            troubles.push(trouble);
        }
    }

    pub(crate) fn take(&self) -> Vec<Denial> {
        std::mem::take(&mut self.lock().denials)
    }

    pub(crate) fn take_troubles(&self) -> Vec<Trouble> {
        std::mem::take(&mut self.lock().troubles)
    }

    fn lock(&self) -> MutexGuard<'_, Found> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
