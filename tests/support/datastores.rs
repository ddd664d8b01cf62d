//! The datastores that are tested alike, each on each of its servers.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use lockkeeper_remotes::gcs::{self, MemoryGcs};
use lockkeeper_remotes::s3::{self, Keys, MemoryS3};
use lockkeeper_remotes::{Log, Remote as _};
use lockkeeper_test_servers::{ask, fake_gcs, moto, python, secantus};

use crate::proxy::{Proxy, Service};
use crate::servers::{self, InProcess};
use crate::{Repository, World};

/// A server, and what the datastore for it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `@lockkeeper/s3` on ours.
    S3,
    /// `@lockkeeper/s3` on `moto`.
    Moto,
    /// `@lockkeeper/gcs` on ours.
    Gcs,
    /// `@lockkeeper/gcs` on `fake-gcs-server`.
    FakeGcs,
    /// `@lockkeeper/mongodb` on SecantusDB.
    Mongo,
}

/// What nobody may see in any output.
pub const SECRETS: [(&str, &str); 3] = [
    ("AWS_SECRET_ACCESS_KEY", "secret/key+of/the=store"),
    ("STORE_TOKEN", "token-of-the-store"),
    ("STORE_PASSWORD", "password-of-the-store"),
];

/// Whose secret key the first of them is.
pub const ACCESS_KEY: &str = "AKIDOFTHESTORE";

/// A place of its own on a server: a bucket or a database.
pub struct Store {
    /// Which server it is on.
    pub kind: Kind,
    name: String,
    backend: Backend,
}

enum Backend {
    S3(InProcess<MemoryS3>),
    Gcs(InProcess<MemoryGcs>),
    Elsewhere(SocketAddr),
}

impl Store {
    /// Makes an empty one, `None` if the server isn't installed here.
    pub fn new(kind: Kind) -> Option<Self> {
        Some(match kind {
            Kind::S3 => Self::s3(s3::Options::default()),
            Kind::Gcs => Self::gcs(gcs::Options::default()),
            Kind::Moto | Kind::FakeGcs | Kind::Mongo => {
                static NUMBER: AtomicUsize = AtomicUsize::new(0);
                let name = format!("store-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
                let address = match kind {
                    Kind::Moto => moto()?.address(),
                    Kind::FakeGcs => fake_gcs()?.address(),
                    _ => secantus()?.address(),
                };
                match kind {
                    Kind::Moto => ask(address, &format!("PUT /{name}"), ""),
                    Kind::FakeGcs => {
                        ask(address, "POST /storage/v1/b?project=test", &format!("{{\"name\": \"{name}\"}}"));
                    }
                    _ => {}
                }
                Self { kind, name, backend: Backend::Elsewhere(address) }
            }
        })
    }

    /// Makes a strict S3 as asked for, but that its requests must be signed.
    pub fn s3(options: s3::Options) -> Self {
        let server = servers::strict_s3(s3::Options { keys: Some(keys()), ..options });
        Self { kind: Kind::S3, name: "bucket".into(), backend: Backend::S3(server) }
    }

    /// Makes a strict Google Cloud Storage as asked for, but that its requests must bear a token.
    pub fn gcs(options: gcs::Options) -> Self {
        let [_, (_, token), _] = SECRETS;
        let server = servers::strict_gcs(gcs::Options { token: Some(token.into()), ..options });
        Self { kind: Kind::Gcs, name: "bucket".into(), backend: Backend::Gcs(server) }
    }

    /// The remote, if it is a strict S3.
    pub fn as_s3(&self) -> Option<&MemoryS3> {
        if let Backend::S3(server) = &self.backend { Some(&server.remote) } else { None }
    }

    /// The remote, if it is a strict Google Cloud Storage.
    pub fn as_gcs(&self) -> Option<&MemoryGcs> {
        if let Backend::Gcs(server) = &self.backend { Some(&server.remote) } else { None }
    }

    /// What its server was asked, if that is in this process.
    pub fn log(&self) -> Option<Log> {
        match &self.backend {
            Backend::S3(server) => Some(server.remote.log()),
            Backend::Gcs(server) => Some(server.remote.log()),
            Backend::Elsewhere(_) => None,
        }
    }

    /// Lets its server forget what it was asked.
    pub fn clear_log(&self) {
        match &self.backend {
            Backend::S3(server) => server.remote.clear_log(),
            Backend::Gcs(server) => server.remote.clear_log(),
            Backend::Elsewhere(_) => {}
        }
    }

    /// Runs a script of `tests/servers` with the server's port, the store's name there and more arguments.
    pub fn python(&self, script: &str, arguments: &[&str]) {
        let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
        let ran = Command::new(python())
            .arg(tests.join("servers").join(script))
            .arg(self.address().port().to_string())
            .arg(&self.name)
            .args(arguments)
            .output()
            .unwrap();
        assert!(ran.status.success(), "{script}: {}", String::from_utf8_lossy(&ran.stderr));
    }

    /// Where its server listens.
    pub fn address(&self) -> SocketAddr {
        match &self.backend {
            Backend::S3(server) => server.address(),
            Backend::Gcs(server) => server.address(),
            Backend::Elsewhere(address) => *address,
        }
    }

    /// A proxy in front of it.
    pub fn proxy(&self) -> Proxy {
        let service = match self.kind {
            Kind::S3 | Kind::Moto => Service::S3,
            Kind::Gcs | Kind::FakeGcs => Service::Gcs,
            Kind::Mongo => Service::Mongo,
        };
        Proxy::start(self.address(), service)
    }

    /// The guest from `guest-examples/`.
    pub fn guest(&self) -> &'static str {
        match self.kind {
            Kind::S3 | Kind::Moto => "s3",
            Kind::Gcs | Kind::FakeGcs => "gcs",
            Kind::Mongo => "mongodb",
        }
    }

