//! Telling the host how far a call has come.

use std::cell::Cell;

use crate::{Host, ProgressUpdate};

/// How many bytes pass between two reports within files.
const STEP: u64 = 1 << 20;

/// What a call has moved so far, all its tasks together.
pub(crate) struct Progress<'a> {
    host: &'a dyn Host,
    files: Cell<u64>,
    bytes: Cell<u64>,
    told: Cell<u64>,
}

impl<'a> Progress<'a> {
    pub(crate) fn new(host: &'a dyn Host) -> Self {
        Self { host, files: Cell::new(0), bytes: Cell::new(0), told: Cell::new(0) }
    }

    /// Counts the bytes of one attempt to move a file.
    pub(crate) fn part(&self) -> Part<'_> {
        Part { progress: self, bytes: Cell::new(0) }
    }

    fn tell(&self) {
        self.told.set(self.bytes.get());
        let update = ProgressUpdate { files: self.files.get(), bytes: self.bytes.get(), total_bytes: None };
        self.host.progress(update);
    }
}

/// One attempt to move a file; unless it is [done](Self::done), its bytes don't count in the end.
pub(crate) struct Part<'a> {
    progress: &'a Progress<'a>,
    bytes: Cell<u64>,
}

impl Part<'_> {
    pub(crate) fn add(&self, bytes: u64) {
        let Progress { bytes: all, told, .. } = self.progress;
        self.bytes.set(self.bytes.get() + bytes);
        all.set(all.get() + bytes);
        if all.get().saturating_sub(told.get()) >= STEP {
            self.progress.tell();
        }
    }

    pub(crate) fn done(self) {
        self.bytes.set(0);
        self.progress.files.set(self.progress.files.get() + 1);
        self.progress.tell();
    }
}

impl Drop for Part<'_> {
    fn drop(&mut self) {
        self.progress.bytes.set(self.progress.bytes.get().saturating_sub(self.bytes.get()));
    }
}
