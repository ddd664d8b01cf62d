//! Datastore servers in this process, started by the test that needs them, on free loopback ports.
//!
//! | server | what it is | one per |
//! |---|---|---|
//! | [`strict_s3`], [`strict_gcs`] | ours, in this process, strict about signatures and conditions | test |
//! | [`Metered`] | the strict S3, counted, and at a distance | test |
//!
//! Those of other people are in `tests/servers`.

mod metered;

use std::net::SocketAddr;
use std::sync::LazyLock;

use lockkeeper_remotes::Remote;
use lockkeeper_remotes::gcs::{self, MemoryGcs};
use lockkeeper_remotes::s3::{self, MemoryS3};
use lockkeeper_remotes::tcp::Server;
use tokio::runtime::Runtime;

pub use metered::{Metered, Traffic};

/// What the servers and proxies of this process run on.
pub(crate) static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
});

/// A remote of ours behind a port.
pub struct InProcess<R> {
    /// To look into it, and to count its requests.
    pub remote: R,
    server: Server,
}

impl<R: Remote> InProcess<R> {
    /// Serves a remote until this is dropped.
    pub fn start(remote: R) -> Self {
        let server = RUNTIME.block_on(Server::start(remote.clone())).unwrap();
        Self { remote, server }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }
}

/// A strict S3.
pub fn strict_s3(options: s3::Options) -> InProcess<MemoryS3> {
    InProcess::start(MemoryS3::new(options).unwrap())
}

/// A strict Google Cloud Storage.
pub fn strict_gcs(options: gcs::Options) -> InProcess<MemoryGcs> {
    InProcess::start(MemoryGcs::new(options))
}
