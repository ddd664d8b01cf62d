//! A strict S3.
//!
//! The protocol, its errors and its signatures come from the crate `s3s`; what is kept, and under which conditions, is here.
//! One bucket; path-style requests, and virtual-host ones if a domain is given.
//!
//! As the service does: `If-None-Match: *` and `If-Match` on PutObject, CopyObject and CompleteMultipartUpload, `If-Match` on
//! DeleteObject, both on GET and HEAD; ETags that are the MD5 of the content; parts of at least 5 MiB but for the last one;
//! listings of at most 1,000 keys, ordered by UTF-8 bytes, with opaque continuation tokens; a body without a length refused.

mod access;
mod listing;
mod multipart;
mod objects;
mod service;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use percent_encoding::percent_decode_str;
use s3s::S3Result;
use s3s::host::{S3Host, SingleDomain, VirtualHost};
use s3s::service::{S3Service, S3ServiceBuilder};

use crate::shared::Shared;
use crate::{Body, Conditions, Content, Entry, Log, Remote, body};
use objects::Objects;
use service::Service;

/// How it is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// The one bucket that exists.
    pub bucket: String,
    /// The domain below which the bucket is a host name, for virtual-host requests.
    pub domain: Option<String>,
    /// Who may do anything. Without it, nobody signs and everybody may.
    pub keys: Option<Keys>,
    /// What is done with conditional headers.
    pub conditions: Conditions,
    /// The most keys that one listing returns.
    pub page: usize,
}

impl Default for Options {
    /// An open bucket called `bucket`.
    fn default() -> Self {
        Self {
            bucket: "bucket".into(),
            domain: None,
            keys: None,
            conditions: Conditions::Honoured,
            page: 1000,
        }
    }
}

/// Credentials that requests must be signed with.
#[derive(Clone)]
pub struct Keys {
    /// The access key's name.
    pub access_key: String,
    /// What is signed with.
    pub secret_key: String,
    /// What must come along with temporary credentials.
    pub session_token: Option<String>,
    /// The region that signatures must name, if it matters.
    pub region: Option<String>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").field("access_key", &self.access_key).finish_non_exhaustive()
    }
}

/// Why it can't be set up.
#[derive(Debug, thiserror::Error)]
#[error("{0} is no domain")]
pub struct NoDomain(String);

/// An S3 in memory. Clones share one state.
#[derive(Clone)]
pub struct MemoryS3 {
    service: S3Service,
    objects: Shared<Objects>,
    options: Arc<Options>,
}

/// The whole state at one moment. Cheap to take, keep and put back.
#[derive(Clone, Debug)]
pub struct Snapshot(Arc<Objects>);

/// A domain, whatever port stands behind it.
struct AnyPort(SingleDomain);

impl S3Host for AnyPort {
    fn parse_host_header<'a>(&'a self, host: &'a str) -> S3Result<VirtualHost<'a>> {
        self.0.parse_host_header(host.split_once(':').map_or(host, |(name, _port)| name))
    }
}

impl MemoryS3 {
    /// Makes an empty one.
    ///
    /// # Errors
    /// If the options name a domain that can't be one.
    pub fn new(options: Options) -> Result<Self, NoDomain> {
        let objects = Shared::new(Objects::default());
        let options = Arc::new(options);
        let mut builder =
            S3ServiceBuilder::new(Service { objects: objects.clone(), options: options.clone() });
        if let Some(keys) = &options.keys {
            builder.set_auth(s3s::auth::SimpleAuth::from_single(
                keys.access_key.clone(),
                keys.secret_key.clone(),
            ));
            builder.set_access(access::Access(keys.clone()));
        }
        if let Some(domain) = &options.domain {
            builder.set_host(AnyPort(SingleDomain::new(domain).map_err(|_| NoDomain(domain.clone()))?));
        }
        Ok(Self { service: builder.build(), objects, options })
    }

