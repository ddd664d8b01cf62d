//! The body of an answer on its way in.

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::{LocalBoxStream, try_unfold};
use lockkeeper_sdk::{Error, Result};
use wasip2::http::types::{IncomingBody, http_error_code};
use wasip2::io::streams::{InputStream, StreamError};
use wstd::runtime::AsyncPollable;

use crate::transport::failed;

/// How much is taken from the host at a time.
const CHUNK: u64 = 1 << 20;

/// An answer's body, read as it arrives.
pub(crate) struct Incoming {
    origin: String,
    /// What is still to come, if the answer's head says how much there is.
    left: Option<u64>,
    /// What was read already, or why it could not be.
    first: Option<Result<Bytes>>,
    source: Option<Source>,
}

struct Source {
    // In the order in which they must be dropped.
    ready: Option<AsyncPollable>,
    stream: InputStream,
    _body: IncomingBody,
}

impl Incoming {
    /// A body that was read already.
    pub(crate) fn read(origin: String, bytes: Result<Bytes>) -> Self {
        let first = Some(bytes).filter(|bytes| bytes.as_ref().map_or(true, |bytes| !bytes.is_empty()));
        Self { origin, left: None, first, source: None }
    }

    /// A body without bytes.
    pub(crate) fn empty(origin: String) -> Self {
        Self { origin, left: None, first: None, source: None }
    }

    pub(crate) fn new(origin: String, body: IncomingBody, size: Option<u64>) -> Result<Self> {
        let stream =
            body.stream().map_err(|()| Error::fatal("the host gives the body of an answer no stream"))?;
        Ok(Self {
            origin,
            left: size,
            first: None,
            source: Some(Source { ready: None, stream, _body: body }),
        })
    }

    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    /// The next bytes; `None` at the end, which is reached only if everything arrived.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>> {
        if let Some(first) = self.first.take() {
            return first.map(Some);
        }
        let Some(source) = &mut self.source else { return Ok(None) };
        loop {
            match source.stream.read(CHUNK) {
                Ok(bytes) if bytes.is_empty() => {
                    let stream = &source.stream;
                    let ready = source.ready.get_or_insert_with(|| AsyncPollable::new(stream.subscribe()));
                    // The host knows how long to wait.
                    ready.wait_for().await;
                }
                Ok(bytes) => {
                    if let Some(left) = self.left {
                        let left = left.checked_sub(bytes.len() as u64).ok_or_else(|| self.incomplete())?;
                        self.left = Some(left);
                    }
                    return Ok(Some(Bytes::from(bytes)));
                }
                Err(StreamError::Closed) => {
                    self.source = None;
                    return if self.left.is_none_or(|left| left == 0) {
                        Ok(None)
                    } else {
                        Err(self.incomplete())
                    };
                }
                Err(StreamError::LastOperationFailed(error)) => {
                    return Err(match http_error_code(&error) {
                        Some(code) => failed(&code, &self.origin),
                        None => self.incomplete(),
                    });
                }
            }
        }
    }

    fn incomplete(&self) -> Error {
        Error::retry(format!("an answer of {} broke off, or is longer than it says", self.origin))
    }

    /// Collects everything, which must be at most `limit` bytes.
    pub(crate) async fn collect(mut self, limit: usize) -> Result<Bytes> {
        let all = self.take(limit.saturating_add(1)).await?;
        if all.len() > limit {
            let origin = &self.origin;
            return Err(Error::fatal(format!("an answer of {origin} has more than {limit} bytes")));
        }
        Ok(all)
    }

    /// Collects the first `most` bytes, fewer only if there are no more.
    pub(crate) async fn take(&mut self, most: usize) -> Result<Bytes> {
        let mut all = BytesMut::new();
        while all.len() < most
            && let Some(bytes) = self.next().await?
        {
            all.extend_from_slice(&bytes);
        }
        all.truncate(most);
        Ok(all.freeze())
    }

    pub(crate) fn stream(self) -> LocalBoxStream<'static, Result<Bytes>> {
        let next = async |mut incoming: Self| Ok(incoming.next().await?.map(|bytes| (bytes, incoming)));
        try_unfold(self, next).boxed_local()
    }
}
