//! Encryption, which the host does: it has the certificates that this machine trusts, and checks the server's name.

use std::io::{self, ErrorKind};

use wasip2::io::error::Error;
use wasip2::io::streams::{InputStream, OutputStream};
use wstd::runtime::AsyncPollable;

use bindings::wasi::tls::types::{ClientConnection, ClientHandshake};

#[allow(unsafe_code, clippy::all, reason = "generated from the WIT")]
mod bindings {
    wit_bindgen::generate!({
        path: "wit",
        world: "encrypted",
        features: ["tls"],
        with: {
            "wasi:io/error@0.2.12": wasip2::io::error,
            "wasi:io/poll@0.2.12": wasip2::io::poll,
            "wasi:io/streams@0.2.12": wasip2::io::streams,
            "wasi:tls/types@0.2.0-draft": generate,
        },
    });
}

/// What an encrypted connection hangs on.
pub struct Connection(ClientConnection);

impl Drop for Connection {
    fn drop(&mut self) {
        // Says goodbye, so that the other side knows the end from an interruption.
        self.0.close_output();
    }
}

/// Makes a connection an encrypted one.
pub async fn shake_hands(
    host: &str,
    input: InputStream,
    output: OutputStream,
) -> io::Result<(Connection, InputStream, OutputStream)> {
    let streams = ClientHandshake::finish(ClientHandshake::new(host, input, output));
    let ready = AsyncPollable::new(streams.subscribe());
    loop {
        match streams.get() {
            Some(Ok(Ok((connection, input, output)))) => return Ok((Connection(connection), input, output)),
            Some(Ok(Err(error))) => return Err(failed(&error)),
            Some(Err(())) => return Err(io::Error::other("the handshake is over already")),
            None => ready.wait_for().await,
        }
    }
}

/// The host's words are for people. They tell a certificate that won't become right by itself from what may pass.
fn failed(error: &Error) -> io::Error {
    let text = error.to_debug_string();
    let first = text.lines().next().unwrap_or_default();
    let kind = if first.contains("certificate") { ErrorKind::InvalidData } else { ErrorKind::Other };
    io::Error::new(kind, format!("the connection can't be encrypted: {first}"))
}
