//! A strict Google Cloud Storage: the part of the JSON API that a datastore needs.
//!
//! One bucket. Objects are inserted by media, multipart and resumable upload, read, listed by page, copied, rewritten and deleted.
//! `ifGenerationMatch`, `ifGenerationNotMatch` and their source variants are honoured on each of them, as the service does. A resumable
//! upload's conditions are checked when it begins and once more when it ends, and its chunks are multiples of 256 KiB but for the last one.

mod answer;
mod objects;
mod read;
mod route;
mod upload;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};

use crate::shared::Shared;
use crate::{Body, Conditions, Content, Entry, Log, Remote};
use answer::{Failed, failure};
use objects::Objects;
use route::{Call, Route};

/// How it is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// The one bucket that exists.
    pub bucket: String,
    /// The access token that each request must bear. Without it, everybody may do anything.
    pub token: Option<String>,
    /// What is done with conditions.
    pub conditions: Conditions,
    /// The most objects that one listing returns.
    pub page: usize,
}

impl Default for Options {
    /// An open bucket called `bucket`.
    fn default() -> Self {
        Self { bucket: "bucket".into(), token: None, conditions: Conditions::Honoured, page: 1000 }
    }
}

/// A Google Cloud Storage in memory. Clones share one state.
#[derive(Debug, Clone)]
pub struct MemoryGcs {
    objects: Shared<Objects>,
    options: Arc<Options>,
}

/// The whole state at one moment. Cheap to take, keep and put back.
#[derive(Clone, Debug)]
pub struct Snapshot(Arc<Objects>);

impl MemoryGcs {
    /// Makes an empty one.
    pub fn new(options: Options) -> Self {
        Self { objects: Shared::new(Objects::default()), options: Arc::new(options) }
    }

    /// The state as it is.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot(self.objects.snapshot())
    }

    /// Goes back to a state; the log stays.
    pub fn restore(&self, snapshot: &Snapshot) {
        self.objects.restore(snapshot.0.clone());
    }

    /// All objects by name.
    pub fn objects(&self) -> BTreeMap<String, Content> {
        let all = self.objects.snapshot();
        all.objects.iter().map(|(name, object)| (name.clone(), object.content.clone())).collect()
    }

    /// One object's content.
    pub fn object(&self, name: &str) -> Option<Content> {
        self.objects.read(|all| all.objects.get(name).map(|object| object.content.clone()))
    }

    /// Puts an object behind the clients' backs.
    pub fn insert(&self, name: &str, content: impl Into<Bytes>) {
        let content = Content::from(content.into());
        let md5 = objects::md5(&content);
        self.objects.step(|all| all.insert(name, content, md5));
    }

    /// Deletes an object behind the clients' backs.
    pub fn remove(&self, name: &str) {
        self.objects.step(|all| all.objects.remove(name));
    }

    /// How many resumable uploads were begun and neither completed nor cancelled.
    pub fn open_uploads(&self) -> usize {
        self.objects.read(|all| all.uploads.len())
    }

    async fn answer(&self, call: &mut Call, request: Request<Body>) -> Result<Response<Body>, Failed> {
        if let Some(token) = &self.options.token {
            let bearer = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
            if bearer.and_then(|bearer| bearer.strip_prefix("Bearer ")) != Some(token) {
                return Err(Failed::Unauthenticated);
            }
        }
        if call.bucket != self.options.bucket {
            return Err(Failed::NoBucket);
        }
        match call.route.clone() {
            Route::Bucket => Ok(self.describe_bucket()),
            Route::List => self.list(call),
            Route::Get => self.get(call, request.headers()),
            Route::Delete => self.delete(call).await,
            Route::Rewrite { bucket, name } => self.rewrite(call, &bucket, &name, true).await,
            Route::Copy { bucket, name } => self.rewrite(call, &bucket, &name, false).await,
            Route::Media => self.insert_media(call, request).await,
            Route::Multipart => self.insert_multipart(call, request).await,
            Route::Begin => self.begin(call, request).await,
            Route::Resume { upload } => self.resume(&upload, request).await,
            Route::Cancel { upload } => self.cancel(&upload),
            Route::Unknown => Err(Failed::NotFound),
        }
    }
}

impl Remote for MemoryGcs {
    async fn handle(&self, request: Request<Body>) -> Response<Body> {
        let number = self.objects.number();
        let mut call = Call::of(&request);
        let query = request.uri().query().unwrap_or_default().to_owned();
        let method = request.method().clone();
        let mut response = self.answer(&mut call, request).await.unwrap_or_else(|failed| failure(&failed));
        response.headers_mut().insert("x-guploader-uploadid", HeaderValue::from(number));
        let operation = call.route.operation();
        self.objects.note(Entry { operation, method, key: call.name, query, status: response.status() });
        response
    }

    fn log(&self) -> Log {
        self.objects.log()
    }

    fn clear_log(&self) {
        self.objects.clear_log();
    }
}
