//! A connection of a guest to a real server: what it sends is an operation, what it receives is waited for.

use std::future::poll_fn;
use std::io::{self, ErrorKind, Read};
use std::net::{Shutdown, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::ReadBuf;
use tokio::net::TcpStream;

use super::clock::GuestClock;
use super::gate::{Area, Directive, Gate, Injected, Operation, Performed, Reach, Touch};
use super::http::named;

/// How long a server may take to answer, or to take a connection, in real time.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// How long a server may take to close a connection that its client has closed.
const SETTLING: Duration = Duration::from_secs(2);
/// When a system gives up on a server that does not take a connection, in nanoseconds of virtual time. It never gives up on one that
/// does not answer.
const CONNECT_TIMEOUT: u64 = 130 * 1_000_000_000;
/// The most that is read at once.
const CHUNK: usize = 64 * 1024;
/// What an answer that makes no sense is made of.
const GARBAGE: &[u8] = b"\x00\xff<garbage/>{\"not\": [what] was asked for\r\n";

/// What can happen to a connection that is made.
const CONNECT_FAULTS: &[Injected] = &[Injected::Refused, Injected::Hang];
/// What can happen to what is sent.
const SEND_FAULTS: &[Injected] =
    &[Injected::Reset, Injected::LostAnswer, Injected::Hang, Injected::Garbage, Injected::Truncated];

pub(super) struct Connection {
    address: SocketAddr,
    gate: Gate,
    link: Mutex<Link>,
    /// Who waits for the server, to be woken up when it is not heard any more.
    waiting: Mutex<Option<Waker>>,
}

enum Link {
    Open(TcpStream),
    /// The server is not heard any more.
    Silent(TcpStream),
    /// Closed, with what can still be read, and whether that ends in an error.
    Over {
        left: Bytes,
        broken: bool,
    },
}

/// An operation on a server, as it is named in a trace.
fn operation(
    call: &'static str,
    address: SocketAddr,
    detail: String,
    faults: &'static [Injected],
) -> Operation {
    Operation {
        call: call.into(),
        area: Area::Remote,
        path: address.to_string().into(),
        other: None,
        detail,
        touches: Vec::new(),
        performed: Performed::Not,
        faults: faults.into(),
        tearable: false,
    }
}

impl Connection {
    /// Connects, when that is granted.
    pub(super) async fn open(address: SocketAddr, gate: Gate, clock: GuestClock) -> io::Result<Arc<Self>> {
        let (directive, mut operation) =
            gate.pass(operation("connect", address, String::new(), CONNECT_FAULTS)).await;
        operation.touches = vec![Touch { path: operation.path.clone(), reach: Reach::Itself, writes: false }];
        let made = match directive {
            Directive::Proceed => std::net::TcpStream::connect_timeout(&address, PATIENCE).and_then(prepared),
            Directive::Tear | Directive::Fail(_) => Err(ErrorKind::ConnectionRefused.into()),
        };
        operation.performed = match (directive, &made) {
            (Directive::Fail(injected), _) => Performed::Failed(named(injected)),
            (_, Ok(_)) => Performed::Done(String::new()),
            (_, Err(error)) => Performed::Failed(error.to_string()),
        };
        gate.performed(operation);
        if directive == Directive::Fail(Injected::Hang) {
            clock.pass(&gate, CONNECT_TIMEOUT).await;
            return Err(ErrorKind::TimedOut.into());
        }
        Ok(Arc::new(Self { address, gate, link: Mutex::new(Link::Open(made?)), waiting: Mutex::default() }))
    }

    fn link(&self) -> MutexGuard<'_, Link> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends bytes, when that is granted.
    pub(super) async fn send(self: Arc<Self>, bytes: Bytes) -> io::Result<()> {
        let mut operation = operation("send", self.address, format!("{} bytes", bytes.len()), SEND_FAULTS);
        operation.tearable = bytes.len() > 1;
        let (directive, mut operation) = self.gate.pass(operation).await;
        // What it says is the extension's own affair, so any two may be about the same.
        let delivered = !matches!(directive, Directive::Fail(Injected::Reset | Injected::Hang));
        operation.touches =
            vec![Touch { path: operation.path.clone(), reach: Reach::Itself, writes: delivered }];
        let part = if directive == Directive::Tear { bytes.slice(..bytes.len() / 2) } else { bytes };
        let mut length = 0;
        let mut sent = match delivered {
            true => self.wait(|context| self.poll_send(context, &part, &mut length)).await,
            false => Ok(()),
        };
        match directive {
            Directive::Proceed => {}
            Directive::Fail(Injected::Hang) => self.fall_silent(),
            Directive::Fail(Injected::Garbage) => {
                self.answered().await;
                self.close(|_| Bytes::from_static(GARBAGE), false);
            }
            Directive::Fail(Injected::Truncated) => {
                self.answered().await;
                self.close(|answer| answer.slice(..answer.len() / 2), false);
            }
            Directive::Fail(Injected::LostAnswer) => {
                self.answered().await;
                self.close(|_| Bytes::new(), true);
            }
            Directive::Fail(_) | Directive::Tear => {
                self.close(|_| Bytes::new(), true);
                sent = Err(ErrorKind::ConnectionReset.into());
            }
        }
        operation.performed = match (directive, &sent) {
            (Directive::Fail(injected), _) => Performed::Failed(named(injected)),
            (_, Ok(())) => Performed::Done(String::new()),
            (_, Err(error)) => Performed::Failed(error.to_string()),
        };
        self.gate.performed(operation);
        sent
    }

    fn poll_send(&self, context: &mut Context<'_>, bytes: &[u8], sent: &mut usize) -> Poll<io::Result<()>> {
        let mut link = self.link();
        let stream = match &mut *link {
            Link::Open(stream) => stream,
            Link::Silent(_) => return Poll::Ready(Ok(())),
            Link::Over { .. } => return Poll::Ready(Err(ErrorKind::ConnectionReset.into())),
        };
        while let Some(rest) = bytes.get(*sent..).filter(|rest| !rest.is_empty()) {
            match stream.try_write(rest) {
                Ok(written) => *sent += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    ready!(stream.poll_write_ready(context))?;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Waits for the first bytes of an answer, so that what was asked for is done.
    async fn answered(&self) {
        let arrived = self.wait(|context| match &*self.link() {
            Link::Open(stream) => stream.poll_peek(context, &mut ReadBuf::new(&mut [0])).map(drop),
            _ => Poll::Ready(()),
        });
        // What asks for no answer gets none.
        _ = tokio::time::timeout(SETTLING, arrived).await;
    }

    /// Waits for the server, and says so at the gate.
    async fn wait<T>(&self, mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> T {
        let mut listening = None;
        poll_fn(|context| {
            let polled = poll(context);
            if polled.is_ready() || matches!(*self.link(), Link::Silent(_)) {
                listening = None;
            } else if listening.is_none() {
                listening = Some(self.gate.listen());
            }
            polled
        })
        .await
    }

    /// Receives some bytes; none at the end.
    pub(super) async fn receive(&self, most: usize) -> io::Result<Bytes> {
        self.wait(|context| {
            *self.waiting() = Some(context.waker().clone());
            self.poll_receive(context, most)
        })
        .await
    }

    fn waiting(&self) -> MutexGuard<'_, Option<Waker>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Receives some bytes if they are there.
    pub(super) fn poll_receive(&self, context: &mut Context<'_>, most: usize) -> Poll<io::Result<Bytes>> {
        let mut link = self.link();
        match &mut *link {
            Link::Silent(_) => Poll::Pending,
            Link::Over { left, .. } if !left.is_empty() => {
                Poll::Ready(Ok(left.split_to(most.min(left.len()))))
            }
            Link::Over { broken: true, .. } => Poll::Ready(Err(ErrorKind::ConnectionReset.into())),
            Link::Over { .. } => Poll::Ready(Ok(Bytes::new())),
            Link::Open(stream) => loop {
                let mut bytes = vec![0; most.clamp(1, CHUNK)];
                match stream.try_read(&mut bytes) {
                    Ok(read) => {
                        bytes.truncate(read);
                        return Poll::Ready(Ok(bytes.into()));
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        ready!(stream.poll_read_ready(context))?;
                    }
                    Err(error) => return Poll::Ready(Err(error)),
                }
            },
        }
    }

    fn fall_silent(&self) {
        let mut link = self.link();
        let over = Link::Over { left: Bytes::new(), broken: true };
        *link = match std::mem::replace(&mut *link, over) {
            Link::Open(stream) => Link::Silent(stream),
            other => other,
        };
        drop(link);
        self.waiting().take().into_iter().for_each(Waker::wake);
    }

    /// Closes it and waits until the server has done the same: what the server was sent has had its effect then.
    fn close(&self, left: impl FnOnce(Bytes) -> Bytes, broken: bool) {
        let mut link = self.link();
        if let Link::Open(stream) | Link::Silent(stream) =
            std::mem::replace(&mut *link, Link::Over { left: Bytes::new(), broken })
        {
            *link = Link::Over { left: left(settle(stream)), broken };
        }
        drop(link);
        self.waiting().take().into_iter().for_each(Waker::wake);
    }

    /// Closes it in one direction or both.
    pub(super) fn shut_down(&self, how: Shutdown) -> io::Result<()> {
        match &*self.link() {
            Link::Open(stream) => rustix::net::shutdown(
                stream,
                match how {
                    Shutdown::Read => rustix::net::Shutdown::Read,
                    Shutdown::Write => rustix::net::Shutdown::Write,
                    Shutdown::Both => rustix::net::Shutdown::Both,
                },
            )
            .map_err(io::Error::from),
            _ => Ok(()),
        }
    }

    pub(super) fn local_address(&self) -> Option<SocketAddr> {
        match &*self.link() {
            Link::Open(stream) | Link::Silent(stream) => stream.local_addr().ok(),
            Link::Over { .. } => None,
        }
    }

    /// Closes it, as a guest does that ends.
    pub(super) fn end(&self) {
        self.close(|_| Bytes::new(), true);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.end();
    }
}

/// A connection whose waiting the runtime does.
fn prepared(stream: std::net::TcpStream) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    TcpStream::from_std(stream)
}

/// Closes a connection, and returns what was still to be received.
fn settle(stream: TcpStream) -> Bytes {
    let mut received = Vec::new();
    let drained = stream.into_std().and_then(|mut stream| {
        stream.set_nonblocking(false)?;
        stream.shutdown(Shutdown::Write)?;
        let deadline = Instant::now() + SETTLING;
        let mut part = vec![0; CHUNK];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            stream.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
            match stream.read(&mut part)? {
                0 => return Ok(()),
                read => received.extend_from_slice(part.get(..read).unwrap_or_default()),
            }
            if left.is_zero() {
                return Ok(());
            }
        }
    });
    if let Err(error) = drained {
        tracing::debug!("a server did not close a connection: {error}");
    }
    received.into()
}
