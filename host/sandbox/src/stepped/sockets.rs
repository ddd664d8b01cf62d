//! `wasi:sockets` of a stepped guest: TCP connections to the servers that it was granted, and nothing else.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddressFamily, IpSocketAddress, Network};
use wasmtime_wasi::p2::bindings::sockets::{network, tcp, tcp_create_socket};
use wasmtime_wasi::p2::{
    DynInputStream, DynOutputStream, DynPollable, Pollable, SocketError, SocketResult, TcpSocket, subscribe,
};

use super::clock::GuestClock;
use super::connection::Connection;
use super::exchange::{MESSAGE, Received, Sent, Task};
use super::gate::Gate;
use crate::denial::{Denial, Denials};
use crate::guest::Guest;

/// The servers that a guest may connect to, and its connections to them.
#[derive(Clone, Default)]
pub(crate) struct Servers {
    granted: Arc<[SocketAddr]>,
    connections: Arc<Mutex<Vec<Weak<Connection>>>>,
}

impl Servers {
    pub(super) fn new(granted: &[SocketAddr]) -> Self {
        Self { granted: granted.into(), connections: Arc::default() }
    }

    fn know(&self, connection: &Arc<Connection>) {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        connections.retain(|known| known.strong_count() > 0);
        connections.push(Arc::downgrade(connection));
    }

    /// Closes all connections, as the system does for a program that ends.
    pub(super) fn close(&self) {
        let connections =
            std::mem::take(&mut *self.connections.lock().unwrap_or_else(PoisonError::into_inner));
        for connection in connections.iter().filter_map(Weak::upgrade) {
            connection.end();
        }
    }
}

/// What the socket interfaces work on.
pub(crate) struct Sockets<'a> {
    pub(crate) servers: Servers,
    pub(crate) gate: Gate,
    pub(crate) clock: GuestClock,
    pub(crate) denials: Denials,
    pub(crate) table: &'a mut ResourceTable,
}

pub(crate) struct HasSockets;

impl HasData for HasSockets {
    type Data<'a> = Sockets<'a>;
}

pub(crate) fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    tcp::add_to_linker::<Guest, HasSockets>(linker, Guest::granted_sockets)?;
    tcp_create_socket::add_to_linker::<Guest, HasSockets>(linker, Guest::granted_sockets)
}

/// A socket of a guest.
struct Socket {
    family: IpAddressFamily,
    /// Where it leads.
    remote: Option<SocketAddr>,
    connecting: Option<Task<io::Result<Arc<Connection>>>>,
    connection: Option<Arc<Connection>>,
}

#[async_trait]
impl Pollable for Socket {
    async fn ready(&mut self) {
        if let Some(connecting) = &mut self.connecting {
            connecting.finished().await;
        }
    }
}

type Fd = Resource<TcpSocket>;

impl Sockets<'_> {
    fn socket(&mut self, fd: &Fd) -> SocketResult<&mut Socket> {
        let own: Resource<Socket> = Resource::new_borrow(fd.rep());
        Ok(self.table.get_mut(&own)?)
    }
}

impl network::Host for Sockets<'_> {
    fn convert_error_code(&mut self, error: SocketError) -> wasmtime::Result<ErrorCode> {
        error.downcast()
    }

    fn network_error_code(
        &mut self,
        error: Resource<wasmtime::Error>,
    ) -> wasmtime::Result<Option<ErrorCode>> {
        Ok(self.table.get(&error)?.downcast_ref::<io::Error>().map(ErrorCode::from))
    }
}

impl network::HostNetwork for Sockets<'_> {
    fn drop(&mut self, network: Resource<Network>) -> wasmtime::Result<()> {
        self.table.delete(network)?;
        Ok(())
    }
}

impl tcp_create_socket::Host for Sockets<'_> {
    fn create_tcp_socket(&mut self, family: IpAddressFamily) -> SocketResult<Fd> {
        let socket = Socket { family, remote: None, connecting: None, connection: None };
        Ok(Resource::new_own(self.table.push(socket)?.rep()))
    }
}

impl tcp::Host for Sockets<'_> {}

