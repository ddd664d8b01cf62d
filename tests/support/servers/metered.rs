//! An S3 that counts, and that is as far away as is asked for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{Request, Response, header};
use http_body::Body as _;
use lockkeeper_remotes::s3::{MemoryS3, Options};
use lockkeeper_remotes::{Body, Log, Remote};

use super::InProcess;
use crate::datastores::keys;

/// What went over the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traffic {
    /// How many requests.
    pub requests: u64,
    /// Bytes of bodies, in both directions.
    pub bytes: u64,
}

/// The strict S3 in memory, with a distance.
#[derive(Clone)]
pub struct Metered {
    /// What is behind it.
    pub inner: MemoryS3,
    distance: Duration,
    requests: Arc<AtomicU64>,
    bytes: Arc<AtomicU64>,
}

impl Metered {
    /// Starts an empty one, whose requests must be signed. Each answer takes so much longer.
    pub fn start(distance: Duration) -> InProcess<Self> {
        let inner = MemoryS3::new(Options { keys: Some(keys()), ..Options::default() }).unwrap();
        InProcess::start(Self { inner, distance, requests: Arc::default(), bytes: Arc::default() })
    }

    /// Counts from zero again, and returns what it was.
    pub fn traffic(&self) -> Traffic {
        self.inner.clear_log();
        Traffic {
            requests: self.requests.swap(0, Ordering::Relaxed),
            bytes: self.bytes.swap(0, Ordering::Relaxed),
        }
    }
}

impl Remote for Metered {
    async fn handle(&self, request: Request<Body>) -> Response<Body> {
        let sent = request.headers().get(header::CONTENT_LENGTH);
        let sent = sent.and_then(|length| length.to_str().ok()?.parse().ok()).unwrap_or(0);
        if !self.distance.is_zero() {
            tokio::time::sleep(self.distance).await;
        }
        let response = self.inner.handle(request).await;
        let received = response.body().size_hint().exact().unwrap_or(0);
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(sent + received, Ordering::Relaxed);
        response
    }

    fn log(&self) -> Log {
        self.inner.log()
    }

    fn clear_log(&self) {
        self.inner.clear_log();
    }
}
