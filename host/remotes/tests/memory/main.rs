//! The remotes in memory answer as the real services do.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "test code")]

mod ask;
mod gcs;
mod s3;
