//! Servers that hosts share, and how each host reaches them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lockkeeper_locks::{
    BucketLocks, BucketOptions, EtcdLocks, EtcdOptions, LockStore, PostgresLocks, PostgresOptions, Tls,
};
use lockkeeper_remotes::s3::{self, MemoryS3};
use lockkeeper_remotes::tcp;
use lockkeeper_test_servers::{LOOPBACK, Server, etcd, postgres};
use tokio::runtime::Runtime;

use crate::hosts::Hosts;

/// A store's server, on loopback.
pub struct Served {
    kind: &'static str,
    at: SocketAddr,
    _server: Kept,
}

#[expect(dead_code, reason = "kept while it serves")]
enum Kept {
    Process(Server),
    S3(tcp::Server, Runtime),
}

impl Served {
    pub fn etcd() -> Option<Self> {
        Some(Self::process("etcd", etcd(LOOPBACK)?))
    }

    pub fn postgres() -> Option<Self> {
        Some(Self::process("postgres", postgres(LOOPBACK)?))
    }

    #[expect(clippy::unnecessary_wraps, reason = "like the others")]
    pub fn bucket() -> Option<Self> {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let keys = s3::Keys {
            access_key: "test".to_owned(),
            secret_key: "test".to_owned(),
            session_token: None,
            region: None,
        };
        let options = s3::Options { keys: Some(keys), ..s3::Options::default() };
        let remote = MemoryS3::new(options).unwrap();
        let server = runtime.block_on(tcp::Server::start(remote)).unwrap();
        Some(Self { kind: "bucket", at: server.address(), _server: Kept::S3(server, runtime) })
    }

    fn process(kind: &'static str, server: Server) -> Self {
        Self { kind, at: server.address(), _server: Kept::Process(server) }
    }

    /// Which store it is.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// How each host reaches it, as text.
    pub fn places(&self, hosts: &Hosts) -> Vec<String> {
        (0..hosts.count()).map(|host| format!("{}|{}", self.kind, hosts.relay(host, self.at))).collect()
    }
}

/// Opens the store that a text names.
pub fn open(place: &str, lease: Duration) -> Arc<dyn LockStore> {
    let (kind, at) = place.split_once('|').unwrap();
    let (space, tls) = ("hosts".to_owned(), Tls::default());
    match kind {
        "etcd" => Arc::new(EtcdLocks::new(EtcdOptions {
            endpoints: vec![format!("http://{at}")],
            prefix: format!("{space}/"),
            lease,
            login: None,
            tls,
        })),
        "postgres" => {
            let url = format!("postgres://postgres@{at}/postgres?sslmode=disable");
            Arc::new(PostgresLocks::new(PostgresOptions { url, space, lease, password: None, tls }).unwrap())
        }
        _ => {
            let settings = [
                ("aws_endpoint", format!("http://{at}")),
                ("aws_allow_http", "true".to_owned()),
                ("aws_region", "eu-west-1".to_owned()),
                ("aws_access_key_id", "test".to_owned()),
                ("aws_secret_access_key", "test".to_owned()),
            ];
            let settings = settings.map(|(name, value)| (name.to_owned(), value)).into();
            let url = "s3://bucket/locks".to_owned();
            Arc::new(BucketLocks::new(&BucketOptions { url, settings, space, lease, tls }).unwrap())
        }
    }
}
