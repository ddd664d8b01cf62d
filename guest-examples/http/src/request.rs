//! One exchange with a store.

use std::pin::pin;

use bytes::Bytes;
use futures_util::future::{Either, select};
use futures_util::stream::LocalBoxStream;
use http::{Method, StatusCode};
use lockkeeper_sdk::{Error, Result};
use wasip2::http::outgoing_handler;
use wasip2::http::types as wasi;
use wstd::runtime::AsyncPollable;

use crate::Endpoint;
use crate::incoming::Incoming;
use crate::outgoing::{Content, Unsent, write};
use crate::transport::failed;

/// How much is read of an answer to find out what is wrong.
const SAID: usize = 64 * 1024;

/// A request. It carries no credentials; the host adds them.
pub struct Request<'a> {
    method: Method,
    endpoint: &'a Endpoint,
    target: String,
    headers: Vec<(String, Vec<u8>)>,
    content: Content<'a>,
}

impl<'a> Request<'a> {
    /// Makes a request for what lies at `target` below the endpoint: an encoded path that begins with `/`, and a query.
    pub fn new(method: Method, endpoint: &'a Endpoint, target: &str) -> Self {
        let target = format!("{}{target}", endpoint.path);
        Self { method, endpoint, target, headers: Vec::new(), content: Content::default() }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.as_bytes().to_vec()));
        self
    }

    /// Adds what the request carries.
    #[must_use]
    pub fn content(mut self, content: Content<'a>) -> Self {
        self.content = content;
        self
    }

    /// Sends it, and waits for the head of the answer, as long as the host lets it wait.
    pub async fn send(mut self) -> Result<Response> {
        let origin = self.endpoint.origin();
        let size = self.content.size();
        if size > 0 || matches!(self.method, Method::PUT | Method::POST) {
            self = self.header("content-length", &size.to_string());
        }
        let request = self.prepare()?;
        let body = match size {
            0 => None,
            _ => Some(request.body().map_err(|()| Error::fatal("the host gives a request no body"))?),
        };
        let answer = outgoing_handler::handle(request, None).map_err(|code| failed(&code, &origin))?;
        let mut answered = pin!(answered(&answer, &origin));
        if let Some(body) = body {
            match select(pin!(write(body, self.content)), answered.as_mut()).await {
                Either::Left((Err(Unsent::Unread(error)), _)) => return Err(error),
                // Why the connection was closed may be said in the answer.
                Either::Left((Ok(()) | Err(Unsent::Closed), _)) => {}
                Either::Right((Ok(response), rest)) if response.status.is_success() => {
                    return match rest.await {
                        Ok(()) => Ok(response),
                        Err(Unsent::Unread(error)) => Err(error),
                        Err(Unsent::Closed) => {
                            Err(Error::retry(format!("{origin} answered before it had the whole request")))
                        }
                    };
                }
                // What was refused early need not be sent to its end. But the answer ends with the request.
                Either::Right((Ok(response), _)) => return Ok(response.collected().await),
                Either::Right((Err(error), _)) => return Err(error),
            }
        }
        answered.await
    }

    fn prepare(&self) -> Result<wasi::OutgoingRequest> {
        let unfit = |what: &str| Error::fatal(format!("a request's {what} was refused by the host"));
        let headers = wasi::Fields::from_list(&self.headers).map_err(|_| unfit("header"))?;
        let request = wasi::OutgoingRequest::new(headers);
        let scheme = if self.endpoint.secure { wasi::Scheme::Https } else { wasi::Scheme::Http };
        request.set_method(&method(&self.method)).map_err(|()| unfit("method"))?;
        request.set_scheme(Some(&scheme)).map_err(|()| unfit("scheme"))?;
        request.set_authority(Some(&self.endpoint.authority)).map_err(|()| unfit("host"))?;
        request.set_path_with_query(Some(&self.target)).map_err(|()| unfit("path"))?;
        Ok(request)
    }
}

async fn answered(answer: &wasi::FutureIncomingResponse, origin: &str) -> Result<Response> {
    let result = match answer.get() {
        Some(result) => result,
        None => {
            AsyncPollable::new(answer.subscribe()).wait_for().await;
            answer.get().ok_or_else(|| Error::retry(format!("no answer of {origin}")))?
        }
    };
    let response = result
        .map_err(|()| Error::fatal("an answer was taken twice"))?
        .map_err(|code| failed(&code, origin))?;
    Response::new(&response, origin)
}

fn method(method: &Method) -> wasi::Method {
    match method.as_str() {
        "GET" => wasi::Method::Get,
        "PUT" => wasi::Method::Put,
        "POST" => wasi::Method::Post,
        "DELETE" => wasi::Method::Delete,
        other => wasi::Method::Other(other.to_owned()),
    }
}

/// The head of an answer, and its body that is still to be read.
pub struct Response {
    /// The status.
    pub status: StatusCode,
    headers: Vec<(String, Vec<u8>)>,
    body: Incoming,
}

impl Response {
    fn new(response: &wasi::IncomingResponse, origin: &str) -> Result<Self> {
        let status = StatusCode::from_u16(response.status())
            .map_err(|_| Error::retry(format!("{origin} answers with an impossible status")))?;
        let mut whole =
            Self { status, headers: response.headers().entries(), body: Incoming::empty(origin.to_owned()) };
        let size = match whole.header("content-length") {
            Some(text) => Some(text.parse().map_err(|_| {
                Error::retry(format!("{origin} answers with an impossible length"))
                    .with_status(status.as_u16())
            })?),
            None => None,
        };
        let bodiless = matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        if !bodiless && size != Some(0) {
            let body = response.consume().map_err(|()| Error::fatal("an answer's body was taken twice"))?;
            whole.body = Incoming::new(origin.to_owned(), body, size)?;
        }
        Ok(whole)
    }

    /// The same with as much of the body in memory as says what is wrong.
    async fn collected(mut self) -> Self {
        let bytes = self.body.take(SAID).await;
        Self { body: Incoming::read(self.body.origin().to_owned(), bytes), ..self }
    }

    /// The beginning of the body, as much as says what is wrong.
    pub(crate) async fn said(mut self) -> Result<Bytes> {
        self.body.take(SAID).await
    }

    /// The same without the body.
    pub(crate) fn head(&self) -> Self {
        Self { status: self.status, headers: self.headers.clone(), body: Incoming::empty(String::new()) }
    }

    /// A header's value, if there is one and it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(found, _)| found.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(value).ok()
    }

    /// Collects the body, of at most `limit` bytes.
    pub async fn bytes(self, limit: usize) -> Result<Bytes> {
        self.body.collect(limit).await
    }

    /// The body as it arrives.
    pub fn stream(self) -> LocalBoxStream<'static, Result<Bytes>> {
        self.body.stream()
    }
}
