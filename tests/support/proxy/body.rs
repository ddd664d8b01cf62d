//! A body that may break off.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::forward::Connection;

/// An answer's body as it goes to the client.
pub(super) struct Answer {
    rest: Option<Bytes>,
    /// How many bytes are promised.
    promised: u64,
    /// The connection to reset when nothing more is there, or to close if there is none.
    breaks: Option<Option<Arc<Connection>>>,
}

impl Answer {
    /// All of it.
    pub(super) fn whole(bytes: Bytes) -> Self {
        Self { promised: bytes.len() as u64, rest: Some(bytes), breaks: None }
    }

    /// Half of it; then the connection is closed, or reset if one is given.
    pub(super) fn half(bytes: Bytes, reset: Option<Arc<Connection>>) -> Self {
        let promised = bytes.len() as u64;
        Self { promised, rest: Some(bytes.slice(..bytes.len() / 2)), breaks: Some(reset) }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(bytes) = self.rest.take().filter(|bytes| !bytes.is_empty()) {
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        Poll::Ready(self.breaks.take().map(|reset| {
            if let Some(connection) = reset {
                connection.reset_on_close();
            }
            Err(io::ErrorKind::ConnectionReset.into())
        }))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.promised)
    }
}
