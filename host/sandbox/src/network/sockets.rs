//! Checks each socket of a guest against its grants.

use std::net::SocketAddr;
use std::sync::Arc;

use wasmtime_wasi::sockets::SocketAddrUse;

use super::names::{NameError, resolve};
use crate::denial::{Denial, Denials};
use crate::grants::Grants;

/// Whether a guest may use a socket address: only to connect, only to what a TCP grant reaches now.
pub(crate) async fn allows_socket(
    grants: Arc<Grants>,
    denials: Denials,
    address: SocketAddr,
    socket_use: SocketAddrUse,
) -> bool {
    // A connection binds its own end first, to any address and port.
    if matches!(socket_use, SocketAddrUse::TcpBind) && address.ip().is_unspecified() && address.port() == 0 {
        return true;
    }
    if matches!(socket_use, SocketAddrUse::TcpConnect) {
        for target in &grants.tcp {
            let (host, port) = target.target();
            if port != address.port() {
                continue;
            }
            let reached = match host {
                Ok(granted) => granted == address.ip().to_canonical(),
                Err(name) => match resolve(&grants, name, port).await {
                    Ok(found) => {
                        found.iter().any(|found| found.ip().to_canonical() == address.ip().to_canonical())
                    }
                    Err(NameError::Private { host, address }) => {
                        denials.add(Denial::PrivateAddress { host, address });
                        false
                    }
                    Err(NameError::Unknown(_)) => false,
                },
            };
            if reached {
                return true;
            }
        }
    }
    denials.add(Denial::Tcp { address });
    false
}
