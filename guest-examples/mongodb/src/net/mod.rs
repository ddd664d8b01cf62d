//! Connections. A component's go through the host, which checks where they lead and encrypts them.

#[cfg(not(target_family = "wasm"))]
mod native;
#[cfg(target_family = "wasm")]
mod tls;
#[cfg(target_family = "wasm")]
mod wasi;

#[cfg(not(target_family = "wasm"))]
pub use native::{Socket, gather, pause};
#[cfg(target_family = "wasm")]
pub use wasi::{Socket, gather, pause};
