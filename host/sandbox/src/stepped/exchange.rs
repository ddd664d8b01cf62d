//! The two directions of a guest's [`Connection`], as streams.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::{InputStream, OutputStream, Pollable, StreamError, StreamResult};
use wasmtime_wasi::runtime::{AbortOnDropJoinHandle, spawn};

use super::connection::Connection;

/// The most that is sent at once: a message of most protocols is one operation.
pub(super) const MESSAGE: usize = 1 << 20;

/// Something that goes on beside the guest, and what it comes to.
pub(super) enum Task<T> {
    Running(AbortOnDropJoinHandle<T>),
    Done(T),
}

impl<T: Send + 'static> Task<T> {
    pub(super) fn start(work: impl Future<Output = T> + Send + 'static) -> Self {
        Self::Running(spawn(work))
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Self::Running(handle) = self {
            let Poll::Ready(done) = Pin::new(handle).poll(context) else { return Poll::Pending };
            *self = Self::Done(done);
        }
        Poll::Ready(())
    }

    pub(super) async fn finished(&mut self) {
        std::future::poll_fn(|context| self.poll(context)).await;
    }

    /// What it came to, if it is over.
    pub(super) fn take(slot: &mut Option<Self>) -> Option<T> {
        let over =
            slot.as_mut().is_some_and(|task| task.poll(&mut Context::from_waker(Waker::noop())).is_ready());
        match slot.take_if(|_| over) {
            Some(Self::Done(done)) => Some(done),
            _ => None,
        }
    }
}

/// Receives, and keeps what the guest has not read yet.
pub(super) struct Received(Arc<Connection>, Option<io::Result<Bytes>>);

impl Received {
    pub(super) fn new(connection: Arc<Connection>) -> Self {
        Self(connection, None)
    }
}

#[async_trait]
impl Pollable for Received {
    async fn ready(&mut self) {
        let Self(connection, arrived) = self;
        if arrived.is_none() {
            *arrived = Some(connection.receive(MESSAGE).await);
        }
    }
}

#[async_trait]
impl InputStream for Received {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        if self.1.is_none()
            && let Poll::Ready(arrived) = self.0.poll_receive(&mut Context::from_waker(Waker::noop()), size)
        {
            self.1 = Some(arrived);
        }
        match self.1.take() {
            None => Ok(Bytes::new()),
            Some(Err(error)) => Err(failed(error)),
            Some(Ok(bytes)) if bytes.is_empty() => {
                self.1 = Some(Ok(bytes));
                Err(StreamError::Closed)
            }
            Some(Ok(mut bytes)) => {
                let part = bytes.split_to(size.min(bytes.len()));
                self.1 = (!bytes.is_empty()).then_some(Ok(bytes));
                Ok(part)
            }
        }
    }
}

/// Sends beside the guest, which may listen for the answer without waiting for that.
pub(super) struct Sent(Arc<Connection>, Option<Task<io::Result<()>>>);

impl Sent {
    pub(super) fn new(connection: Arc<Connection>) -> Self {
        Self(connection, None)
    }
}

#[async_trait]
impl Pollable for Sent {
    async fn ready(&mut self) {
        if let Some(sending) = &mut self.1 {
            sending.finished().await;
        }
    }
}

#[async_trait]
impl OutputStream for Sent {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if self.1.is_some() || bytes.len() > MESSAGE {
            return Err(StreamError::trap("write without the permission of check-write"));
        }
        if !bytes.is_empty() {
            self.1 = Some(Task::start(self.0.clone().send(bytes)));
        }
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        match Task::take(&mut self.1) {
            Some(Err(error)) => Err(failed(error)),
            Some(Ok(())) => Ok(MESSAGE),
            None if self.1.is_none() => Ok(MESSAGE),
            None => Ok(0),
        }
    }
}

fn failed(error: io::Error) -> StreamError {
    StreamError::LastOperationFailed(error.into())
}
