//! Resolves names to the addresses that a grant reaches.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::dns::Name;

use crate::grants::{Grants, is_localhost};

/// Why a name leads nowhere.
#[derive(Debug)]
pub(super) enum NameError {
    /// It has no address that a grant reaches.
    Private { host: String, address: IpAddr },
    /// It has none at all, or nobody can tell.
    Unknown(io::Error),
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Private { host, address } => {
                write!(f, "{host} has no address that a grant reaches, but {address}")
            }
            Self::Unknown(error) => error.fmt(f),
        }
    }
}

impl Error for NameError {}

/// Resolves the names of a client's requests.
#[derive(Clone)]
pub(super) struct GrantedNames(pub(super) Arc<Grants>);

impl tower_service::Service<Name> for GrantedNames {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = NameError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, NameError>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), NameError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let grants = self.0.clone();
        Box::pin(async move { Ok(resolve(&grants, name.as_str(), 0).await?.into_iter()) })
    }
}

/// The addresses that the name has now, as far as a grant reaches them; at least one.
pub(super) async fn resolve(grants: &Grants, name: &str, port: u16) -> Result<Vec<SocketAddr>, NameError> {
    // Names below `localhost` mean this machine (RFC 6761), whether or not its resolver knows them.
    let asked = if is_localhost(name) { "localhost" } else { name };
    let found = tokio::net::lookup_host((asked, port)).await.map_err(NameError::Unknown)?;
    let (allowed, private): (Vec<_>, Vec<_>) =
        found.partition(|address| grants.allows_address_of(name, address.ip()));
    match (allowed.is_empty(), private.first()) {
        (true, Some(private)) => Err(NameError::Private { host: name.to_owned(), address: private.ip() }),
        (true, None) => {
            Err(NameError::Unknown(io::Error::new(io::ErrorKind::NotFound, "the name has no address")))
        }
        (false, _) => Ok(allowed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_granted_name_with_a_private_address_is_denied_by_its_address() {
        let grants = Grants { http: vec!["http://example.org".parse().unwrap()], ..Grants::default() };
        for own in ["localhost", "bucket.localhost"] {
            let found = resolve(&grants, own, 80).await.unwrap();
            assert!(found.iter().all(|address| address.ip().is_loopback()), "{own}: {found:?}");
        }
        // Names that are addresses take the same way as names that lead to them.
        let denied = resolve(&grants, "10.1.2.3", 80).await;
        assert!(matches!(&denied, Err(NameError::Private { host, .. }) if host == "10.1.2.3"), "{denied:?}");
    }
}
