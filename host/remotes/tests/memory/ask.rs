//! Asking a remote.

use bytes::Bytes;
use futures::executor::block_on;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use lockkeeper_remotes::{Body, Remote, body};

/// A request such as `PUT /bucket/key`, with headers and a body.
pub fn request(line: &str, headers: &[(&str, &str)], bytes: impl Into<Bytes>) -> Request<Body> {
    let bytes = bytes.into();
    let (method, path) = line.split_once(' ').unwrap();
    let mut request = Request::builder().method(method).uri(path).header("host", "127.0.0.1:9000");
    if method == "PUT" || method == "POST" {
        request = request.header("content-length", bytes.len());
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body(bytes)).unwrap()
}

/// Reads an answer: status, headers, body.
pub fn read(response: Response<Body>) -> Answer {
    let (parts, body) = response.into_parts();
    let body = block_on(body.collect()).unwrap().to_bytes();
    Answer { status: parts.status.as_u16(), headers: parts.headers, body }
}

/// Asks and reads the answer.
pub fn ask(remote: &impl Remote, line: &str, headers: &[(&str, &str)], bytes: impl Into<Bytes>) -> Answer {
    read(block_on(remote.handle(request(line, headers, bytes))))
}

#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub headers: http::HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name} in {self:?}")).to_str().unwrap()
    }

    /// What stands between two tags.
    pub fn tag(&self, name: &str) -> Vec<&str> {
        let text = self.text();
        text.split(&format!("<{name}>")).skip(1).map(|rest| rest.split('<').next().unwrap()).collect()
    }
}

/// Polls two answers in turn until both are there: two requests at the same moment.
pub fn both(remote: &impl Remote, first: Request<Body>, second: Request<Body>) -> (u16, u16) {
    let (first, second) = block_on(futures::future::join(remote.handle(first), remote.handle(second)));
    (first.status().as_u16(), second.status().as_u16())
}
