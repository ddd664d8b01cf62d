//! HTTP clients: pooled connections, TLS with the machine's authorities, bounded waits.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::GaiResolver;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;

use super::names::GrantedNames;
use super::trust::Trust;

/// A guest's client.
pub(super) type Client<B> = legacy::Client<HttpsConnector<HttpConnector<GrantedNames>>, B>;

/// How long one address may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// How long a connection is kept that nobody uses: less than servers keep them, so that they seldom close one that is about to be used.
const IDLE: Duration = Duration::from_secs(15);

/// How often a silent connection is asked whether it still stands.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// A client that keeps as many connections as it has had requests in flight.
pub(super) fn guests_client<B>(names: GrantedNames, tls: Arc<ClientConfig>) -> Client<B>
where
    B: http_body::Body<Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
    B::Data: Send,
{
    let connector = connector(HttpConnector::new_with_resolver(names), tls);
    builder().build(connector)
}

fn builder() -> legacy::Builder {
    let mut builder = legacy::Client::builder(TokioExecutor::new());
    builder.pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE);
    builder
}

fn connector<R>(mut tcp: HttpConnector<R>, tls: Arc<ClientConfig>) -> HttpsConnector<HttpConnector<R>> {
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT));
    tcp.set_keepalive(Some(KEEPALIVE));
    let tls = HttpsConnectorBuilder::new().with_tls_config(ClientConfig::clone(&tls));
    tls.https_or_http().enable_http1().wrap_connector(tcp)
}

/// The client of the host's own requests, which no grant bounds.
#[derive(Clone)]
pub(crate) struct HostClient {
    trust: Arc<Trust>,
    client: Arc<OnceLock<Result<Own, String>>>,
}

type Own = legacy::Client<HttpsConnector<HttpConnector<GaiResolver>>, Full<Bytes>>;

impl HostClient {
    pub(crate) fn new(trust: Arc<Trust>) -> Self {
        Self { trust, client: Arc::default() }
    }

    /// The client, or what is wrong with the authorities that it should trust.
    pub(crate) fn get(&self) -> Result<&Own, &str> {
        let made = self
            .client
            .get_or_init(|| Ok(builder().build(connector(HttpConnector::new(), self.trust.config(true)?))));
        made.as_ref().map_err(String::as_str)
    }
}
