//! A server in a process of its own.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running server. It ends when this is dropped, and also when the test's process ends in any other way.
pub struct Process {
    child: Child,
    address: SocketAddr,
    folder: PathBuf,
}

/// Starts the server, and ends it and removes its folder when standard input is closed. The kernel closes it for a test
/// that was killed, and for a server that outlives all tests of a binary.
const GUARD: &str = r#"
trap '' INT HUP TERM
folder=$1; shift
"$@" </dev/null & server=$!
read -r _
kill -9 "$server" 2>/dev/null
wait
rm -rf "$folder"
"#;

impl Process {
    /// Starts the server whose command `arguments` makes from a free port and a folder, and waits until it listens.
    pub(super) fn start(name: &str, arguments: impl Fn(u16, &Path) -> Vec<String>) -> Self {
        let folder = tempfile::Builder::new().prefix("lockkeeper-server-").tempdir().unwrap().keep();
        let port = free_port();
        let output = std::fs::File::create(folder.join("output")).unwrap();
        let child = Command::new("sh")
            .args(["-c", GUARD, "sh"])
            .arg(&folder)
            .args(arguments(port, &folder))
            .current_dir(&folder)
            .stdin(Stdio::piped())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let started = Self { child, address, folder };
        let deadline = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_err() {
            assert!(Instant::now() < deadline, "{name} doesn't listen: {}", started.output());
            std::thread::sleep(Duration::from_millis(10));
        }
        started
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has said so far.
    pub fn output(&self) -> String {
        std::fs::read_to_string(self.folder.join("output")).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}
