//! A guest's way to the network: every connection is made by the host, to where a grant reaches, on the address that is
//! really dialled.

mod client;
mod failure;
mod names;
mod patience;
mod sockets;
mod tls;
mod trust;

use std::future::Future;
use std::sync::{Arc, OnceLock};

use http_body::Body;
use http_body_util::BodyExt;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

pub(crate) use self::client::HostClient;
use self::client::{Client, guests_client};
pub(crate) use self::failure::innermost;
use self::failure::{Failure, body_failure};
use self::names::GrantedNames;
use self::patience::{Patient, Waits, Watched};
pub(crate) use self::sockets::allows_socket;
pub(crate) use self::tls::Tls;
pub(crate) use self::trust::Trust;
use crate::auth::{Credentials, Scheme, Sender};
use crate::call::Permit;
use crate::denial::{Denial, Denials};
use crate::grants::{Grants, HttpOrigin};
use crate::secret::{Environment, NoEnvironment};

/// What all calls of one command share on the network: connections that are kept open, the authorities that are
/// trusted, and the credentials of bound origins. Nothing is loaded before it is needed.
#[derive(Clone)]
pub struct Network(Arc<Shared>);

struct Shared {
    grants: Arc<Grants>,
    trust: Arc<Trust>,
    credentials: Credentials,
    client: OnceLock<Result<Client<Watched>, String>>,
}

impl Network {
    /// For these grants, with schemes bound to some of their origins.
    pub fn new(
        grants: &Grants,
        bindings: Vec<(HttpOrigin, Scheme)>,
        environment: Arc<dyn Environment>,
    ) -> Self {
        let trust = Arc::new(Trust::new(environment.clone()));
        let credentials = Credentials::new(bindings, &environment, &Sender::new(trust.clone()));
        Self(Arc::new(Shared {
            grants: Arc::new(grants.clone()),
            trust,
            credentials,
            client: OnceLock::new(),
        }))
    }

    pub(crate) fn trust(&self) -> Arc<Trust> {
        self.0.trust.clone()
    }

    fn client(&self) -> Result<&Client<Watched>, Failure> {
        let Shared { grants, trust, client, .. } = &*self.0;
        let encrypted = grants.http.iter().any(HttpOrigin::is_encrypted);
        let made =
            client.get_or_init(|| Ok(guests_client(GrantedNames(grants.clone()), trust.config(encrypted)?)));
        made.as_ref().map_err(|problem| Failure::Untrusted(problem.clone()))
    }

    /// Sends a request with the credentials of its origin, and brings its answer without them.
    async fn send(
        &self,
        origin: &HttpOrigin,
        request: http::Request<WasiBody>,
        options: RequestOptions,
        denials: &Denials,
    ) -> Result<http::Response<WasiBody>, Failure> {
        let (mut parts, body) = request.into_parts();
        let given = self.0.credentials.sign(origin, &mut parts).await.map_err(Failure::Unsigned)?;
        let waits = Waits::new(options);
        let client = self.client()?;
        // A server may close a connection just as it is used again. What asks for nothing but an answer is sent once more.
        let again = (parts.method.is_safe() && body.is_end_stream()).then(|| parts.clone());
        let mut answer = waits.exchange(client, http::Request::from_parts(parts, body)).await;
        if let (Err(failure), Some(parts)) = (&answer, again)
            && failure.is_hangup()
        {
            let body = http_body_util::Empty::new().map_err(|never| match never {}).boxed_unsync();
            answer = waits.exchange(client, http::Request::from_parts(parts, body)).await;
        }
        let answer = answer?
            .map(|body| Patient::new(body, waits.between_bytes()).map_err(body_failure).boxed_unsync());
        match given {
            Some(given) => given.clean(answer, denials).await.map_err(Failure::Other),
            None => Ok(answer),
        }
    }
}

impl Default for Network {
    /// To nowhere.
    fn default() -> Self {
        Self::new(&Grants::default(), Vec::new(), Arc::new(NoEnvironment))
    }
}

/// Sends the HTTP requests of one call, if they go where it may.
pub(crate) struct Requests {
    grants: Arc<Grants>,
    denials: Denials,
    network: Network,
    permit: Arc<dyn Permit>,
}

impl Requests {
    pub(crate) fn new(
        grants: Arc<Grants>,
        denials: Denials,
        network: Network,
        permit: Arc<dyn Permit>,
    ) -> Self {
        Self { grants, denials, network, permit }
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
        let origin = match HttpOrigin::of(request.uri()) {
            Some(origin) if self.grants.allows_origin(&origin) => origin,
            origin => {
                let origin = origin.map_or_else(|| request.uri().to_string(), |origin| origin.to_string());
                self.denials.add(Denial::Http { origin });
                return Box::new(std::future::ready(Err(Error::HttpRequestDenied)));
            }
        };
        let (network, denials, permit) = (self.network.clone(), self.denials.clone(), self.permit.clone());
        Box::new(async move {
            if permit.is_revoked() {
                return Err(Error::HttpRequestDenied);
            }
            let sent = network.send(&origin, request, options.unwrap_or_default(), &denials).await;
            let response = sent.map_err(|failure| failure.told(&origin, &denials))?;
            let done: Box<dyn Future<Output = Result<(), Error>> + Send> =
                Box::new(std::future::ready(Ok(())));
            Ok((response, done))
        })
    }

    /// With the next one, a megabyte for each request in flight: enough for the connection never to wait for the guest.
    fn p2_outgoing_body_buffer_chunks(&mut self) -> usize {
        8
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        128 * 1024
    }
}

#[cfg(test)]
mod tests;