impl tcp::HostTcpSocket for Sockets<'_> {
    async fn start_bind(
        &mut self,
        _: Fd,
        _: Resource<Network>,
        address: IpSocketAddress,
    ) -> SocketResult<()> {
        // A connection binds its own end first, to any address and port.
        let address = SocketAddr::from(address);
        match address.ip().is_unspecified() && address.port() == 0 {
            true => Ok(()),
            false => Err(ErrorCode::AccessDenied.into()),
        }
    }

    fn finish_bind(&mut self, _: Fd) -> SocketResult<()> {
        Ok(())
    }

    fn start_connect(&mut self, fd: Fd, _: Resource<Network>, remote: IpSocketAddress) -> SocketResult<()> {
        let (gate, clock, address) = (self.gate.clone(), self.clock.clone(), SocketAddr::from(remote));
        if !self.servers.granted.contains(&address) {
            self.denials.add(Denial::Tcp { address });
            return Err(ErrorCode::AccessDenied.into());
        }
        let socket = self.socket(&fd)?;
        if socket.connecting.is_some() || socket.connection.is_some() {
            return Err(ErrorCode::InvalidState.into());
        }
        socket.remote = Some(address);
        socket.connecting = Some(Task::start(Connection::open(address, gate, clock)));
        Ok(())
    }

    fn finish_connect(
        &mut self,
        fd: Fd,
    ) -> SocketResult<(Resource<DynInputStream>, Resource<DynOutputStream>)> {
        let socket = self.socket(&fd)?;
        if socket.connecting.is_none() {
            return Err(ErrorCode::NotInProgress.into());
        }
        let connection = Task::take(&mut socket.connecting).ok_or(ErrorCode::WouldBlock)??;
        socket.connection = Some(connection.clone());
        self.servers.know(&connection);
        let input: DynInputStream = Box::new(Received::new(connection.clone()));
        let output: DynOutputStream = Box::new(Sent::new(connection));
        let parent: Resource<Socket> = Resource::new_borrow(fd.rep());
        Ok((self.table.push_child(input, &parent)?, self.table.push_child(output, &parent)?))
    }

    async fn start_listen(&mut self, _: Fd) -> SocketResult<()> {
        Err(ErrorCode::AccessDenied.into())
    }

    fn finish_listen(&mut self, _: Fd) -> SocketResult<()> {
        Err(ErrorCode::NotInProgress.into())
    }

    fn accept(&mut self, _: Fd) -> SocketResult<(Fd, Resource<DynInputStream>, Resource<DynOutputStream>)> {
        Err(ErrorCode::InvalidState.into())
    }

    fn local_address(&mut self, fd: Fd) -> SocketResult<IpSocketAddress> {
        let connection = self.socket(&fd)?.connection.as_ref();
        let address = connection.and_then(|connection| connection.local_address());
        Ok(address.ok_or(ErrorCode::InvalidState)?.into())
    }

    fn remote_address(&mut self, fd: Fd) -> SocketResult<IpSocketAddress> {
        let socket = self.socket(&fd)?;
        let remote = socket.remote.filter(|_| socket.connection.is_some());
        Ok(remote.ok_or(ErrorCode::InvalidState)?.into())
    }

    fn is_listening(&mut self, _: Fd) -> wasmtime::Result<bool> {
        Ok(false)
    }

    fn address_family(&mut self, fd: Fd) -> wasmtime::Result<IpAddressFamily> {
        let own: Resource<Socket> = Resource::new_borrow(fd.rep());
        Ok(self.table.get(&own)?.family)
    }

    fn set_listen_backlog_size(&mut self, _: Fd, _: u64) -> SocketResult<()> {
        Err(ErrorCode::NotSupported.into())
    }

    // What follows tunes a connection and changes nothing that anybody can tell.

    fn keep_alive_enabled(&mut self, _: Fd) -> SocketResult<bool> {
        Ok(false)
    }

    fn set_keep_alive_enabled(&mut self, _: Fd, _: bool) -> SocketResult<()> {
        Ok(())
    }

    fn keep_alive_idle_time(&mut self, _: Fd) -> SocketResult<u64> {
        Ok(7_200_000_000_000)
    }

    fn set_keep_alive_idle_time(&mut self, _: Fd, _: u64) -> SocketResult<()> {
        Ok(())
    }

    fn keep_alive_interval(&mut self, _: Fd) -> SocketResult<u64> {
        Ok(75_000_000_000)
    }

    fn set_keep_alive_interval(&mut self, _: Fd, _: u64) -> SocketResult<()> {
        Ok(())
    }

    fn keep_alive_count(&mut self, _: Fd) -> SocketResult<u32> {
        Ok(9)
    }

    fn set_keep_alive_count(&mut self, _: Fd, _: u32) -> SocketResult<()> {
        Ok(())
    }

    fn hop_limit(&mut self, _: Fd) -> SocketResult<u8> {
        Ok(64)
    }

    fn set_hop_limit(&mut self, _: Fd, _: u8) -> SocketResult<()> {
        Ok(())
    }

    fn receive_buffer_size(&mut self, _: Fd) -> SocketResult<u64> {
        Ok(MESSAGE as u64)
    }

    fn set_receive_buffer_size(&mut self, _: Fd, _: u64) -> SocketResult<()> {
        Ok(())
    }

    fn send_buffer_size(&mut self, _: Fd) -> SocketResult<u64> {
        Ok(MESSAGE as u64)
    }

    fn set_send_buffer_size(&mut self, _: Fd, _: u64) -> SocketResult<()> {
        Ok(())
    }

    fn subscribe(&mut self, fd: Fd) -> wasmtime::Result<Resource<DynPollable>> {
        let own: Resource<Socket> = Resource::new_borrow(fd.rep());
        subscribe(self.table, own)
    }

    fn shutdown(&mut self, fd: Fd, how: tcp::ShutdownType) -> SocketResult<()> {
        let connection = self.socket(&fd)?.connection.clone().ok_or(ErrorCode::InvalidState)?;
        Ok(connection.shut_down(how.into())?)
    }

    fn drop(&mut self, fd: Fd) -> wasmtime::Result<()> {
        let own: Resource<Socket> = Resource::new_own(fd.rep());
        self.table.delete(own)?;
        Ok(())
    }
}
