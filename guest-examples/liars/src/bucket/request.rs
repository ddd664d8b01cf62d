//! One request and its answer.

mod socket;

use wasip2::http::outgoing_handler::handle;
use wasip2::http::types::{
    Fields, IncomingBody, IncomingResponse, Method, OutgoingBody, OutgoingRequest, Scheme,
};
use wasip2::io::streams::StreamError;

use crate::types::{Error, Failure};
use crate::{fail, retry};

/// Where a bucket is.
pub(super) struct Origin {
    scheme: Scheme,
    authority: String,
    path: String,
}

/// What has to hold for a request to be carried out.
pub(super) enum Condition {
    None,
    Absent,
    Is(String),
}

pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) version: Option<String>,
    pub(super) body: Vec<u8>,
}

impl Origin {
    pub(super) fn parse(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let scheme = match scheme {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            "tcp" => Scheme::Other(scheme.to_owned()),
            _ => return None,
        };
        let (authority, path) = rest.split_once('/')?;
        let path = path.trim_end_matches('/');
        (!authority.is_empty() && !path.is_empty()).then(|| Self {
            scheme,
            authority: authority.to_owned(),
            path: path.to_owned(),
        })
    }

    pub(super) fn send(
        &self,
        method: &str,
        key: &str,
        condition: &Condition,
        content: &[u8],
    ) -> Result<Answer, Error> {
        self.try_send(method, key, condition, content)
            .map_err(|problem| retry(format!("{method} {key}: {problem}")))
    }

    fn try_send(
        &self,
        method: &str,
        key: &str,
        condition: &Condition,
        content: &[u8],
    ) -> Result<Answer, String> {
        let mut headers = Vec::new();
        match condition {
            Condition::None => {}
            Condition::Absent => headers.push(("if-none-match".to_owned(), b"*".to_vec())),
            Condition::Is(version) => headers.push(("if-match".to_owned(), version.clone().into_bytes())),
        }
        if matches!(self.scheme, Scheme::Other(_)) {
            return socket::exchange(
                &self.authority,
                method,
                &format!("/{}/{key}", self.path),
                &headers,
                content,
            );
        }
        let method = match method {
            "GET" => Method::Get,
            "HEAD" => Method::Head,
            "DELETE" => Method::Delete,
            _ => Method::Put,
        };
        if matches!(method, Method::Put) {
            headers.push(("content-length".to_owned(), content.len().to_string().into_bytes()));
        }
        let request = OutgoingRequest::new(Fields::from_list(&headers).map_err(said)?);
        let wrong = |()| "this is no request".to_owned();
        request.set_method(&method).map_err(wrong)?;
        request.set_scheme(Some(&self.scheme)).map_err(wrong)?;
        request.set_authority(Some(&self.authority)).map_err(wrong)?;
        request.set_path_with_query(Some(&format!("/{}/{key}", self.path))).map_err(wrong)?;

        let body = request.body().map_err(wrong)?;
        let answer = handle(request, None).map_err(said)?;
        let stream = body.write().map_err(wrong)?;
        for chunk in content.chunks(4096) {
            stream.blocking_write_and_flush(chunk).map_err(said)?;
        }
        drop(stream);
        OutgoingBody::finish(body, None).map_err(said)?;
        answer.subscribe().block();
        let response = answer.get().and_then(Result::ok).ok_or("there is no answer")?.map_err(said)?;
        Answer::read(&response)
    }
}

impl Answer {
    fn read(response: &IncomingResponse) -> Result<Self, String> {
        let version = response.headers().get("etag").pop().and_then(|value| String::from_utf8(value).ok());
        let consumed = |()| "the body was read before".to_owned();
        let incoming = response.consume().map_err(consumed)?;
        let stream = incoming.stream().map_err(consumed)?;
        let mut body = Vec::new();
        loop {
            match stream.blocking_read(64 * 1024) {
                Ok(chunk) => body.extend(chunk),
                Err(StreamError::Closed) => break,
                Err(error) => return Err(said(error)),
            }
        }
        drop(stream);
        IncomingBody::finish(incoming);
        Ok(Self { status: response.status(), version, body })
    }

    pub(super) fn says(&self, code: &str) -> bool {
        String::from_utf8_lossy(&self.body).contains(code)
    }

    /// The answer, unless it says that the request was not carried out.
    pub(super) fn succeeded(self) -> Result<Self, Error> {
        let failure = || Failure { status: Some(self.status), ..fail(String::from_utf8_lossy(&self.body)) };
        match self.status {
            200..=299 => Ok(self),
            401 | 403 => Err(Error::Reauthenticate(failure())),
            404 => Err(Error::Config(failure())),
            429 | 500..=599 => Err(Error::Retry(failure())),
            _ => Err(Error::Fatal(failure())),
        }
    }
}

fn said(error: impl std::fmt::Debug) -> String {
    format!("{error:?}")
}
