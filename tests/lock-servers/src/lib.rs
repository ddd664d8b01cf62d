//! Starts real servers on loopback for tests.
//!
//! A server ends when its [`Server`] is dropped, and in any case with the process that started it, however that ends:
//! it runs under a small shell that waits for its input to close, and then ends the server and removes its folder.
//! A program that isn't installed makes a test fail where `CI` is set, and be skipped elsewhere, which is said on
//! standard error.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// More than any of them takes to start.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs the rest of its arguments until its input closes: `sh -c RUN NAME FOLDER SIGNAL COMMAND…`.
const RUN: &str = r#"
folder=$1 signal=$2
shift 2
"$@" </dev/null >"$folder/log" 2>&1 &
server=$!
cat >/dev/null
kill -s "$signal" "$server" 2>/dev/null
wait "$server"
[ -e "$folder/keep" ] || rm -rf "$folder"
"#;

/// A server that runs.
pub struct Server {
    shell: Child,
    folder: PathBuf,
    /// Where it listens.
    pub address: IpAddr,
    /// Its port there.
    pub port: u16,
    signal: &'static str,
    command: Vec<String>,
    /// What it writes when it serves, if an open port doesn't mean that.
    ready: &'static str,
}

impl Server {
    /// Starts a command that serves a port, and comes back when it does. What it writes is in the file `log` of its folder.
    fn start(
        folder: PathBuf,
        (address, port): (IpAddr, u16),
        signal: &'static str,
        command: Vec<String>,
        ready: &'static str,
    ) -> Self {
        let shell = spawn(&folder, signal, &command);
        let server = Self { shell, folder, address, port, signal, command, ready };
        server.until_it_serves();
        server
    }

