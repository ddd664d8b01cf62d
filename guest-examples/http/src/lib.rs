//! What datastores that speak HTTP share: requests over `wasi:http` whose bodies are streamed both ways, errors that say
//! what to do about them, and a probe that finds out whether a store's conditional writes can be trusted.
//!
//! | module | what |
//! |---|---|
//! | [`Request`], [`Response`] | one exchange; many can be in flight at once |
//! | [`Endpoint`], [`encode`] | where requests go, and how keys become URLs |
//! | [`Refusal`] | an answer that is not the wanted one, and the error it means |
//! | [`Conditional`], [`probe`] | conditional writes, and how they are tried before they are trusted |
//!
//! No credentials pass through here: the host adds them to each request on its way out.

mod documents;
mod encoding;
mod endpoint;
mod incoming;
mod outgoing;
pub mod probe;
mod refusal;
mod request;
mod retry;
mod transport;

pub use documents::{Conditional, certain_swap};
pub use encoding::{encode, encode_path};
pub use endpoint::{Endpoint, check_in_flight, check_prefix};
pub use http::{Method, StatusCode};
pub use outgoing::Content;
pub use refusal::{Refusal, by_status, excerpt};
pub use request::{Request, Response};
pub use retry::retrying;
