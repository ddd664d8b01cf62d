//! Waiting for servers, but not for ever: a connection, an answer, and each piece of a body must come in time.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::capture_connection;
use tokio::time::{Instant, Sleep, sleep, sleep_until};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

use super::client::Client;
use super::failure::Failure;

/// How long to wait for a connection, TLS included, unless the guest says otherwise.
const CONNECT: Duration = Duration::from_secs(30);

/// How long to wait for an answer, and for each further piece of a body.
const PIECE: Duration = Duration::from_secs(60);

/// A guest may ask for more patience than this, and doesn't get it.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// How long one request may wait for what.
pub(super) struct Waits {
    connect: Duration,
    first_byte: Duration,
    between_bytes: Duration,
}

impl Waits {
    pub(super) fn new(options: RequestOptions) -> Self {
        let wait = |asked: Option<Duration>, usual| asked.unwrap_or(usual).min(LONGEST);
        Self {
            connect: wait(options.connect_timeout, CONNECT),
            first_byte: wait(options.first_byte_timeout, PIECE),
            between_bytes: wait(options.between_bytes_timeout, PIECE),
        }
    }

    pub(super) fn between_bytes(&self) -> Duration {
        self.between_bytes
    }

    /// Sends a request and waits for the head of its answer.
    pub(super) async fn exchange(
        &self,
        client: &Client<Watched>,
        request: http::Request<WasiBody>,
    ) -> Result<http::Response<Incoming>, Failure> {
        let progress = Progress::new(request.body().is_end_stream());
        let mut request = request.map(|body| Watched { body, progress: progress.clone() });
        let mut connection = capture_connection(&mut request);
        let mut answer = std::pin::pin!(client.request(request));
        let connected = async { drop(connection.wait_for_connection_metadata().await) };
        tokio::select! {
            biased;
            answer = &mut answer => return answer.map_err(|error| Failure::of(&error)),
            () = connected => {}
            () = sleep(self.connect) => return Err(Failure::Other(Error::ConnectionTimeout)),
        }
        progress.begin();
        tokio::select! {
            biased;
            answer = &mut answer => answer.map_err(|error| Failure::of(&error)),
            error = progress.stalled(self.first_byte) => Err(Failure::Other(error)),
        }
    }
}

/// How far a request got.
#[derive(Clone)]
struct Progress(Arc<Mutex<State>>);

struct State {
    /// When the server last took something.
    since: Instant,
    /// Whether it's the guest who has to go on.
    awaits_guest: bool,
    /// Whether the server has all.
    sent: bool,
}

impl Progress {
    fn new(sent: bool) -> Self {
        Self(Arc::new(Mutex::new(State { since: Instant::now(), awaits_guest: false, sent })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self) {
        self.lock().since = Instant::now();
    }

    /// Comes back once the server has done nothing for so long. A guest that takes its time is not the server's fault.
    async fn stalled(&self, patience: Duration) -> Error {
        loop {
            let until = match &*self.lock() {
                State { awaits_guest: true, .. } => Instant::now() + patience,
                State { since, .. } => *since + patience,
            };
            sleep_until(until).await;
            let State { since, awaits_guest, sent } = &*self.lock();
            if !awaits_guest && since.elapsed() >= patience {
                return if *sent { Error::ConnectionReadTimeout } else { Error::ConnectionWriteTimeout };
            }
        }
    }
}

/// A guest's body that tells how far it got.
pub(super) struct Watched {
    body: WasiBody,
    progress: Progress,
}

impl Body for Watched {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        let frame = Pin::new(&mut this.body).poll_frame(context);
        let mut state = this.progress.lock();
        state.awaits_guest = frame.is_pending();
        if let Poll::Ready(frame) = &frame {
            state.since = Instant::now();
            state.sent = frame.is_none() || this.body.is_end_stream();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Why a body ended before its end.
#[derive(Debug)]
pub(super) enum Late<E> {
    /// Nothing came for too long.
    Stalled,
    /// It was cut off.
    Failed(E),
}

/// A body whose pieces must come in time.
pub(super) struct Patient<B> {
    body: B,
    patience: Duration,
    /// Runs while somebody waits for a piece: a guest that doesn't read is not the server's fault.
    timer: Option<Pin<Box<Sleep>>>,
}

impl<B> Patient<B> {
    pub(super) fn new(body: B, patience: Duration) -> Self {
        Self { body, patience, timer: None }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Patient<B> {
    type Data = Bytes;
    type Error = Late<B::Error>;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) {
            this.timer = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(Late::Failed)));
        }
        let patience = this.patience;
        let timer = this.timer.get_or_insert_with(|| Box::pin(sleep(patience)));
        ready!(timer.as_mut().poll(context));
        Poll::Ready(Some(Err(Late::Stalled)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
