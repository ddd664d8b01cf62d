//! File locks as other processes, other threads and the kernel see them.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed test panics")]

mod exclusion;
mod failures;
mod fairness;
mod processes;
mod records;
mod support;