    fn until_it_serves(&self) {
        let begun = Instant::now();
        let log = || std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        while TcpStream::connect((self.address, self.port)).is_err() || !log().contains(self.ready) {
            if begun.elapsed() > PATIENCE {
                let log = log();
                panic!("{:?} does not serve port {}: {log}", self.command, self.port);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Ends it, and starts it again with the same data at the same place.
    pub fn restart(&mut self) {
        let keep = self.folder.join("keep");
        std::fs::write(&keep, "").unwrap();
        drop(self.shell.stdin.take());
        self.shell.wait().unwrap();
        std::fs::remove_file(&keep).unwrap();
        self.shell = spawn(&self.folder, self.signal, &self.command);
        self.until_it_serves();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        _ = self.shell.wait();
    }
}

fn spawn(folder: &Path, signal: &str, command: &[String]) -> Child {
    let mut shell = Command::new("sh");
    shell.args(["-c", RUN, "server"]).arg(folder).arg(signal).args(command);
    shell.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap()
}

/// A port that nobody uses at this moment.
pub fn free_port(address: IpAddr) -> u16 {
    TcpListener::bind((address, 0)).unwrap().local_addr().unwrap().port()
}

/// The loopback address.
pub const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Whether a program is installed. If it isn't, this says so, or fails where it is needed.
pub fn has(program: &str) -> bool {
    let found = Command::new("sh")
        .args(["-c", "command -v \"$1\"", "sh", program])
        .output()
        .unwrap()
        .status
        .success();
    if !found {
        assert!(std::env::var_os("CI").is_none(), "{program} is not installed");
        // Not caught by the test runner.
        _ = writeln!(std::io::stderr(), "skipped: {program} is not installed");
    }
    found
}

fn folder(prefix: &str) -> PathBuf {
    tempfile::Builder::new().prefix(prefix).tempdir().unwrap().keep()
}

/// Starts an etcd on an address of this machine.
pub fn etcd(address: IpAddr) -> Option<Server> {
    if !has("etcd") {
        return None;
    }
    let folder = folder("lockkeeper-etcd-");
    let (port, peers) = (free_port(address), free_port(address));
    let (clients, peers) = (format!("http://{address}:{port}"), format!("http://{address}:{peers}"));
    let data = folder.join("data").display().to_string();
    let arguments = [
        ("--name", "test".to_owned()),
        ("--data-dir", data),
        ("--listen-client-urls", clients.clone()),
        ("--advertise-client-urls", clients),
        ("--listen-peer-urls", peers.clone()),
        ("--initial-advertise-peer-urls", peers.clone()),
        ("--initial-cluster", format!("test={peers}")),
    ];
    let command = std::iter::once("etcd".to_owned())
        .chain(arguments.into_iter().flat_map(|(name, value)| [name.to_owned(), value]));
    Some(Server::start(folder, (address, port), "KILL", command.collect(), ""))
}

/// How a server is known by its clients, in PEM, and how it knows them.
pub struct Secured {
    /// Its certificate.
    pub certificate: String,
    /// Its private key.
    pub key: String,
    /// The password of its user.
    pub password: String,
}

impl Secured {
    /// Writes the certificate and the key into a folder, and returns where.
    fn write(&self, folder: &Path) -> [String; 2] {
        [("certificate.pem", &self.certificate), ("key.pem", &self.key)].map(|(name, text)| {
            let path = folder.join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            path.display().to_string()
        })
    }
}

/// Starts an etcd on loopback that serves TLS. Its user `lockkeeper` may use what begins with `lockkeeper/`.
pub fn etcd_over_tls(secured: &Secured) -> Option<Server> {
    if !has("etcd") {
        return None;
    }
    let folder = folder("lockkeeper-etcd-");
    let [plain, encrypted, peers] = [(); 3].map(|()| free_port(LOOPBACK));
    let (clients, peers) = (
        format!("http://{LOOPBACK}:{plain},https://{LOOPBACK}:{encrypted}"),
        format!("http://{LOOPBACK}:{peers}"),
    );
    let [certificate, key] = secured.write(&folder);
    let data = folder.join("data").display().to_string();
    let arguments = [
        ("--name", "test".to_owned()),
        ("--data-dir", data),
        ("--listen-client-urls", clients.clone()),
        ("--advertise-client-urls", clients),
        ("--listen-peer-urls", peers.clone()),
        ("--initial-advertise-peer-urls", peers.clone()),
        ("--initial-cluster", format!("test={peers}")),
        ("--cert-file", certificate),
        ("--key-file", key),
    ];
    let command = std::iter::once("etcd".to_owned())
        .chain(arguments.into_iter().flat_map(|(name, value)| [name.to_owned(), value]));
    let server = Server::start(folder, (LOOPBACK, encrypted), "KILL", command.collect(), "");
    let password = &secured.password;
    for (path, body) in [
        ("user/add", r#"{"name": "root", "password": "root"}"#.to_owned()),
        ("user/grant", r#"{"user": "root", "role": "root"}"#.to_owned()),
        ("role/add", r#"{"name": "locks"}"#.to_owned()),
        // From `lockkeeper/` up to `lockkeeper0`.
        (
            "role/grant",
            r#"{"name": "locks", "perm": {"permType": "READWRITE", "key": "bG9ja2tlZXBlci8=", "range_end": "bG9ja2tlZXBlcjA="}}"#
                .to_owned(),
        ),
        ("user/add", format!(r#"{{"name": "lockkeeper", "password": "{password}"}}"#)),
        ("user/grant", r#"{"user": "lockkeeper", "role": "locks"}"#.to_owned()),
        ("enable", "{}".to_owned()),
    ] {
        ask((LOOPBACK, plain), &format!("POST /v3/auth/{path}"), &body);
    }
    Some(server)
}

/// Starts a PostgreSQL server on an address of this machine. Its user and database are `postgres`; it asks for no password.
pub fn postgres(address: IpAddr) -> Option<Server> {
    postgres_server(address, None)
}

/// Starts a PostgreSQL server on loopback that takes its user `postgres` over TLS alone, and asks for the password.
pub fn postgres_over_tls(secured: &Secured) -> Option<Server> {
    postgres_server(LOOPBACK, Some(secured))
}

fn postgres_server(address: IpAddr, secured: Option<&Secured>) -> Option<Server> {
    let programs = postgres_programs();
    if !has(&format!("{programs}initdb")) {
        return None;
    }
    let folder = folder("lockkeeper-postgres-");
    let data = folder.join("data");
    // The server refuses to run as root.
    let root = is_root();
    let unprivileged: &[&str] =
        if root { &["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] } else { &[] };
    let password = folder.join("password");
    std::fs::write(&password, secured.map_or("none", |it| &it.password)).unwrap();
    let files = secured.map(|it| it.write(&folder));
    if root {
        let done = Command::new("chown").arg("-R").arg("nobody:nogroup").arg(&folder).status().unwrap();
        assert!(done.success());
    }
    let initdb = format!("{programs}initdb");
    let mut init = unprivileged.iter().copied().chain([initdb.as_str()]);
    let made = Command::new(init.next().unwrap())
        .args(init)
        .args([
            "--auth=trust",
            "--username=postgres",
            "--no-sync",
            "--encoding=UTF8",
            "--locale=C",
            "--pgdata",
        ])
        .arg(&data)
        .arg("--pwfile")
        .arg(&password)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let hosts = match secured {
        None => format!("host all all {address}/8 trust\nhost all all 10.0.0.0/8 trust\n"),
        Some(_) => format!("hostssl all all {address}/8 scram-sha-256\n"),
    };
    std::fs::write(data.join("pg_hba.conf"), hosts).unwrap();
    let port = free_port(address);
    let mut settings = vec![
        format!("listen_addresses={address}"),
        format!("port={port}"),
        format!("unix_socket_directories={}", folder.display()),
        "max_connections=300".to_owned(),
        "fsync=off".to_owned(),
        "shared_buffers=16MB".to_owned(),
    ];
    if let Some([certificate, key]) = files {
        settings.extend([
            "ssl=on".to_owned(),
            format!("ssl_cert_file={certificate}"),
            format!("ssl_key_file={key}"),
        ]);
    }
    let command = unprivileged.iter().map(|part| (*part).to_owned());
    let command = command.chain([format!("{programs}postgres"), "-D".to_owned(), data.display().to_string()]);
    let command = command.chain(settings.into_iter().flat_map(|setting| ["-c".to_owned(), setting]));
    Some(Server::start(folder, (address, port), "QUIT", command.collect(), "ready to accept connections"))
}

/// Starts moto's S3 on an address of this machine, with a bucket called `bucket`. It takes any signature.
///
/// It answers one request after the other: with its usual threads, two writers can both pass the same condition.
pub fn moto(address: IpAddr) -> Option<Server> {
    const SERVE: &str = "import sys; from werkzeug.serving import run_simple; \
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication as D, create_backend_app; \
        run_simple(sys.argv[1], int(sys.argv[2]), D(create_backend_app))";
    // Where `make test` puts it.
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/servers/bin/python");
    if !has(python.to_str().unwrap()) {
        return None;
    }
    let port = free_port(address);
    let arguments = ["-c".to_owned(), SERVE.to_owned(), address.to_string(), port.to_string()];
    let command = std::iter::once(python.display().to_string()).chain(arguments).collect();
    let server = Server::start(folder("lockkeeper-moto-"), (address, port), "KILL", command, "");
    ask((address, port), "PUT /bucket", "");
    Some(server)
}

/// What stands before the names of PostgreSQL's programs, which Debian puts into a folder of their own.
fn postgres_programs() -> String {
    let on_path = Command::new("sh").args(["-c", "command -v initdb"]).output().unwrap().status.success();
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions.map(|version| version.path().join("bin")).max();
    match newest {
        Some(folder) if !on_path => format!("{}/", folder.display()),
        _ => String::new(),
    }
}

/// Whether this process runs as root.
pub fn is_root() -> bool {
    String::from_utf8_lossy(&Command::new("id").arg("-u").output().unwrap().stdout).trim() == "0"
}

/// The etcd that all tests of this process share.
pub fn shared_etcd() -> Option<&'static Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    SERVER.get_or_init(|| etcd(LOOPBACK)).as_ref()
}

/// Asks a server for something that must succeed.
fn ask(server: (IpAddr, u16), line: &str, body: &str) {
    use std::io::Read;
    let mut connection = TcpStream::connect(server).unwrap();
    let (host, length) = (server.0, body.len());
    write!(
        connection,
        "{line} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    assert!(answer.lines().next().is_some_and(|line| line.contains(" 200 ")), "{line}: {answer}");
}

/// The PostgreSQL server that all tests of this process share.
pub fn shared_postgres() -> Option<&'static Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    SERVER.get_or_init(|| postgres(LOOPBACK)).as_ref()
}
