//! Object stores in memory: a request goes in, a response comes out, and no network is needed.
//!
//! [`s3::MemoryS3`] and [`gcs::MemoryGcs`] answer as the real services do, strictly: what the services refuse, they refuse,
//! conditions are checked and applied in one step, and signatures are checked if keys are given. On request they lie, as
//! stores in the field do; see [`Conditions`].
//!
//! They are deterministic. Nothing in an answer comes from a clock or from chance: times and generations are counted, names of
//! uploads too, and listings are ordered. (The one exception is the age of a signature, which is checked only if
//! keys are given.) A [`Remote`]'s whole state can be taken with `snapshot` at no cost and put back with `restore`.
//!
//! What was asked is kept in a [`Log`], so a test can count requests where they arrive.

mod content;
pub mod gcs;
mod log;
pub mod s3;
mod shared;
#[cfg(feature = "tcp")]
pub mod tcp;

use std::error::Error;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;

pub use content::Content;
pub use log::{Entry, Log};

/// Why a body ended early.
pub type BodyError = Box<dyn Error + Send + Sync>;

/// The body of a request or a response.
pub type Body = UnsyncBoxBody<Bytes, BodyError>;

/// Makes a body of bytes.
pub fn body(bytes: impl Into<Bytes>) -> Body {
    use http_body_util::BodyExt as _;
    Body::new(http_body_util::Full::new(bytes.into()).map_err(|never| match never {}))
}

/// Something that answers requests. Clones share one state.
pub trait Remote: Clone + Send + Sync + 'static {
    /// Answers a request. What it changes, it changes in one step after the request's body has arrived.
    fn handle(&self, request: Request<Body>) -> impl Future<Output = Response<Body>> + Send;

    /// What was asked so far.
    fn log(&self) -> Log;

    /// Forgets what was asked so far.
    fn clear_log(&self);
}

/// What a remote does with conditional headers on requests that write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Conditions {
    /// They are checked in the same step as the write, as they should be.
    #[default]
    Honoured,
    /// They are ignored: every write succeeds.
    Ignored,
    /// They are checked, and the write follows a moment later: two writers can both pass.
    NotAtomic,
}
