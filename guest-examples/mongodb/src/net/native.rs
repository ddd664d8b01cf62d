//! Connections of a native program: blocking, unencrypted, for the tests.

use std::future::poll_fn;
use std::io::{self, ErrorKind, Read, Write};
use std::mem::replace;
use std::net::{TcpStream, ToSocketAddrs};
use std::task::Poll;
use std::time::Duration;

use crate::url::Address;

/// A connection.
pub struct Socket(TcpStream);

impl Socket {
    /// Connects within a time.
    pub async fn connect(address: &Address, tls: bool, patience: Duration) -> io::Result<Self> {
        if tls {
            return Err(io::Error::new(
                ErrorKind::Unsupported,
                "encryption is the host's business, and there is none",
            ));
        }
        let mut failure = ErrorKind::NotFound.into();
        for address in (address.host.as_str(), address.port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, patience) {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    return Ok(Self(stream));
                }
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// Writes everything, after others had their turn: each request is a point where a test can switch.
    pub async fn write_all(&mut self, bytes: &[u8], patience: Duration) -> io::Result<()> {
        let mut waited = false;
        poll_fn(|context| {
            context.waker().wake_by_ref();
            if replace(&mut waited, true) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        self.0.set_write_timeout(Some(patience))?;
        self.0.write_all(bytes)
    }

    /// Appends at least one and at most `most` bytes.
    pub async fn read(&mut self, into: &mut Vec<u8>, most: usize, patience: Duration) -> io::Result<()> {
        self.0.set_read_timeout(Some(patience))?;
        let mut piece = vec![0; most.min(64 * 1024)];
        let read = self.0.read(&mut piece)?;
        into.extend(piece.get(..read).unwrap_or_default());
        if read == 0 { Err(ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }
}

/// Waits.
pub async fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// Lets others go on. They have their turn before each request anyway.
pub async fn gather() {}
