//! A server that does what a test tells it, byte by byte.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// What to do with a request.
pub(super) enum Answer {
    /// Send this and go on.
    Text(String),
    /// Send this and close the connection.
    Last(String),
    /// Send this and then nothing more.
    Stall(String),
    /// Send an empty answer once so many requests have come.
    Together(Arc<tokio::sync::Barrier>),
}

impl Answer {
    pub(super) fn ok(body: &str) -> Self {
        Self::with("200 OK", "", body)
    }

    /// With further header lines, each ended by a line break.
    pub(super) fn with(status: &str, headers: &str, body: &str) -> Self {
        Self::Text(format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n{body}", body.len()))
    }
}

/// A server on a port of its own. It ends with the test.
pub(super) struct Server {
    pub(super) port: u16,
    pub(super) origin: String,
    state: Arc<State>,
}

type Script = dyn Fn(&str) -> Answer + Send + Sync;

struct State {
    script: Box<Script>,
    seen: Mutex<Vec<String>>,
    connections: AtomicUsize,
    answered: AtomicUsize,
}

impl Server {
    pub(super) async fn start(script: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Self {
        Self::listen(script, None).await
    }

    pub(super) async fn start_encrypted(
        script: impl Fn(&str) -> Answer + Send + Sync + 'static,
        acceptor: TlsAcceptor,
    ) -> Self {
        Self::listen(script, Some(acceptor)).await
    }

    async fn listen(
        script: impl Fn(&str) -> Answer + Send + Sync + 'static,
        tls: Option<TlsAcceptor>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State {
            script: Box::new(script),
            seen: Mutex::default(),
            connections: AtomicUsize::new(0),
            answered: AtomicUsize::new(0),
        });
        let scheme = if tls.is_some() { "https" } else { "http" };
        let server = Self { port, origin: format!("{scheme}://127.0.0.1:{port}"), state: state.clone() };
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                state.connections.fetch_add(1, Ordering::SeqCst);
                let (state, tls) = (state.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(&state, connection).await,
                        Some(tls) => match tls.accept(connection).await {
                            Ok(connection) => serve(&state, connection).await,
                            Err(_) => None,
                        },
                    }
                });
            }
        });
        server
    }

    /// The requests so far, with their bodies.
    pub(super) fn seen(&self) -> Vec<String> {
        self.state.seen.lock().unwrap().clone()
    }

    /// The only request so far.
    pub(super) fn only(&self) -> String {
        let seen = self.seen();
        assert_eq!(seen.len(), 1, "{seen:?}");
        seen[0].clone()
    }

    pub(super) fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    /// Waits until the server is done with every request, and its client had a chance to see that.
    pub(super) async fn settled(&self) {
        while self.state.answered.load(Ordering::SeqCst) < self.seen().len() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::task::yield_now().await;
    }
}

async fn serve(state: &State, mut connection: impl AsyncRead + AsyncWrite + Unpin) -> Option<()> {
    loop {
        let request = read(&mut connection).await?;
        state.seen.lock().unwrap().push(request.clone());
        let (text, goes_on) = match (state.script)(&request) {
            Answer::Text(text) => (text, true),
            Answer::Last(text) => (text, false),
            Answer::Stall(text) => {
                connection.write_all(text.as_bytes()).await.ok()?;
                connection.flush().await.ok()?;
                std::future::pending::<()>().await;
                return None;
            }
            Answer::Together(all) => {
                all.wait().await;
                ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_owned(), true)
            }
        };
        connection.write_all(text.as_bytes()).await.ok()?;
        connection.flush().await.ok()?;
        state.answered.fetch_add(1, Ordering::SeqCst);
        if !goes_on {
            _ = connection.shutdown().await;
            return None;
        }
    }
}

/// Reads one request with its body; nothing if the connection ends.
async fn read(connection: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return Some(text);
            }
        }
        if connection.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}
