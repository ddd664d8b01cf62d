//! Real servers on loopback, for tests.
//!
//! A server ends when its [`Server`] is dropped, and in any case with the process that started it, however that ends.
//! A program that isn't installed makes a test fail where `CI` is set, and be skipped elsewhere, which is said on
//! standard error. `packages.sh` installs those that Debian has, `venv.sh` those that come from Python's packages.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

mod etcd;
mod lying;
mod postgres;
mod python;
mod secured;
mod server;

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;

pub use etcd::{etcd, etcd_over_tls, shared_etcd};
pub use lying::LyingS3;
pub use postgres::{postgres, postgres_over_tls, shared_postgres};
pub use python::{fake_gcs, moto, python, secantus, secantus_over_tls};
pub use secured::Secured;
pub use server::Server;

/// The loopback address.
pub const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Whether a program is installed. If it isn't, this says so, or fails where it is needed.
pub fn has(program: impl AsRef<Path>) -> bool {
    let program = program.as_ref();
    let found = Command::new("sh").args(["-c", "command -v \"$1\"", "sh"]).arg(program).output().unwrap();
    if !found.status.success() {
        let missing = format!("{} is not installed; see tests/servers/README.md", program.display());
        assert!(std::env::var_os("CI").is_none(), "{missing}");
        // Past the capture of the test's output: a skip has to be seen.
        _ = writeln!(std::io::stderr(), "SKIPPED: {missing}");
    }
    found.status.success()
}

/// Whether this process runs as root.
pub fn is_root() -> bool {
    String::from_utf8_lossy(&Command::new("id").arg("-u").output().unwrap().stdout).trim() == "0"
}

/// Asks a server for something that must succeed.
pub fn ask(server: SocketAddr, line: &str, body: &str) {
    let mut connection = TcpStream::connect(server).unwrap();
    let length = body.len();
    write!(
        connection,
        "{line} HTTP/1.1\r\nhost: {server}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    assert!(answer.lines().next().is_some_and(|line| line.contains(" 200 ")), "{line}: {answer}");
}
