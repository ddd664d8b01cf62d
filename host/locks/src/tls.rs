use std::fmt;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

/// How to know a store's server, and how to be known by it, in PEM.
#[derive(Clone, Default)]
pub struct Tls {
    /// The certificates that vouch for the server; absent means those that browsers trust.
    pub authority: Option<Vec<u8>>,
    /// The certificate and the private key that vouch for this side.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
}

/// A name and its password.
#[derive(Clone)]
pub struct Login {
    /// The name.
    pub user: String,
    /// The password.
    pub password: String,
}

impl Tls {
    /// What rustls makes of it.
    pub(crate) fn client(&self) -> Result<ClientConfig, rustls::Error> {
        let wrong = |error: rustls::pki_types::pem::Error| rustls::Error::General(error.to_string());
        let mut roots = RootCertStore::empty();
        match &self.authority {
            Some(pem) => {
                for certificate in CertificateDer::pem_slice_iter(pem) {
                    roots.add(certificate.map_err(wrong)?)?;
                }
            }
            None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        }
        let ring = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(ring).with_safe_default_protocol_versions()?;
        let builder = builder.with_root_certificates(roots);
        match &self.identity {
            None => Ok(builder.with_no_client_auth()),
            Some((certificate, key)) => {
                let chain = CertificateDer::pem_slice_iter(certificate).collect::<Result<_, _>>();
                let key = PrivateKeyDer::from_pem_slice(key).map_err(wrong)?;
                builder.with_client_auth_cert(chain.map_err(wrong)?, key)
            }
        }
    }
}

// Neither ever shows a secret.

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls(…)")
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Login({:?}, …)", self.user)
    }
}
