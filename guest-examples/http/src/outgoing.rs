//! The body of a request on its way out.

use bytes::Bytes;
use lockkeeper_sdk::{Body, Error};
use wasip2::http::types::OutgoingBody;
use wasip2::io::streams::{OutputStream, StreamError};
use wstd::runtime::AsyncPollable;

/// How much of a streamed body is in memory at a time.
const CHUNK: u64 = 256 * 1024;

/// What a request carries: bytes in memory, parts of files, or some after the other.
#[derive(Default)]
pub struct Content<'a>(Vec<Piece<'a>>);

enum Piece<'a> {
    Bytes(Bytes),
    Stream(&'a mut Body, u64),
}

impl<'a> Content<'a> {
    /// Bytes in memory.
    pub fn bytes(bytes: impl Into<Bytes>) -> Self {
        Self(vec![Piece::Bytes(bytes.into())])
    }

    /// As many bytes of a file, read as they are sent.
    pub fn stream(body: &'a mut Body, size: u64) -> Self {
        Self(vec![Piece::Stream(body, size)])
    }

    /// This, and then the other.
    #[must_use]
    pub fn then(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    pub(crate) fn size(&self) -> u64 {
        let sizes = self.0.iter().map(|piece| match piece {
            Piece::Bytes(bytes) => bytes.len() as u64,
            Piece::Stream(_, size) => *size,
        });
        sizes.sum()
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
    let mut stream = Outgoing { ready: None, stream: body.write().map_err(|()| Unsent::Closed)? };
    for piece in content.0 {
        match piece {
            Piece::Bytes(bytes) => stream.write(&bytes).await?,
            Piece::Stream(body, size) => stream.write_from(body, size).await?,
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
    ready: Option<AsyncPollable>,
    stream: OutputStream,
}

impl Outgoing {
    async fn write_from(&mut self, body: &mut Body, mut left: u64) -> Result<(), Unsent> {
        while left > 0 {
            let most = usize::try_from(left.min(CHUNK)).unwrap_or(usize::MAX);
            let chunk = body.read(most).map_err(|error| Unsent::Unread(unreadable(error)))?;
            if chunk.is_empty() {
                return Err(Unsent::Unread(Error::fatal("a file ended before all of it was sent")));
            }
            left = left.saturating_sub(chunk.len() as u64);
            self.write(&chunk).await?;
        }
        Ok(())
    }

    async fn write(&mut self, mut bytes: &[u8]) -> Result<(), Unsent> {
        while !bytes.is_empty() {
            let permit = match self.stream.check_write() {
                Ok(0) => {
                    let stream = &self.stream;
                    let ready = self.ready.get_or_insert_with(|| AsyncPollable::new(stream.subscribe()));
                    ready.wait_for().await;
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
