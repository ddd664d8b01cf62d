//! `wasi:tls`: a guest's TCP connection, encrypted by the host.

use std::pin::Pin;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;
use wasmtime_wasi_tls::{Error, TlsProvider, TlsStream, TlsTransport};

use super::trust::Trust;

/// Verifies certificates against the same authorities as HTTP does.
pub(crate) struct Tls(pub(crate) Arc<Trust>);

type Connecting = Pin<Box<dyn Future<Output = Result<Box<dyn TlsStream>, Error>> + Send>>;

impl TlsProvider for Tls {
    fn connect(&self, server_name: String, transport: Box<dyn TlsTransport>) -> Connecting {
        let trust = self.0.clone();
        Box::pin(async move {
            let name = ServerName::try_from(server_name.clone())
                .map_err(|_| Error::msg(format!("`{}` is no server name", server_name.escape_debug())))?;
            let config = trust.config(true).map_err(Error::msg)?;
            let stream = TlsConnector::from(config).connect(name, transport).await.map_err(Error::msg)?;
            Ok(Box::new(stream) as Box<dyn TlsStream>)
        })
    }
}
