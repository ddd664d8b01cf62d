//! Object stores in this process, and what their requests touch.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::hash::{Hash, Hasher};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body_util::BodyExt;
use lockkeeper_remotes::gcs::{self, MemoryGcs};
use lockkeeper_remotes::s3::{self, MemoryS3};
use lockkeeper_remotes::{Content, Remote, body};
use lockkeeper_sandbox::stepped::{Endpoint, Reach, Touch};
use percent_encoding::percent_decode_str;

/// The protocol of an object store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Amazon S3.
    S3,
    /// Google Cloud Storage, as JSON.
    Gcs,
}

/// An object store that the extension is granted; in a check it is one in memory.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StoreGrant {
    /// What it speaks.
    pub protocol: Protocol,
    /// Where guests find it, such as `https://s3.test`.
    pub origin: String,
    /// The one bucket in it.
    pub bucket: String,
}

/// A store that lives as long as its subject. Runs put a state into it and take one out.
pub(crate) struct Live {
    grant: StoreGrant,
    server: Server,
}

enum Server {
    S3(Box<MemoryS3>),
    Gcs(Box<MemoryGcs>),
}

/// Everything in a store at one moment.
#[derive(Clone)]
pub(crate) enum State {
    S3(s3::Snapshot),
    Gcs(gcs::Snapshot),
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").finish_non_exhaustive()
    }
}

impl Live {
    pub(crate) fn new(grant: &StoreGrant) -> Result<Arc<Self>, String> {
        let bucket = grant.bucket.clone();
        let server = match grant.protocol {
            Protocol::S3 => {
                let options = s3::Options { bucket, ..s3::Options::default() };
                Server::S3(Box::new(MemoryS3::new(options).map_err(|error| error.to_string())?))
            }
            Protocol::Gcs => {
                let options = gcs::Options { bucket, ..gcs::Options::default() };
                Server::Gcs(Box::new(MemoryGcs::new(options)))
            }
        };
        Ok(Arc::new(Self { grant: grant.clone(), server }))
    }

    pub(crate) fn state(&self) -> State {
        match &self.server {
            Server::S3(server) => State::S3(server.snapshot()),
            Server::Gcs(server) => State::Gcs(server.snapshot()),
        }
    }

    pub(crate) fn restore(&self, state: &State) {
        match (&self.server, state) {
            (Server::S3(server), State::S3(state)) => {
                server.restore(state);
                server.clear_log();
            }
            (Server::Gcs(server), State::Gcs(state)) => {
                server.restore(state);
                server.clear_log();
            }
            _ => {}
        }
    }

    fn objects(&self) -> BTreeMap<String, Content> {
        match &self.server {
            Server::S3(server) => server.objects(),
            Server::Gcs(server) => server.objects(),
        }
    }

    /// Adds everything in it to a hash.
    pub(crate) fn fingerprint(&self, state: &State, hasher: &mut impl Hasher) {
        self.restore(state);
        for (key, content) in self.objects() {
            (key, content.to_bytes()).hash(hasher);
        }
    }

    fn touch(&self, key: &str, reach: Reach, writes: bool) -> Touch {
        let host = self.grant.origin.split_once("://").map_or(self.grant.origin.as_str(), |(_, host)| host);
        Touch { path: format!("{host}/{}/{key}", self.grant.bucket).into(), reach, writes }
    }
}

impl Endpoint for Live {
    fn serves(&self, origin: &str) -> bool {
        self.grant.origin == origin
    }

    fn answer(&self, request: http::Request<Bytes>) -> http::Response<Bytes> {
        let request = request.map(body);
        let answered = at_once(async {
            let response = match &self.server {
                Server::S3(server) => server.handle(request).await,
                Server::Gcs(server) => server.handle(request).await,
            };
            let (parts, body) = response.into_parts();
            let bytes = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            http::Response::from_parts(parts, bytes)
        });
        answered.unwrap_or_else(|| {
            let mut response = http::Response::new(Bytes::new());
            *response.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
            response
        })
    }

