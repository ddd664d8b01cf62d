//! Datastores keep their promises on real servers: nothing is lost, nobody queues, cost follows the change, faults are survived.
//!
//! What they run against is in `tests/servers/README.md`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code"
)]

mod addressing;
mod big;
mod check;
mod faults;
mod liars;
mod overtaken;
mod requests;
mod secure;
mod trees;
mod writers;
