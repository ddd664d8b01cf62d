//! The body of a request on its way out.

use bytes::Bytes;
use lockkeeper_sdk::{Body, Error};
use wasip2::http::types::OutgoingBody;
use wasip2::io::streams::{OutputStream, StreamError};
use wstd::runtime::AsyncPollable;

/// How much of a streamed body is in memory at a time.
const CHUNK: u64 = 256 * 1024;

/// What a request carries.
pub enum Content<'a> {
    /// Bytes in memory.
    Bytes(Bytes),
    /// As many bytes of a file, read as they are sent.
    Stream(&'a mut Body, u64),
}

impl Content<'_> {
    /// Nothing.
    pub const EMPTY: Self = Self::Bytes(Bytes::new());

    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Stream(_, size) => *size,
        }
    }
}

/// Why a body was not sent whole.
pub(crate) enum Unsent {
    /// The content could not be read.
    Unread(Error),
    /// The connection takes no more; the answer may say why.
    Closed,
}

/// Writes the content and says that this is all of it. If it fails, the request is aborted, so that no
/// store takes a part of the content for the whole.
pub(crate) async fn write(body: OutgoingBody, content: Content<'_>) -> Result<(), Unsent> {
    let stream = body.write().map_err(|()| Unsent::Closed)?;
    let mut stream = Outgoing { ready: AsyncPollable::new(stream.subscribe()), stream };
    match content {
        Content::Bytes(bytes) => stream.write(&bytes).await?,
        Content::Stream(content, mut left) => {
            while left > 0 {
                let most = usize::try_from(left.min(CHUNK)).unwrap_or(usize::MAX);
                let chunk = content.read(most).map_err(|error| Unsent::Unread(unreadable(error)))?;
                if chunk.is_empty() {
                    return Err(Unsent::Unread(Error::fatal("a file ended before all of it was sent")));
                }
                left = left.saturating_sub(chunk.len() as u64);
                stream.write(&chunk).await?;
            }
        }
    }
    drop(stream);
    OutgoingBody::finish(body, None).map_err(|_| Unsent::Closed)
}

/// Recovers an error that was carried as one of the file.
fn unreadable(error: std::io::Error) -> Error {
    match error.downcast::<Error>() {
        Ok(error) => error,
        Err(error) => Error::fatal(format!("can't read what is to be sent: {error}")),
    }
}

struct Outgoing {
    // Dropped before the stream that it belongs to.
    ready: AsyncPollable,
    stream: OutputStream,
}

impl Outgoing {
    async fn write(&mut self, mut bytes: &[u8]) -> Result<(), Unsent> {
        while !bytes.is_empty() {
            let permit = match self.stream.check_write() {
                Ok(0) => {
                    self.ready.wait_for().await;
                    continue;
                }
                Ok(permit) => usize::try_from(permit).unwrap_or(usize::MAX),
                Err(StreamError::Closed | StreamError::LastOperationFailed(_)) => return Err(Unsent::Closed),
            };
            let (now, later) = bytes.split_at(permit.min(bytes.len()));
            self.stream.write(now).map_err(|_| Unsent::Closed)?;
            bytes = later;
        }
        Ok(())
    }
}
