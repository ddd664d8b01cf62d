//! The command with locks that several machines share, on real servers.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code"
)]

mod lost;
mod stores;

use lockkeeper_test_servers::Server;

/// The lines of `[locks]` for an etcd, in a space of the test's own.
fn in_etcd(server: &Server, name: &str, more: &str) -> String {
    let port = server.address().port();
    format!(
        "[locks]\nstore = \"etcd\"\nendpoints = [\"http://127.0.0.1:{port}\"]\nname = \"{name}\"\nlease = \"3s\"\n{more}"
    )
}

fn in_postgres(server: &Server, name: &str) -> String {
    let port = server.address().port();
    format!(
        "[locks]\nstore = \"postgres\"\nurl = \"postgres://postgres@127.0.0.1:{port}/postgres?sslmode=disable\"\n\
         name = \"{name}\"\nlease = \"3s\"\n"
    )
}