    /// A repository whose datastore this is, reached at its own address.
    pub fn repository<'a>(&self, world: &'a World, name: &str) -> Repository<'a> {
        self.repository_at(world, name, self.address(), "")
    }

    /// A repository whose datastore this is, reached at an address, with more lines at the end of `lockkeeper.toml`.
    pub fn repository_at<'a>(
        &self,
        world: &'a World,
        name: &str,
        address: SocketAddr,
        end: &str,
    ) -> Repository<'a> {
        let repository = world.repository(name, self.guest());
        self.configure(&repository, address, end);
        repository
    }

    /// Writes the `lockkeeper.toml` of a repository.
    pub fn configure(&self, repository: &Repository, address: SocketAddr, end: &str) {
        let (name, guest) = (&self.name, self.guest());
        let origin = format!("http://{address}");
        let rest = match self.kind {
            Kind::S3 | Kind::Moto => format!(
                "[datastore.config]\nbucket = {name:?}\nendpoint = {origin:?}\n\
                 [datastore.grants]\nhttp = [{origin:?}]\n\
                 [datastore.auth]\n{origin:?} = {{ scheme = \"aws-sigv4\", region = \"eu-west-1\" }}\n"
            ),
            Kind::Gcs | Kind::FakeGcs => format!(
                "[datastore.config]\nbucket = {name:?}\nendpoint = {origin:?}\n\
                 [datastore.grants]\nhttp = [{origin:?}]\n\
                 [datastore.auth]\n{origin:?} = {{ scheme = \"bearer\", env = \"STORE_TOKEN\" }}\n"
            ),
            Kind::Mongo => format!(
                "[datastore.config]\nurl = \"mongodb://{address}/{name}\"\n\
                 [datastore.grants]\ntcp = [\"{address}\"]\n"
            ),
        };
        let text = format!("[datastore]\nextension = \"@lockkeeper/{guest}\"\n{rest}\n{end}\n");
        repository.write("lockkeeper.toml", text);
    }
}

/// A world whose commands have the credentials of all stores.
#[macro_export]
macro_rules! world_with_credentials {
    ($($arguments:tt)*) => {
        $crate::world!($($arguments)*).with_environment($crate::datastores::credentials())
    };
}

/// The environment that credentials come from.
pub fn credentials() -> Vec<(&'static str, &'static str)> {
    let mut environment = SECRETS.to_vec();
    environment.push(("AWS_ACCESS_KEY_ID", ACCESS_KEY));
    environment
}

/// What requests to a strict S3 must be signed with.
pub fn keys() -> Keys {
    let [(_, secret_key), ..] = SECRETS;
    Keys {
        access_key: ACCESS_KEY.into(),
        secret_key: secret_key.into(),
        session_token: None,
        region: Some("eu-west-1".into()),
    }
}

/// Expects no secret in what was said.
pub fn reveals_nothing(said: &str) {
    for (name, secret) in SECRETS {
        assert!(!said.contains(secret), "{name} is revealed: {said}");
    }
}
