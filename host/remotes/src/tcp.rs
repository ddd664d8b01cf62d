//! A remote on a TCP port.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use http::Request;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

use crate::{Body, Remote};

/// A server on a free loopback port. It stops when this is dropped, and its connections with it.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Server {
    /// Serves a remote.
    ///
    /// # Errors
    /// If there is no port to listen on.
    pub async fn start(remote: impl Remote) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let accepting = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                // Small answers to small questions, each waited for.
                _ = stream.set_nodelay(true);
                let remote = remote.clone();
                let answer = service_fn(move |request: Request<Incoming>| {
                    let remote = remote.clone();
                    async move {
                        let request = request.map(|body| Body::new(body.map_err(Into::into)));
                        Ok::<_, Infallible>(remote.handle(request).await)
                    }
                });
                // A client that breaks off is the client's business.
                connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self { address, accepting })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its origin, such as `http://127.0.0.1:40123`.
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
