//! Reading and writing files of a [`Mount`] through streams. The operation happens when the guest waits for it.

use std::sync::Arc;

use bytes::Bytes;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::{InputStream, OutputStream, Pollable, StreamError, StreamResult};

use super::filesystem::{Handle, Work};
use super::tree::Fault;

/// The most that is read or written at once.
pub(super) const CHUNK: usize = 64 * 1024;

pub(super) struct Reader {
    pub(super) handle: Arc<Handle>,
    pub(super) work: Work,
    pub(super) offset: u64,
    pub(super) buffer: Option<Result<Bytes, Fault>>,
}

impl Reader {
    async fn fill(&mut self, most: usize) {
        if self.buffer.is_none() {
            let read = self.work.read(&self.handle, self.offset, most).await;
            self.offset += read.as_ref().map_or(0, |bytes| bytes.len() as u64);
            self.buffer = Some(read.map(Bytes::from));
        }
    }
}

#[async_trait]
impl Pollable for Reader {
    async fn ready(&mut self) {
        self.fill(CHUNK).await;
    }
}

#[async_trait]
impl InputStream for Reader {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        match self.buffer.take() {
            None => Ok(Bytes::new()),
            Some(Err(fault)) => Err(failed(fault)),
            Some(Ok(bytes)) if bytes.is_empty() => {
                self.buffer = Some(Ok(bytes));
                Err(StreamError::Closed)
            }
            Some(Ok(mut bytes)) => {
                let part = bytes.split_to(size.min(bytes.len()));
                self.buffer = (!bytes.is_empty()).then_some(Ok(bytes));
                Ok(part)
            }
        }
    }

    async fn blocking_read(&mut self, size: usize) -> StreamResult<Bytes> {
        if size > 0 {
            self.fill(size.min(CHUNK)).await;
        }
        self.read(size)
    }
}

pub(super) struct Writer {
    pub(super) handle: Arc<Handle>,
    pub(super) work: Work,
    /// Absent if it writes to the end, wherever that is by then.
    pub(super) offset: Option<u64>,
    pub(super) pending: Bytes,
    pub(super) failed: Option<Fault>,
}

#[async_trait]
impl Pollable for Writer {
    async fn ready(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        let result = self.work.write(&self.handle, self.offset, &self.pending).await;
        let length = self.pending.len() as u64;
        self.pending = Bytes::new();
        self.offset = self.offset.map(|offset| offset.saturating_add(length));
        self.failed = result.err();
    }
}

#[async_trait]
impl OutputStream for Writer {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if !self.pending.is_empty() || bytes.len() > CHUNK {
            return Err(StreamError::trap("write without the permission of check-write"));
        }
        self.pending = bytes;
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        match self.failed.take() {
            Some(fault) => Err(failed(fault)),
            None if self.pending.is_empty() => Ok(CHUNK),
            None => Ok(0),
        }
    }

    /// A write that nobody waited for still happens.
    async fn cancel(&mut self) {
        self.ready().await;
    }
}

fn failed(fault: Fault) -> StreamError {
    StreamError::LastOperationFailed(wasmtime::Error::new(fault))
}
