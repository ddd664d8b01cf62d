//! What a request asks for.

use std::collections::BTreeMap;

use http::{Method, Request, Uri};
use percent_encoding::percent_decode_str;

use super::answer::Failed;
use crate::Body;

/// A request, taken apart.
pub(super) struct Call {
    pub(super) route: Route,
    pub(super) bucket: String,
    /// The object's name; that of an insertion may come in its body.
    pub(super) name: String,
    pub(super) query: BTreeMap<String, String>,
    /// Scheme and authority to name in answers.
    pub(super) origin: String,
}

/// What can be asked for.
#[derive(Clone)]
pub(super) enum Route {
    Bucket,
    List,
    Get,
    Delete,
    Rewrite { bucket: String, name: String },
    Copy { bucket: String, name: String },
    Media,
    Multipart,
    Begin,
    Resume { upload: String },
    Cancel { upload: String },
    Unknown,
}

impl Route {
    /// What the service calls it.
    pub(super) fn operation(&self) -> &'static str {
        match self {
            Self::Bucket => "buckets.get",
            Self::List => "objects.list",
            Self::Get => "objects.get",
            Self::Delete => "objects.delete",
            Self::Rewrite { .. } => "objects.rewrite",
            Self::Copy { .. } => "objects.copy",
            Self::Media | Self::Multipart => "objects.insert",
            Self::Begin => "upload.begin",
            Self::Resume { .. } => "upload.resume",
            Self::Cancel { .. } => "upload.cancel",
            Self::Unknown => "unknown",
        }
    }
}

impl Call {
    pub(super) fn of(request: &Request<Body>) -> Self {
        let query = query(request.uri());
        let segments: Vec<String> = request.uri().path().split('/').skip(1).map(decode).collect();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let upload = query.get("upload_id").cloned();
        let kind = query.get("uploadType").map(String::as_str);
        let method = request.method();
        let (bucket, name, route) = match &segments[..] {
            ["storage", "v1", "b", bucket] if method == Method::GET => (*bucket, "", Route::Bucket),
            ["storage", "v1", "b", bucket, "o"] if method == Method::GET => (*bucket, "", Route::List),
            ["download", "storage", "v1", "b", bucket, "o", name]
            | ["storage", "v1", "b", bucket, "o", name]
                if method == Method::GET =>
            {
                (*bucket, *name, Route::Get)
            }
            ["storage", "v1", "b", bucket, "o", name] if method == Method::DELETE => {
                (*bucket, *name, Route::Delete)
            }
            ["storage", "v1", "b", bucket, "o", name, verb, "b", to, "o", new] if method == Method::POST => {
                let (to, new) = ((*to).to_owned(), (*new).to_owned());
                let route = match *verb {
                    "rewriteTo" => Route::Rewrite { bucket: to, name: new },
                    "copyTo" => Route::Copy { bucket: to, name: new },
                    _ => Route::Unknown,
                };
                (*bucket, *name, route)
            }
            ["upload", "storage", "v1", "b", bucket, "o"] => {
                let route = match (method.as_str(), kind, upload) {
                    ("PUT" | "POST", _, Some(upload)) => Route::Resume { upload },
                    ("DELETE", _, Some(upload)) => Route::Cancel { upload },
                    ("POST", Some("media"), None) => Route::Media,
                    ("POST", Some("multipart"), None) => Route::Multipart,
                    ("POST", Some("resumable"), None) => Route::Begin,
                    _ => Route::Unknown,
                };
                (*bucket, "", route)
            }
            _ => ("", "", Route::Unknown),
        };
        let name = if name.is_empty() { query.get("name").cloned() } else { Some(name.to_owned()) };
        Self {
            route,
            bucket: bucket.to_owned(),
            name: name.unwrap_or_default(),
            origin: origin(request),
            query,
        }
    }

    /// A query parameter.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }

    /// A query parameter that is a number.
    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, Failed> {
        let invalid = |_| Failed::Invalid(format!("{name} is no number"));
        self.get(name).map(|text| text.parse().map_err(invalid)).transpose()
    }
}

fn origin(request: &Request<Body>) -> String {
    let host = request.headers().get(http::header::HOST).and_then(|host| host.to_str().ok());
    let authority = host.or(request.uri().authority().map(|authority| authority.as_str()));
    let scheme = request.uri().scheme_str().unwrap_or("http");
    format!("{scheme}://{}", authority.unwrap_or("localhost"))
}

fn query(uri: &Uri) -> BTreeMap<String, String> {
    let pairs = uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    let decoded = pairs.map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(name.replace('+', " ")), decode(value.replace('+', " ")))
    });
    decoded.collect()
}

fn decode(text: impl AsRef<str>) -> String {
    percent_decode_str(text.as_ref()).decode_utf8_lossy().into_owned()
}
