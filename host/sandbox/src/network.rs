//! Checks each connection of a guest against its grants, on the address that is really dialled.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::BodyExt;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::TokioExecutor;
use wasmtime_wasi::sockets::SocketAddrUse;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use crate::denial::{Denial, Denials};
use crate::grants::{Grants, HttpOrigin};

/// How long to wait for a connection or an answer when the guest doesn't say.
const PATIENCE: Duration = Duration::from_secs(60);

/// Sends the HTTP requests of one call, if they go where it may.
pub(crate) struct Requests {
    grants: Arc<Grants>,
    denials: Denials,
    client: Option<Client<HttpsConnector<HttpConnector<GrantedNames>>, WasiBody>>,
}

impl Requests {
    pub(crate) fn new(grants: Arc<Grants>, denials: Denials) -> Self {
        Self { grants, denials, client: None }
    }

    /// One client for the call, so that its connections are used again.
    fn client(&mut self) -> Client<HttpsConnector<HttpConnector<GrantedNames>>, WasiBody> {
        let (grants, denials) = (&self.grants, &self.denials);
        self.client
            .get_or_insert_with(|| {
                let names = GrantedNames { grants: grants.clone(), denials: denials.clone() };
                let mut tcp = HttpConnector::new_with_resolver(names);
                tcp.enforce_http(false);
                tcp.set_nodelay(true);
                let tls = HttpsConnectorBuilder::new().with_webpki_roots().https_or_http().enable_http1();
                Client::builder(TokioExecutor::new()).build(tls.wrap_connector(tcp))
            })
            .clone()
    }
}

type Sent = (http::Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>);

impl WasiHttpHooks for Requests {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _body: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Result<Sent, Error>> + Send> {
        match HttpOrigin::of(request.uri()) {
            Some(origin) if self.grants.allows_origin(&origin) => {}
            origin => {
                let origin = origin.map_or_else(|| request.uri().to_string(), |origin| origin.to_string());
                self.denials.add(Denial::Http { origin });
                return Box::new(std::future::ready(Err(Error::HttpRequestDenied)));
            }
        }
        let client = self.client();
        Box::new(async move {
            let options = options.unwrap_or_default();
            let patience =
                options.connect_timeout.unwrap_or(PATIENCE) + options.first_byte_timeout.unwrap_or(PATIENCE);
            let response = tokio::time::timeout(patience, client.request(request))
                .await
                .map_err(|_| Error::ConnectionReadTimeout)?
                .map_err(|error| Error::Connect(io::Error::other(error)))?;
            let response = response.map(|body| body.map_err(Error::Hyper).boxed_unsync());
            let done: Box<dyn Future<Output = Result<(), Error>> + Send> =
                Box::new(std::future::ready(Ok(())));
            Ok((response, done))
        })
    }
}

/// Resolves names to the addresses that their grants reach.
#[derive(Clone)]
struct GrantedNames {
    grants: Arc<Grants>,
    denials: Denials,
}

impl tower_service::Service<Name> for GrantedNames {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, io::Error>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let Self { grants, denials } = self.clone();
        Box::pin(async move {
            let found = resolve(&grants, &denials, name.as_str(), 0).await?;
            Ok(found.into_iter())
        })
    }
}

async fn resolve(grants: &Grants, denials: &Denials, name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let mut allowed = Vec::new();
    for address in tokio::net::lookup_host((name, port)).await? {
        if grants.allows_address_of(name, address.ip()) {
            allowed.push(address);
        } else {
            denials.add(Denial::PrivateAddress { host: name.to_owned(), address: address.ip() });
        }
    }
    if allowed.is_empty() {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "no address that a grant reaches"));
    }
    Ok(allowed)
}

/// Whether a guest may use a socket address: only to connect, only to what a TCP grant reaches now.
pub(crate) async fn allows_socket(
    grants: Arc<Grants>,
    denials: Denials,
    address: SocketAddr,
    socket_use: SocketAddrUse,
) -> bool {
    // A connection binds its own end first, to any address and port.
    if matches!(socket_use, SocketAddrUse::TcpBind) && address.ip().is_unspecified() && address.port() == 0 {
        return true;
    }
    if matches!(socket_use, SocketAddrUse::TcpConnect) {
        for target in &grants.tcp {
            let (host, port) = target.target();
            if port != address.port() {
                continue;
            }
            let reached = match host {
                Ok(granted) => granted == address.ip().to_canonical(),
                Err(name) => resolve(&grants, &denials, name, port).await.is_ok_and(|found| {
                    found.iter().any(|found| found.ip().to_canonical() == address.ip().to_canonical())
                }),
            };
            if reached {
                return true;
            }
        }
    }
    denials.add(Denial::Tcp { address });
    false
}

#[cfg(test)]
mod tests {
    use http_body_util::Empty;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    async fn get(requests: &mut Requests, uri: &str) -> Result<http::StatusCode, Error> {
        let body = Empty::new().map_err(|never: std::convert::Infallible| match never {}).boxed_unsync();
        let request = http::Request::get(uri).body(body).unwrap();
        let sent = requests.send_request(request, None, Box::new(std::future::ready(Ok(()))));
        Box::into_pin(sent).await.map(|(response, _)| response.status())
    }

    #[tokio::test]
    async fn a_request_goes_to_a_granted_origin_and_to_no_other() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let answered = tokio::spawn(async move {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            let length = connection.read(&mut request).await.unwrap();
            connection.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
            (String::from_utf8_lossy(&request[..length]).into_owned(), listener)
        });
        let http = vec![format!("http://127.0.0.1:{port}").parse().unwrap()];
        let grants = Arc::new(Grants { http, ..Grants::default() });
        let denials = Denials::default();
        let mut requests = Requests::new(grants, denials.clone());
        for uri in [format!("http://localhost:{port}/secret"), "https://127.0.0.1/secret".to_owned()] {
            assert!(matches!(get(&mut requests, &uri).await, Err(Error::HttpRequestDenied)), "{uri}");
        }
        let denied = denials.take();
        assert_eq!(denied[0], Denial::Http { origin: format!("http://localhost:{port}") });
        assert_eq!(denied[1], Denial::Http { origin: "https://127.0.0.1".to_owned() });
        let status = get(&mut requests, &format!("http://127.0.0.1:{port}/wanted")).await.unwrap();
        assert_eq!(status, http::StatusCode::NO_CONTENT);
        let (request, _) = answered.await.unwrap();
        assert!(request.starts_with("GET /wanted "), "the first request that arrived: {request}");
        assert!(denials.take().is_empty());
    }

    #[tokio::test]
    async fn a_granted_name_with_a_private_address_is_denied_by_its_address() {
        let grants = Grants { http: vec!["http://example.org".parse().unwrap()], ..Grants::default() };
        let denials = Denials::default();
        assert!(resolve(&grants, &denials, "localhost", 80).await.is_ok());
        // Names that are addresses take the same way as names that lead to them.
        assert!(resolve(&grants, &denials, "10.1.2.3", 80).await.is_err());
        let denied = denials.take();
        assert!(
            matches!(denied.as_slice(), [Denial::PrivateAddress { host, .. }] if host == "10.1.2.3"),
            "{denied:?}"
        );
    }
}
