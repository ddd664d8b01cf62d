//! Events without secrets.

use std::sync::Arc;

use crate::call::{Events, LogLevel};
use crate::secret::Secrets;

/// Passes on what a guest says, without the secrets that it was told.
pub(crate) struct Quiet {
    events: Arc<dyn Events>,
    secrets: Secrets,
}

impl Quiet {
    pub(crate) fn new(events: Arc<dyn Events>, secrets: Secrets) -> Self {
        Self { events, secrets }
    }
}

impl Events for Quiet {
    fn log(&self, level: LogLevel, message: &str) {
        self.events.log(level, &self.secrets.hide(message));
    }

    fn progress(&self, files: u64, bytes: u64, total_bytes: Option<u64>) {
        self.events.progress(files, bytes, total_bytes);
    }
}
