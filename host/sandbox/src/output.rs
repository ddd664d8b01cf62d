//! What a guest writes to standard output and error goes to the log, line by line, up to a limit.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes as Buffer;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError};

use crate::call::{Events, LogLevel};
use crate::error::LimitHit;
use crate::limits::Bytes;
use crate::secret::Secrets;

/// Counts down what may still be written.
#[derive(Clone)]
pub(crate) struct Budget {
    option: &'static str,
    limit: Bytes,
    left: Arc<Mutex<u64>>,
}

impl Budget {
    pub(crate) fn new(option: &'static str, limit: Bytes) -> Self {
        Self { option, limit, left: Arc::new(Mutex::new(limit.0)) }
    }

    pub(crate) fn take(&self, length: usize) -> Result<(), LimitHit> {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        match left.checked_sub(length as u64) {
            Some(rest) => {
                *left = rest;
                Ok(())
            }
            None => Err(LimitHit { option: self.option, limit: self.limit.to_string() }),
        }
    }
}

/// One of the guest's two output streams.
#[derive(Clone)]
pub(crate) struct Output {
    level: LogLevel,
    events: Arc<dyn Events>,
    budget: Budget,
    line: Arc<Mutex<Vec<u8>>>,
    secrets: Secrets,
}

/// A line longer than this is passed on in pieces.
const LONGEST_LINE: usize = 8 * 1024;

impl Output {
    pub(crate) fn new(level: LogLevel, events: Arc<dyn Events>, budget: Budget, secrets: Secrets) -> Self {
        Self { level, events, budget, line: Arc::default(), secrets }
    }

    fn accept(&self, bytes: &[u8]) {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        for &byte in bytes {
            if byte != b'\n' {
                line.push(byte);
            }
            if byte == b'\n' {
                self.events.log(self.level, &String::from_utf8_lossy(&line));
                line.clear();
            } else if line.len() >= LONGEST_LINE.saturating_add(self.secrets.longest()) {
                // What may be the beginning of a secret is kept for the next piece.
                self.secrets.blot(&mut line);
                let piece: Vec<u8> = line.drain(..LONGEST_LINE).collect();
                self.events.log(self.level, &String::from_utf8_lossy(&piece));
            }
        }
    }
}

impl Drop for Output {
    /// Passes on an unfinished last line, once the last of the stream's handles goes.
    fn drop(&mut self) {
        if Arc::strong_count(&self.line) == 1 {
            let line = std::mem::take(&mut *self.line.lock().unwrap_or_else(PoisonError::into_inner));
            if !line.is_empty() {
                self.events.log(self.level, &String::from_utf8_lossy(&line));
            }
        }
    }
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        // Only the preview that this host doesn't link asks for this form.
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {}
}

impl OutputStream for Output {
    fn write(&mut self, bytes: Buffer) -> Result<(), StreamError> {
        self.budget.take(bytes.len()).map_err(|hit| StreamError::Trap(hit.into()))?;
        self.accept(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), StreamError> {
        Ok(())
    }

    fn check_write(&mut self) -> Result<usize, StreamError> {
        Ok(64 * 1024)
    }
}
