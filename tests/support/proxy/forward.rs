//! Passing requests on.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::body::Answer;
use super::{Fault, State};

type Body = UnsyncBoxBody<Bytes, io::Error>;

/// A client's connection, held beside the one that serves it.
pub(super) struct Connection(OwnedFd);

impl Connection {
    pub(super) fn beside(stream: &TcpStream) -> Self {
        Self(stream.as_fd().try_clone_to_owned().unwrap())
    }

    /// Lets the connection end with a reset when it is closed.
    pub(super) fn reset_on_close(&self) {
        rustix::net::sockopt::set_socket_linger(&self.0, Some(Duration::ZERO)).unwrap();
    }
}

/// Serves clients until it is aborted.
pub(super) async fn accept(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        _ = stream.set_nodelay(true);
        let connection = Arc::new(Connection::beside(&stream));
        let state = state.clone();
        let answer = service_fn(move |request| answer(request, state.clone(), connection.clone()));
        // A client that breaks off, and a fault that does, end only their own connection.
        connections
            .spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
        while connections.try_join_next().is_some() {}
    }
}

/// Answers one request. An error closes the connection.
async fn answer(
    request: Request<Incoming>,
    state: Arc<State>,
    connection: Arc<Connection>,
) -> io::Result<Response<Body>> {
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    let fault = state.arrive(format!("{} {target}", request.method())).await;
    if let Some(refusal) = fault.and_then(|fault| state.service.refuses(fault)) {
        // As servers do: the body is read first, so that the client gets to see the answer.
        _ = request.into_body().collect().await;
        return Ok(refusal.map(|body| Answer::whole(body).boxed_unsync()));
    }
    if fault == Some(Fault::ResetRequest) {
        _ = request.into_body().frame().await;
        connection.reset_on_close();
        return Err(io::ErrorKind::ConnectionReset.into());
    }
    let Some(fault) = fault else { return pass(request, state.upstream).await };

    let (mut parts, body) = fetch(request, state.upstream).await?.into_parts();
    let empty = body.is_empty();
    let body = match fault {
        Fault::Stall => std::future::pending().await,
        Fault::LoseAnswer => {
            connection.reset_on_close();
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        // An answer without a body breaks before it is begun.
        Fault::ResetAnswer | Fault::Truncate if empty => {
            if fault == Fault::ResetAnswer {
                connection.reset_on_close();
            }
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Fault::ResetAnswer => Answer::half(body, Some(connection)),
        Fault::Truncate => Answer::half(body, None),
        Fault::Shorten => {
            let shorter = body.slice(..body.len() / 2);
            parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(shorter.len()));
            Answer::whole(shorter)
        }
        Fault::WrongVersion => {
            let body = state.service.mislead(&mut parts.headers, body);
            parts.headers.remove(header::CONTENT_LENGTH);
            Answer::whole(body)
        }
        // The others were dealt with above.
        _ => Answer::whole(body),
    };
    Ok(Response::from_parts(parts, body.boxed_unsync()))
}

/// Passes a request on, and its answer back as it comes.
async fn pass(request: Request<Incoming>, upstream: SocketAddr) -> io::Result<Response<Body>> {
    let stream = TcpStream::connect(upstream).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    tokio::spawn(connection);
    let mut response = sender.send_request(request).await.map_err(io::Error::other)?;
    // Of this hop alone.
    for name in [header::CONNECTION, header::TRANSFER_ENCODING] {
        response.headers_mut().remove(name);
    }
    // The connection ends with its sender, so that goes along with the body.
    Ok(response.map(|body| {
        body.map_frame(move |frame| {
            _ = &sender;
            frame
        })
        .map_err(io::Error::other)
        .boxed_unsync()
    }))
}

/// Passes a request on, and waits for the whole answer.
async fn fetch(request: Request<Incoming>, upstream: SocketAddr) -> io::Result<Response<Bytes>> {
    let (parts, body) = pass(request, upstream).await?.into_parts();
    let body = body.collect().await?.to_bytes();
    Ok(Response::from_parts(parts, body))
}
