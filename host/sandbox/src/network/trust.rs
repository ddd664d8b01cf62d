//! Whose certificates are trusted: those of the machine, or else the ones that browsers trust.

use std::sync::{Arc, OnceLock};

use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

use crate::secret::Environment;

/// Knows the authorities once they are needed.
pub(crate) struct Trust {
    environment: Arc<dyn Environment>,
    config: OnceLock<Result<Arc<ClientConfig>, String>>,
}

impl Trust {
    pub(crate) fn new(environment: Arc<dyn Environment>) -> Self {
        Self { environment, config: OnceLock::new() }
    }

    /// How TLS connections are made, or what is wrong with the machine's authorities. Where nothing is `needed`, none are loaded.
    pub(crate) fn config(&self, needed: bool) -> Result<Arc<ClientConfig>, String> {
        if !needed {
            return config(RootCertStore::empty());
        }
        self.config.get_or_init(|| config(self.roots()?)).clone()
    }

    fn roots(&self) -> Result<RootCertStore, String> {
        let mut roots = RootCertStore::empty();
        let machines = self.environment.authorities()?;
        // A machine's collection may hold some that are too old to be read.
        roots.add_parsable_certificates(machines.into_iter().map(CertificateDer::from));
        if roots.is_empty() {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        Ok(roots)
    }
}

fn config(roots: RootCertStore) -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}
