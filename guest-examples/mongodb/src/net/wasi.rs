//! Connections of a component.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use wasip2::io::streams::{InputStream, OutputStream, StreamError};
use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::network::{ErrorCode, Ipv4SocketAddress, Ipv6SocketAddress};
use wasip2::sockets::tcp::{IpAddressFamily, IpSocketAddress, TcpSocket};
use wasip2::sockets::tcp_create_socket::create_tcp_socket;
use wstd::future::FutureExt;
use wstd::runtime::AsyncPollable;

use super::tls;
use crate::url::Address;

/// A connection. Its fields are dropped in this order: a resource outlives what was made of it.
pub struct Socket {
    readable: AsyncPollable,
    writable: AsyncPollable,
    input: InputStream,
    output: OutputStream,
    _encryption: Option<tls::Connection>,
    _socket: TcpSocket,
}

impl Socket {
    /// Connects within a time.
    pub async fn connect(address: &Address, encrypted: bool, patience: Duration) -> io::Result<Self> {
        let mut failure = ErrorKind::NotFound.into();
        for found in (address.host.as_str(), address.port).to_socket_addrs()? {
            match within(patience, dial(found)).await {
                Ok((socket, input, output)) if encrypted => {
                    let (encryption, input, output) =
                        within(patience, tls::shake_hands(&address.host, input, output)).await?;
                    return Ok(Self::new(socket, Some(encryption), input, output));
                }
                Ok((socket, input, output)) => return Ok(Self::new(socket, None, input, output)),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    fn new(
        socket: TcpSocket,
        encryption: Option<tls::Connection>,
        input: InputStream,
        output: OutputStream,
    ) -> Self {
        let (readable, writable) =
            (AsyncPollable::new(input.subscribe()), AsyncPollable::new(output.subscribe()));
        Self { readable, writable, input, output, _encryption: encryption, _socket: socket }
    }

    /// Writes everything. Each piece has to be taken within the time.
    pub async fn write_all(&mut self, mut bytes: &[u8], patience: Duration) -> io::Result<()> {
        while !bytes.is_empty() {
            let room = usize::try_from(self.output.check_write().map_err(failed)?).unwrap_or(usize::MAX);
            if room == 0 {
                within(patience, ready(&self.writable)).await?;
                continue;
            }
            let (piece, rest) = bytes.split_at(room.min(bytes.len()));
            self.output.write(piece).map_err(failed)?;
            bytes = rest;
        }
        self.output.flush().map_err(failed)?;
        within(patience, ready(&self.writable)).await
    }

    /// Appends at least one and at most `most` bytes.
    pub async fn read(&mut self, into: &mut Vec<u8>, most: usize, patience: Duration) -> io::Result<()> {
        loop {
            let piece = self.input.read(most as u64).map_err(failed)?;
            if !piece.is_empty() {
                into.extend(piece);
                return Ok(());
            }
            within(patience, ready(&self.readable)).await?;
        }
    }
}

/// Waits.
pub async fn pause(time: Duration) {
    wstd::task::sleep(time.into()).await;
}

/// Lets everybody go on who can.
pub async fn gather() {
    pause(Duration::ZERO).await;
}

async fn dial(address: SocketAddr) -> io::Result<(TcpSocket, InputStream, OutputStream)> {
    let (family, address) = match address {
        SocketAddr::V4(address) => {
            let [a, b, c, d] = address.ip().octets();
            let address = Ipv4SocketAddress { port: address.port(), address: (a, b, c, d) };
            (IpAddressFamily::Ipv4, IpSocketAddress::Ipv4(address))
        }
        SocketAddr::V6(address) => {
            let [a, b, c, d, e, f, g, h] = address.ip().segments();
            let (port, scope_id) = (address.port(), address.scope_id());
            let address =
                Ipv6SocketAddress { port, flow_info: 0, address: (a, b, c, d, e, f, g, h), scope_id };
            (IpAddressFamily::Ipv6, IpSocketAddress::Ipv6(address))
        }
    };
    let socket = create_tcp_socket(family).map_err(refused)?;
    socket.start_connect(&instance_network(), address).map_err(refused)?;
    loop {
        match socket.finish_connect() {
            Ok((input, output)) => return Ok((socket, input, output)),
            Err(ErrorCode::WouldBlock) => ready(&AsyncPollable::new(socket.subscribe())).await?,
            Err(error) => return Err(refused(error)),
        }
    }
}

pub(super) async fn ready(pollable: &AsyncPollable) -> io::Result<()> {
    pollable.wait_for().await;
    Ok(())
}

async fn within<T>(time: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    work.timeout(wstd::time::Duration::from(time)).await.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))
}

fn refused(error: ErrorCode) -> io::Error {
    match error {
        ErrorCode::AccessDenied => ErrorKind::PermissionDenied.into(),
        ErrorCode::Timeout => ErrorKind::TimedOut.into(),
        other => io::Error::other(other.name()),
    }
}

fn failed(error: StreamError) -> io::Error {
    match error {
        StreamError::Closed => ErrorKind::UnexpectedEof.into(),
        StreamError::LastOperationFailed(error) => {
            let text = error.to_debug_string();
            io::Error::other(text.lines().next().unwrap_or_default().to_owned())
        }
    }
}
