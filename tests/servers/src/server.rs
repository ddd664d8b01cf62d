//! A server in a process of its own: it runs under a small shell that waits for its input to close, and then ends the server
//! and removes its folder. The kernel closes it for a test that was killed, and for a server that outlives all tests of a binary.

use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
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
    address: SocketAddr,
    signal: &'static str,
    command: Vec<String>,
    /// What it writes when it serves, if an open port doesn't mean that.
    ready: &'static str,
}

impl Server {
    /// Starts a command that serves a port, and comes back when it does. What it writes is in the file `log` of its folder.
    pub(crate) fn start(
        folder: PathBuf,
        address: SocketAddr,
        signal: &'static str,
        command: Vec<String>,
        ready: &'static str,
    ) -> Self {
        let shell = spawn(&folder, signal, &command);
        let server = Self { shell, folder, address, signal, command, ready };
        server.until_it_serves();
        server
    }

    fn until_it_serves(&self) {
        let begun = Instant::now();
        let log = || std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        while TcpStream::connect(self.address).is_err() || !log().contains(self.ready) {
            if begun.elapsed() > PATIENCE {
                let log = log();
                panic!("{:?} does not serve {}: {log}", self.command, self.address);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
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

/// An address, with a port that nobody uses at this moment.
pub(crate) fn free(address: IpAddr) -> SocketAddr {
    TcpListener::bind((address, 0)).unwrap().local_addr().unwrap()
}

/// A folder for a server, which removes it.
pub(crate) fn folder(name: &str) -> PathBuf {
    tempfile::Builder::new().prefix(&format!("lockkeeper-{name}-")).tempdir().unwrap().keep()
}
