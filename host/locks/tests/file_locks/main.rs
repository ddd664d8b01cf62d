//! File locks as other processes, other threads and the kernel see them. What all stores do alike is in `all_stores`.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed test panics")]

mod exclusion;
mod failures;
mod processes;
mod records;
mod support;
