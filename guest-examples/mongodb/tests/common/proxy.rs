//! A server in front of the server, which makes one request go wrong.
#![allow(dead_code, reason = "each test takes what it needs")]

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use bson::{RawDocumentBuf, rawdoc};
use mongodb::wire;

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The connection ends before the server gets it.
    Cut,
    /// The server carries it out, and its answer is lost.
    AnswerLost,
    /// The server carries it out, and half of its answer arrives.
    Truncated,
    /// The server carries it out, and its answer never comes.
    Stalled,
    /// The server refuses it with a code.
    Refused(i32),
    /// The server carries it out, and says that too few others have it.
    Alone,
    /// Somebody who doesn't speak the protocol answers.
    Nonsense,
}

/// A running proxy.
pub struct Proxy {
    pub address: SocketAddr,
    /// How many requests came.
    pub requests: Arc<AtomicUsize>,
    open: Arc<Mutex<Vec<TcpStream>>>,
    stopped: Arc<AtomicBool>,
}

impl Proxy {
    /// Lets everything through but the request `at`, counted without what opens a connection.
    pub fn start(server: SocketAddr, fault: Option<(usize, Fault)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let proxy = Self { address, requests: Arc::default(), open: Arc::default(), stopped: Arc::default() };
        let (requests, open, stopped) = (proxy.requests.clone(), proxy.open.clone(), proxy.stopped.clone());
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if stopped.load(Ordering::Acquire) {
                    return;
                }
                let upstream = TcpStream::connect(server).unwrap();
                open.lock().unwrap().extend([client.try_clone().unwrap(), upstream.try_clone().unwrap()]);
                let requests = requests.clone();
                thread::spawn(move || serve(client, upstream, &requests, fault));
            }
        });
        proxy
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Release);
        let _ = TcpStream::connect(self.address);
        for stream in self.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn serve(
    mut client: TcpStream,
    mut server: TcpStream,
    requests: &AtomicUsize,
    fault: Option<(usize, Fault)>,
) {
    while let Ok(request) = message(&mut client) {
        let opening = [&b"hello\0"[..], b"sasl"]
            .iter()
            .any(|name| request[..60.min(request.len())].windows(name.len()).any(|part| part == *name));
        let number = if opening { usize::MAX } else { requests.fetch_add(1, Ordering::Relaxed) };
        let fault = fault.filter(|(at, _)| *at == number).map(|(_, fault)| fault);
        let id = i32::from_le_bytes(request[4..8].try_into().unwrap());
        let answer = match fault {
            Some(Fault::Cut) => break,
            Some(Fault::Refused(code)) => {
                answer(id, &rawdoc! { "ok": 0.0, "code": code, "errmsg": "refused by the proxy" })
            }
            Some(Fault::Nonsense) => b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n".to_vec(),
            _ => {
                if server.write_all(&request).is_err() {
                    break;
                }
                let Ok(answer) = message(&mut server) else { break };
                answer
            }
        };
        let sent = match fault {
            Some(Fault::AnswerLost) => break,
            Some(Fault::Truncated) => {
                let _ = client.write_all(&answer[..answer.len() / 2]);
                break;
            }
            // Until the other side has had enough.
            Some(Fault::Stalled) => message(&mut client).map(drop),
            Some(Fault::Alone) => {
                let alone = rawdoc! { "ok": 1.0, "n": 1, "writeConcernError": { "code": 64, "errmsg": "waiting for replication timed out" } };
                client.write_all(&self::answer(id, &alone))
            }
            _ => client.write_all(&answer),
        };
        if sent.is_err() {
            break;
        }
    }
    let _ = client.shutdown(Shutdown::Both);
    let _ = server.shutdown(Shutdown::Both);
}

/// A server's message.
pub fn answer(to: i32, document: &RawDocumentBuf) -> Vec<u8> {
    let mut message = wire::encode(1, document, None).unwrap();
    message[8..12].copy_from_slice(&to.to_le_bytes());
    message
}

/// Reads one message.
pub fn message(from: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut message = vec![0; 4];
    from.read_exact(&mut message)?;
    let length = i32::from_le_bytes(message[..4].try_into().unwrap());
    message.resize(usize::try_from(length).map_err(io::Error::other)?, 0);
    from.read_exact(&mut message[4..])?;
    Ok(message)
}
