//! Runs a guest one operation at a time, in a world that is in memory altogether.
//!
//! A [`Stepper`] begins a call; the [`Running`] call stops before each [`Operation`] on what others can see and goes on when
//! it is told to. The operation is described before it is carried out, and can be made to fail instead. To drop the call is to
//! kill the guest at that instant. Files are those of a [`Tree`], time is a [`Clock`]'s, random numbers come from a seed, and a bound
//! on instructions ends what computes for ever: the same steps give the same effects, always.
//!
//! The one exception is a real server, reached over TCP: what is sent to it is an operation, and its answers are waited for.
//!
//! The runtime offers a hook for each crossing from guest to host, but it names nothing and comes too late to change
//! anything. Here the interfaces that have effects are implemented anew, so each knows what it is about to do.

mod call;
mod clock;
mod connection;
mod exchange;
mod filesystem;
mod gate;
mod http;
mod sockets;
mod streams;
mod tree;

pub use call::{Answered, Next, Running, Stepped, Stepper, Surroundings};
pub use clock::Clock;
pub use filesystem::{Mount, SharedTree};
pub use gate::{Area, Directive, Injected, Operation, Performed, Reach, Touch};
pub use http::Endpoint;
pub use tree::{Fault, Loss, NodeId, NodeInfo, NodeKind, ROOT, Tree, Walked};

pub(crate) use call::Stepping;
pub(crate) use clock::Clocks;
pub(crate) use filesystem::Files;
pub(crate) use sockets::Sockets;
