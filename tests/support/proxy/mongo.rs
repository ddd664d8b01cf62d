//! Passing on messages of MongoDB's protocol: one of them from the client, one back.

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::forward::Connection;
use super::{Fault, State};

/// A message's header: its length, its number, the number that it answers, its kind.
const HEADER: usize = 16;

/// `OP_MSG`.
const MESSAGE: u32 = 2013;

/// Serves clients until it is aborted.
pub(super) async fn accept(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let connection = Connection::beside(&stream);
        connections.spawn(serve(stream, connection, state.clone()));
        while connections.try_join_next().is_some() {}
    }
}

/// Answers messages until one side breaks off, or a fault does.
async fn serve(mut client: TcpStream, connection: Connection, state: Arc<State>) -> io::Result<()> {
    client.set_nodelay(true)?;
    let mut server = TcpStream::connect(state.upstream).await?;
    server.set_nodelay(true)?;
    loop {
        let request = read(&mut client).await?;
        let fault = state.arrive(command(&request)).await;
        if let Some(refusal) = fault.and_then(|fault| refuses(fault, &request)) {
            client.write_all(&refusal).await?;
            continue;
        }
        if fault == Some(Fault::ResetRequest) {
            connection.reset_on_close();
            return Ok(());
        }
        server.write_all(&request).await?;
        let mut answer = read(&mut server).await?;
        let half = answer.len() / 2;
        match fault {
            None => client.write_all(&answer).await?,
            Some(Fault::Stall) => std::future::pending().await,
            Some(Fault::Truncate) => return client.write_all(&answer[..half]).await,
            Some(Fault::ResetAnswer) => {
                client.write_all(&answer[..half]).await?;
                connection.reset_on_close();
                return Ok(());
            }
            Some(Fault::Shorten) => {
                answer.truncate(half.max(HEADER));
                let length = u32::try_from(answer.len()).unwrap();
                answer[..4].copy_from_slice(&length.to_le_bytes());
                client.write_all(&answer).await?;
            }
            Some(_) => {
                connection.reset_on_close();
                return Ok(());
            }
        }
    }
}

async fn read(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut message = vec![0; HEADER];
    stream.read_exact(&mut message).await?;
    let length = u32::from_le_bytes(message[..4].try_into().unwrap()) as usize;
    message.resize(length.max(HEADER), 0);
    stream.read_exact(&mut message[HEADER..]).await?;
    Ok(message)
}

/// The command in a message, with the collection that it is about: the name of its document's first field, and the value if it is a text.
fn command(message: &[u8]) -> String {
    const TEXT: u8 = 2;
    let word = |bytes: &[u8]| {
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(0);
        String::from_utf8_lossy(&bytes[..end]).into_owned()
    };
    // Flags, the section's kind, the document's length, the field's type.
    let field = message.get(HEADER + 4 + 1 + 4..).unwrap_or_default();
    let name = word(field.get(1..).unwrap_or_default());
    if field.first() != Some(&TEXT) {
        return name;
    }
    // A zero, the text's length.
    let collection = word(field.get(1 + name.len() + 1 + 4..).unwrap_or_default());
    format!("{name} {collection}")
}

/// The answer to a request that is refused, if the fault is a refusal.
fn refuses(fault: Fault, request: &[u8]) -> Option<Vec<u8>> {
    let (code, name): (i32, &str) = match fault {
        Fault::Internal => (11600, "InterruptedAtShutdown"),
        Fault::Unavailable => (91, "ShutdownInProgress"),
        Fault::Forbidden => (13, "Unauthorized"),
        Fault::Expired => (391, "ReauthenticationRequired"),
        _ => return None,
    };
    let mut document = vec![0; 4];
    document.extend(b"\x01ok\0");
    document.extend(0_f64.to_le_bytes());
    document.extend(b"\x10code\0");
    document.extend(code.to_le_bytes());
    for (field, text) in [("errmsg", "A fault, injected by the test."), ("codeName", name)] {
        document.push(2);
        document.extend(field.as_bytes());
        document.push(0);
        document.extend(u32::try_from(text.len() + 1).unwrap().to_le_bytes());
        document.extend(text.as_bytes());
        document.push(0);
    }
    document.push(0);
    let length = u32::try_from(document.len()).unwrap();
    document[..4].copy_from_slice(&length.to_le_bytes());

    let length = u32::try_from(HEADER + 4 + 1 + document.len()).unwrap();
    let mut message = Vec::new();
    message.extend(length.to_le_bytes());
    message.extend(1_u32.to_le_bytes());
    message.extend(&request[4..8]);
    message.extend(MESSAGE.to_le_bytes());
    message.extend([0; 5]);
    message.extend(document);
    Some(message)
}