    /// The state as it is.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot(self.objects.snapshot())
    }

    /// Goes back to a state; the log stays.
    pub fn restore(&self, snapshot: &Snapshot) {
        self.objects.restore(snapshot.0.clone());
    }

    /// All objects by key.
    pub fn objects(&self) -> BTreeMap<String, Content> {
        let all = self.objects.snapshot();
        all.objects.iter().map(|(key, object)| (key.clone(), object.content.clone())).collect()
    }

    /// One object's content.
    pub fn object(&self, key: &str) -> Option<Content> {
        self.objects.read(|all| all.objects.get(key).map(|object| object.content.clone()))
    }

    /// Puts an object behind the clients' backs.
    pub fn insert(&self, key: &str, content: impl Into<Bytes>) {
        let content = Content::from(content.into());
        let etag = objects::etag(&content);
        self.objects.step(|all| all.insert(key, content, etag));
    }

    /// Deletes an object behind the clients' backs.
    pub fn remove(&self, key: &str) {
        self.objects.step(|all| all.objects.remove(key));
    }

    /// How many multipart uploads were begun and neither completed nor aborted.
    pub fn open_uploads(&self) -> usize {
        self.objects.read(|all| all.uploads.len())
    }

    /// The key that a request is about.
    fn key(&self, request: &Request<Body>) -> String {
        let path = percent_decode_str(request.uri().path()).decode_utf8_lossy();
        let path = path.strip_prefix('/').unwrap_or(&path);
        let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
        let virtual_host =
            self.options.domain.is_some() && host.is_some_and(|host| host.starts_with(&self.options.bucket));
        let key = if virtual_host { path } else { path.split_once('/').map_or("", |(_bucket, key)| key) };
        key.to_owned()
    }
}

impl Remote for MemoryS3 {
    async fn handle(&self, request: Request<Body>) -> Response<Body> {
        let number = self.objects.number();
        let key = self.key(&request);
        let query = request.uri().query().unwrap_or_default().to_owned();
        let method = request.method().clone();
        let operation = operation(&method, &key, &query, request.headers().contains_key("x-amz-copy-source"));
        let mut response = if method == Method::PUT && unmeasured(&request) {
            error(StatusCode::LENGTH_REQUIRED, "MissingContentLength")
        } else {
            match self.service.call(request.map(s3s::Body::http_body_unsync)).await {
                Ok(response) => response.map(|body| body.boxed_unsync()),
                Err(_) => error(StatusCode::INTERNAL_SERVER_ERROR, "InternalError"),
            }
        };
        let id = HeaderValue::from(number);
        response.headers_mut().insert("x-amz-request-id", id);
        if response.status() == StatusCode::NOT_MODIFIED {
            // It has no body, whatever the error says.
            response.headers_mut().remove(header::CONTENT_LENGTH);
            *response.body_mut() = body("");
        }
        self.objects.note(Entry { operation, method, key, query, status: response.status() });
        response
    }

    fn log(&self) -> Log {
        self.objects.log()
    }

    fn clear_log(&self) {
        self.objects.clear_log();
    }
}

/// Whether a request doesn't say how long its body is.
fn unmeasured(request: &Request<Body>) -> bool {
    let headers = request.headers();
    !headers.contains_key(header::CONTENT_LENGTH) && !headers.contains_key("x-amz-decoded-content-length")
}

fn error(status: StatusCode, code: &str) -> Response<Body> {
    let text = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{code}</Code></Error>");
    let mut response = Response::new(body(text));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    response
}

/// What the service calls such a request.
fn operation(method: &Method, key: &str, query: &str, copy: bool) -> &'static str {
    let has = |name: &str| query.split('&').any(|pair| pair.split('=').next() == Some(name));
    match (method.as_str(), key.is_empty()) {
        ("GET", true) if has("list-type") => "ListObjectsV2",
        ("GET", true) if has("uploads") => "ListMultipartUploads",
        ("GET", true) => "GetBucket",
        ("HEAD", true) => "HeadBucket",
        ("POST", true) if has("delete") => "DeleteObjects",
        ("GET", false) if has("uploadId") => "ListParts",
        ("GET", false) => "GetObject",
        ("HEAD", false) => "HeadObject",
        ("PUT", false) if has("uploadId") && copy => "UploadPartCopy",
        ("PUT", false) if has("uploadId") => "UploadPart",
        ("PUT", false) if copy => "CopyObject",
        ("PUT", false) => "PutObject",
        ("POST", false) if has("uploads") => "CreateMultipartUpload",
        ("POST", false) if has("uploadId") => "CompleteMultipartUpload",
        ("DELETE", false) if has("uploadId") => "AbortMultipartUpload",
        ("DELETE", false) => "DeleteObject",
        _ => "Other",
    }
}
