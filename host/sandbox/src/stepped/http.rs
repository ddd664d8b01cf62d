//! `wasi:http` whose requests are answered in this process.
//!
//! A request is one operation: the guest is stopped when the whole request is known and before anybody sees it. That an
//! answer arrives is none, since nobody else can tell when it does; an answer that is lost is a way to fail.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use super::clock::GuestClock;
use super::gate::{Area, Directive, Gate, Injected, Operation, Performed, Touch};
use crate::denial::{Denial, Denials};
use crate::grants::HttpOrigin;

/// How long the host waits for an answer, in nanoseconds of virtual time.
const PATIENCE: u64 = 60 * 1_000_000_000;

/// A server in this process.
pub trait Endpoint: Send + Sync {
    /// Whether it answers requests to this origin, such as `https://s3.test`.
    fn serves(&self, origin: &str) -> bool;
    /// Carries a request out and answers it.
    fn answer(&self, request: http::Request<Bytes>) -> http::Response<Bytes>;
    /// What a request reads and writes, whatever it is answered.
    fn touches(&self, request: &http::Request<Bytes>) -> Vec<Touch>;
}

/// Answers one guest's requests.
pub(crate) struct Answers {
    pub(crate) endpoints: Vec<Arc<dyn Endpoint>>,
    pub(crate) gate: Gate,
    pub(crate) clock: GuestClock,
    pub(crate) denials: Denials,
}

type Sent = (http::Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>);

impl WasiHttpHooks for Answers {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        _: Option<RequestOptions>,
        _body: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Result<Sent, Error>> + Send> {
        let origin = HttpOrigin::of(request.uri()).map(|origin| origin.to_string()).unwrap_or_default();
        let Some(endpoint) = self.endpoints.iter().find(|endpoint| endpoint.serves(&origin)).cloned() else {
            self.denials.add(Denial::Http { origin });
            return Box::new(std::future::ready(Err(Error::HttpRequestDenied)));
        };
        let (gate, clock) = (self.gate.clone(), self.clock.clone());
        Box::new(async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            let response =
                exchange(&*endpoint, &gate, &clock, http::Request::from_parts(parts, body)).await?;
            let done: Box<dyn Future<Output = Result<(), Error>> + Send> =
                Box::new(std::future::ready(Ok(())));
            Ok((response, done))
        })
    }
}

/// What may happen to any request; what may happen only to those that change something comes after.
const FAULTS: [Injected; 6] = [
    Injected::Status(503),
    Injected::Reset,
    Injected::Status(403),
    Injected::Garbage,
    Injected::Truncated,
    Injected::Hang,
];

async fn exchange(
    endpoint: &dyn Endpoint,
    gate: &Gate,
    clock: &GuestClock,
    request: http::Request<Bytes>,
) -> Result<http::Response<WasiBody>, Error> {
    let touches = endpoint.touches(&request);
    let writes = touches.iter().any(|touch| touch.writes);
    let mut faults = FAULTS.to_vec();
    if writes {
        faults.push(Injected::LostAnswer);
    }
    let path = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
    let host = request.uri().authority().map(ToString::to_string).unwrap_or_default();
    let operation = Operation {
        call: request.method().to_string().into(),
        area: Area::Remote,
        path: format!("{host}{path}").into(),
        other: None,
        detail: condition(&request),
        touches: Vec::new(),
        performed: Performed::Not,
        faults: faults.into(),
        tearable: false,
    };
    let (directive, mut operation) = gate.pass(operation).await;
    operation.touches = touches;
    let injected = match directive {
        Directive::Proceed => None,
        Directive::Fail(injected) => Some(injected),
        Directive::Tear => Some(Injected::Reset),
    };
    let carried_out = !matches!(injected, Some(Injected::Status(_) | Injected::Reset | Injected::Hang));
    let response = carried_out.then(|| endpoint.answer(request));
    let changed = response.as_ref().is_some_and(|response| response.status().is_success());
    operation.touches.iter_mut().for_each(|touch| touch.writes &= changed);
    operation.performed = match (&injected, &response) {
        (None, Some(response)) => Performed::Done(response.status().as_u16().to_string()),
        (None, None) => Performed::Not,
        (Some(injected), _) => Performed::Failed(named(*injected)),
    };
    gate.performed(operation);
    match (injected, response) {
        (None, Some(response)) => Ok(response.map(whole)),
        (Some(Injected::Garbage), Some(response)) => Ok(garbage(response).map(whole)),
        (Some(Injected::Truncated), Some(response)) => Ok(response.map(half)),
        (Some(Injected::Status(status)), _) => {
            let status =
                http::StatusCode::from_u16(status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
            let mut response = http::Response::new(whole(Bytes::new()));
            *response.status_mut() = status;
            Ok(response)
        }
        (Some(Injected::Hang), _) => {
            clock.pass(gate, PATIENCE).await;
            Err(Error::HttpResponseTimeout)
        }
        _ => Err(Error::ConnectionTerminated),
    }
}

/// The condition that a request carries, for the table.
fn condition(request: &http::Request<Bytes>) -> String {
    let conditions = ["if-match", "if-none-match", "x-goog-if-generation-match"];
    let headers = conditions.into_iter().filter_map(|name| {
        let value = request.headers().get(name)?.to_str().ok()?;
        Some(format!("{name}: {value}"))
    });
    headers.collect::<Vec<_>>().join(", ")
}

pub(super) fn named(injected: Injected) -> String {
    match injected {
        Injected::File(fault) => fault.name().to_owned(),
        Injected::Status(status) => status.to_string(),
        Injected::LostAnswer => "carried out, and the answer lost".to_owned(),
        Injected::Reset => "connection reset".to_owned(),
        Injected::Garbage => "answered with garbage".to_owned(),
        Injected::Truncated => "answered by half".to_owned(),
        Injected::Hang => "never answered".to_owned(),
        Injected::Refused => "connection refused".to_owned(),
    }
}

fn whole(bytes: Bytes) -> WasiBody {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

/// A body that breaks off.
fn half(bytes: Bytes) -> WasiBody {
    Half(Some(bytes.slice(..bytes.len() / 2))).boxed_unsync()
}

/// The first half of a body, until it was handed out.
struct Half(Option<Bytes>);

impl Body for Half {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        Poll::Ready(Some(self.0.take().map(Frame::data).ok_or(Error::ConnectionTerminated)))
    }
}

/// The same answer with another body, and without what describes the right one.
fn garbage(response: http::Response<Bytes>) -> http::Response<Bytes> {
    let (mut parts, _) = response.into_parts();
    for name in ["content-length", "etag", "x-goog-generation", "x-goog-hash", "content-md5"] {
        parts.headers.remove(name);
    }
    http::Response::from_parts(parts, Bytes::from_static(b"\x00\xff<garbage/>{\"not\": [what] was asked for"))
}