    fn touches(&self, request: &http::Request<Bytes>) -> Vec<Touch> {
        let writes = !request.method().is_safe();
        let target = match self.grant.protocol {
            Protocol::S3 => s3_target(request, &self.grant.bucket),
            Protocol::Gcs => gcs_target(request),
        };
        match target {
            Target::Object(key) => vec![self.touch(&key, Reach::Itself, writes)],
            Target::Prefix(prefix) => vec![self.touch(&prefix, Reach::Prefix, writes)],
            Target::Copy { from, to } => {
                vec![self.touch(&from, Reach::Itself, false), self.touch(&to, Reach::Itself, true)]
            }
        }
    }
}

/// What a request is about.
#[derive(Debug, PartialEq, Eq)]
enum Target {
    Object(String),
    /// A listing, or anything that can't be told from the request's line.
    Prefix(String),
    Copy {
        from: String,
        to: String,
    },
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn query(request: &http::Request<Bytes>, name: &str) -> Option<String> {
    let pairs = request.uri().query().unwrap_or_default().split('&');
    let value = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).find(|(key, _)| *key == name)?.1;
    Some(decoded(value))
}

fn s3_target(request: &http::Request<Bytes>, bucket: &str) -> Target {
    let path = request.uri().path().trim_start_matches('/');
    let key = path.strip_prefix(bucket).unwrap_or(path).trim_start_matches('/');
    if key.is_empty() {
        return Target::Prefix(query(request, "prefix").unwrap_or_default());
    }
    let source = request.headers().get("x-amz-copy-source").and_then(|value| value.to_str().ok());
    match source {
        Some(source) => {
            let source = decoded(source.trim_start_matches('/'));
            let from = source.split_once('/').map_or(source.as_str(), |(_, key)| key).to_owned();
            Target::Copy { from, to: decoded(key) }
        }
        None => Target::Object(decoded(key)),
    }
}

fn gcs_target(request: &http::Request<Bytes>) -> Target {
    let segments: Vec<&str> = request.uri().path().split('/').collect();
    let objects: Vec<String> = segments
        .iter()
        .zip(segments.iter().skip(1))
        .filter(|(before, _)| **before == "o")
        .map(|(_, object)| decoded(object))
        .collect();
    match objects.as_slice() {
        [from, to] => Target::Copy { from: from.clone(), to: to.clone() },
        [object] => Target::Object(object.clone()),
        _ => match query(request, "name") {
            Some(name) => Target::Object(name),
            None => Target::Prefix(query(request, "prefix").unwrap_or_default()),
        },
    }
}

/// Runs what never waits for anything outside of itself.
fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    for _ in 0..10_000 {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, uri: &str) -> http::Request<Bytes> {
        http::Request::builder().method(method).uri(uri).body(Bytes::new()).unwrap()
    }

    #[test]
    fn a_request_names_what_it_is_about() {
        let s3 = |method, uri| s3_target(&request(method, uri), "bucket");
        assert_eq!(s3("PUT", "http://s3.test/bucket/data/a%20b"), Target::Object("data/a b".to_owned()));
        assert_eq!(
            s3("GET", "http://s3.test/bucket?list-type=2&prefix=data%2Fweb"),
            Target::Prefix("data/web".to_owned())
        );
        let gcs = |method, uri| gcs_target(&request(method, uri));
        let object = Target::Object("data/x".to_owned());
        assert_eq!(gcs("GET", "https://gcs.test/storage/v1/b/bucket/o/data%2Fx?alt=media"), object);
        assert_eq!(
            gcs("POST", "https://gcs.test/upload/storage/v1/b/bucket/o?uploadType=media&name=data%2Fx"),
            object
        );
        assert_eq!(
            gcs("GET", "https://gcs.test/storage/v1/b/bucket/o?prefix=data%2F"),
            Target::Prefix("data/".to_owned())
        );
    }
}
