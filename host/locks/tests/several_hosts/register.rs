//! What is written to under the lock: it takes no write with a lower number than one that it has taken.

use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, TcpListener};
use std::sync::{Arc, Mutex};

/// A register on a port.
pub struct Register {
    port: u16,
    written: Arc<Mutex<Written>>,
}

#[derive(Default)]
struct Written {
    accepted: Vec<u64>,
    refused: usize,
}

impl Register {
    /// Serves one.
    pub fn serve(address: IpAddr) -> Self {
        let listener = TcpListener::bind((address, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let written: Arc<Mutex<Written>> = Arc::default();
        let shared = written.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let written = shared.clone();
                std::thread::spawn(move || {
                    let mut answers = client.try_clone().unwrap();
                    for line in BufReader::new(client).lines() {
                        let Some(number) = line.ok().and_then(|line| line.parse().ok()) else { return };
                        let mut written = written.lock().unwrap();
                        let taken = written.accepted.last().is_none_or(|last| *last <= number);
                        if taken {
                            written.accepted.push(number);
                        } else {
                            written.refused += 1;
                        }
                        drop(written);
                        _ = writeln!(answers, "{taken}");
                    }
                });
            }
        });
        Self { port, written }
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Makes sure that numbers only grew, and returns how many writes were accepted and refused.
    pub fn check(&self) -> (usize, usize) {
        let written = self.written.lock().unwrap();
        assert!(written.accepted.is_sorted(), "numbers shrank");
        (written.accepted.len(), written.refused)
    }
}
