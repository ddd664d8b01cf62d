//! The body of an answer on its way in.

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::future::{Either, select};
use futures_util::stream::{LocalBoxStream, try_unfold};
use lockkeeper_sdk::{Error, Result};
use wasip2::http::types::{IncomingBody, http_error_code};
use wasip2::io::streams::{InputStream, StreamError};
use wstd::runtime::AsyncPollable;
use wstd::time::{Duration, Timer};

use crate::transport::failed;

/// How much is taken from the host at a time.
const CHUNK: u64 = 1 << 20;
/// How long an answer may stand still, in seconds.
const STALL: u64 = 60;

/// An answer's body, read as it arrives.
pub(crate) struct Incoming {
    origin: String,
    /// What is still to come, if the answer's head says how much there is.
    left: Option<u64>,
    source: Option<Source>,
}

struct Source {
    // In the order in which they must be dropped.
    ready: Option<AsyncPollable>,
    stream: InputStream,
    _body: IncomingBody,
}

impl Incoming {
    /// A body without bytes.
    pub(crate) fn empty(origin: String) -> Self {
        Self { origin, left: None, source: None }
    }

    pub(crate) fn new(origin: String, body: IncomingBody, size: Option<u64>) -> Result<Self> {
        let stream =
            body.stream().map_err(|()| Error::fatal("the host gives the body of an answer no stream"))?;
        Ok(Self { origin, left: size, source: Some(Source { ready: None, stream, _body: body }) })
    }

    /// The next bytes; `None` at the end, which is reached only if everything arrived.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>> {
        let Some(source) = &mut self.source else { return Ok(None) };
        loop {
            match source.stream.read(CHUNK) {
                Ok(bytes) if bytes.is_empty() => {
                    let stream = &source.stream;
                    let ready = source.ready.get_or_insert_with(|| AsyncPollable::new(stream.subscribe()));
                    if let Either::Right(_) =
                        select(ready.wait_for(), Timer::after(Duration::from_secs(STALL)).wait()).await
                    {
                        let origin = &self.origin;
                        return Err(Error::retry(format!("an answer of {origin} stands still")));
                    }
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
        let mut all = BytesMut::new();
        while let Some(bytes) = self.next().await? {
            if all.len() + bytes.len() > limit {
                let origin = &self.origin;
                return Err(Error::fatal(format!("an answer of {origin} has more than {limit} bytes")));
            }
            all.extend_from_slice(&bytes);
        }
        Ok(all.freeze())
    }

    pub(crate) fn stream(self) -> LocalBoxStream<'static, Result<Bytes>> {
        let next = async |mut incoming: Self| Ok(incoming.next().await?.map(|bytes| (bytes, incoming)));
        try_unfold(self, next).boxed_local()
    }
}
