//! Which host call a guest is in, and which file operations it was refused.
//!
//! The runtime's bindings open a tracing span for each host call and emit an event with its arguments and one with
//! its result. A small subscriber, in force only while the guest's future is polled, reads them.

use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::denial::{Denial, Denials};

/// The operations that are refused when they lead out of a folder, write to a read-only one, or look up a name without a grant.
const GUARDED: [&str; 12] = [
    "resolve-addresses",
    "open-at",
    "stat-at",
    "create-directory-at",
    "link-at",
    "readlink-at",
    "remove-directory-at",
    "rename-at",
    "symlink-at",
    "unlink-file-at",
    "set-times-at",
    "set-size",
];

/// How the error codes that mean a refusal read. Looking up names is refused altogether if no grant has a name.
const REFUSALS: [&str; 3] = ["not-permitted", "read-only", "permanent-resolver-failure"];

/// The last host call of one guest call.
#[derive(Clone, Default)]
pub(crate) struct HostCalls(Arc<Mutex<Last>>);

#[derive(Default)]
struct Last {
    module: String,
    function: String,
    path: Option<String>,
}

impl HostCalls {
    /// The last host call that the guest made, such as `types.open-at "data/x"`.
    pub(crate) fn last(&self) -> Option<String> {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let path = last.path.as_ref().map(|path| format!(" {path}")).unwrap_or_default();
        (!last.function.is_empty()).then(|| format!("{}.{}{path}", last.module, last.function))
    }
}

/// The subscriber for one guest call.
pub(crate) struct Watcher {
    pub(crate) calls: HostCalls,
    pub(crate) denials: Denials,
    spans: AtomicU64,
}

impl Watcher {
    pub(crate) fn new(calls: HostCalls, denials: Denials) -> Self {
        Self { calls, denials, spans: AtomicU64::new(1) }
    }
}

impl Subscriber for Watcher {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let target = metadata.target();
        let bindings = target.starts_with("wasmtime_wasi::p2::bindings") || target.contains("since_v");
        (metadata.is_span() && metadata.name() == "wit-bindgen import") || (metadata.is_event() && bindings)
    }

    fn max_level_hint(&self) -> Option<tracing::level_filters::LevelFilter> {
        Some(tracing::level_filters::LevelFilter::TRACE)
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut last = self.calls.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.path = None;
        span.record(&mut *last);
        Id::from_u64(self.spans.fetch_add(1, Ordering::Relaxed))
    }

    fn event(&self, event: &Event<'_>) {
        let mut last = self.calls.0.lock().unwrap_or_else(PoisonError::into_inner);
        let operation = last.function.rsplit('.').next().unwrap_or_default();
        if !GUARDED.contains(&operation) {
            return;
        }
        let operation = operation.to_owned();
        let mut seen = Seen::default();
        event.record(&mut seen);
        if let Some(path) = seen.path {
            last.path = Some(path);
        } else if seen.refused {
            let path = last.path.clone().unwrap_or_default().trim_matches('"').to_owned();
            self.denials.add(match operation.as_str() {
                "resolve-addresses" => Denial::Name { host: path },
                _ => Denial::File { operation, path },
            });
        }
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}
    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}
    fn enter(&self, _span: &Id) {}
    fn exit(&self, _span: &Id) {}
}

impl Visit for Last {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "module" => value.clone_into(&mut self.module),
            "function" => value.clone_into(&mut self.function),
            _ => {}
        }
    }

    fn record_debug(&mut self, _field: &Field, _value: &dyn Debug) {}
}

/// The path that an operation was called with, or whether it was refused.
#[derive(Default)]
struct Seen {
    path: Option<String>,
    refused: bool,
}

impl Visit for Seen {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "path" | "old_path" | "name" => self.path = Some(first_line(value)),
            "result" => {
                let text = first_line(value);
                let failed = text.strip_prefix("Err(").unwrap_or_default();
                self.refused = REFUSALS.iter().any(|code| failed.starts_with(code));
            }
            _ => {}
        }
    }
}

/// The first line of a value's debug text. An error's further lines are a backtrace, which costs more to write than the whole call.
fn first_line(value: &dyn Debug) -> String {
    struct Line(String);
    impl std::fmt::Write for Line {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            if text.contains('\n') || self.0.len() > LONGEST {
                return Err(std::fmt::Error);
            }
            self.0.push_str(text);
            Ok(())
        }
    }
    const LONGEST: usize = 4096;
    let mut text = Line(String::new());
    // An error means that the line is over.
    _ = std::fmt::write(&mut text, format_args!("{value:?}"));
    text.0
}
