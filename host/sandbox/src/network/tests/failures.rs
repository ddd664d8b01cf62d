//! Failures: a guest learns what may be tried again, and never waits for ever.

use std::time::Duration;

use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;

const SOON: Duration = Duration::from_millis(50);

fn impatient() -> RequestOptions {
    RequestOptions {
        connect_timeout: Some(SOON),
        first_byte_timeout: Some(SOON),
        between_bytes_timeout: Some(SOON),
    }
}

async fn code(world: &mut World, uri: &str) -> String {
    let sent = world.send(http::Request::get(uri), "", impatient()).await;
    let read = match sent {
        Ok(answer) => text(answer).await,
        Err(error) => Err(error),
    };
    let text = format!("{:?}", read.unwrap_err());
    text.split([' ', '(', '{']).next().unwrap().to_owned()
}

#[tokio::test]
async fn each_failure_has_the_code_that_says_what_it_is() {
    for (answer, expected) in [
        (Answer::Last(String::new()), "ConnectionTerminated"),
        (Answer::Last("HTTP/1.1 200 OK\r\ncontent-le".to_owned()), "ConnectionTerminated"),
        (
            Answer::Last("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf".to_owned()),
            "HttpResponseIncomplete",
        ),
        (
            Answer::Last("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nhalf".to_owned()),
            "HttpResponseIncomplete",
        ),
        (Answer::Last("SSH-2.0-OpenSSH\r\n".to_owned()), "HttpProtocolError"),
        (Answer::Stall(String::new()), "ConnectionReadTimeout"),
        (
            Answer::Stall("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf".to_owned()),
            "ConnectionReadTimeout",
        ),
    ] {
        let answer = std::sync::Mutex::new(Some(answer));
        let server =
            Server::start(move |_| answer.lock().unwrap().take().unwrap_or(Answer::Last(String::new())))
                .await;
        let mut world = World::plain(&[&server.origin]);
        assert_eq!(code(&mut world, &server.origin).await, expected);
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_from_a_name_that_is_not() {
    let nobody = "http://127.0.0.1:1";
    let nowhere = "http://no-such-host.invalid";
    let mut world = World::plain(&[nobody, nowhere]);
    assert_eq!(code(&mut world, nobody).await, "ConnectionRefused");
    let patient = RequestOptions::default();
    let lost = world.send(http::Request::get(nowhere), "", patient).await;
    assert!(matches!(lost, Err(Error::DnsError { .. })), "{:?}", lost.err());
    assert!(world.denials.take().is_empty());
}

#[tokio::test]
async fn a_server_that_does_not_take_connections_is_not_waited_for() {
    // A queue of one, which the first connection fills.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(0).unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let _queued = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let mut world = World::plain(&[&origin]);
    assert_eq!(code(&mut world, &origin).await, "ConnectionTimeout");
}

#[tokio::test]
async fn a_body_that_is_not_taken_is_not_waited_for_but_a_guest_that_takes_its_time_is() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    // Accepts and reads nothing: more than the kernel's buffers hold can't be sent.
    let stuck = tokio::spawn(async move { (listener.accept().await, std::future::pending::<()>().await) });
    let mut world = World::plain(&[&origin]);
    let huge = http::Request::put(&origin).body(body::slow(1024, 64 * 1024, Duration::ZERO)).unwrap();
    let sent = world.requests.send_request(huge, Some(impatient()), Box::new(std::future::ready(Ok(()))));
    let failure = Box::into_pin(sent).await.err();
    assert!(matches!(failure, Some(Error::ConnectionWriteTimeout)), "{failure:?}");
    stuck.abort();

    let server = Server::start(|_| Answer::ok("")).await;
    let mut world = World::plain(&[&server.origin]);
    let pieces = body::slow(4, 1, SOON * 2);
    let request = http::Request::put(&server.origin).header("content-length", "4").body(pieces).unwrap();
    let sent = world.requests.send_request(request, Some(impatient()), Box::new(std::future::ready(Ok(()))));
    assert_eq!(Box::into_pin(sent).await.unwrap().0.status(), 200);
}

/// A guest's body that comes piece by piece.
mod body {
    use std::pin::Pin;
    use std::task::{Context, Poll, ready};
    use std::time::Duration;

    use bytes::Bytes;
    use http_body::{Body, Frame};
    use http_body_util::BodyExt;
    use tokio::time::{Sleep, sleep};
    use wasmtime_wasi_http::{Error, WasiBody};

    struct Slow {
        pieces: usize,
        size: usize,
        pause: Duration,
        next: Pin<Box<Sleep>>,
    }

    impl Body for Slow {
        type Data = Bytes;
        type Error = Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
            ready!(self.next.as_mut().poll(context));
            if self.pieces == 0 {
                return Poll::Ready(None);
            }
            self.pieces -= 1;
            self.next = Box::pin(sleep(self.pause));
            Poll::Ready(Some(Ok(Frame::data(Bytes::from(vec![b'x'; self.size])))))
        }
    }

    pub(super) fn slow(pieces: usize, size: usize, pause: Duration) -> WasiBody {
        Slow { pieces, size, pause, next: Box::pin(sleep(pause)) }.boxed_unsync()
    }
}

#[tokio::test]
async fn a_connection_that_the_server_closed_meanwhile_fails_no_request() {
    // Every connection serves one request, and says nothing of its end.
    let server =
        Server::start(|_| Answer::Last("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_owned())).await;
    let mut world = World::plain(&[&server.origin]);
    for _ in 0..20 {
        let answer = world.get(&server.origin).await.unwrap();
        assert_eq!(text(answer).await.unwrap(), "");
    }
    assert_eq!(server.connections(), 20);
}

#[tokio::test]
async fn what_is_no_question_is_never_sent_twice() {
    let server = Server::start(|_| Answer::Last(String::new())).await;
    let mut world = World::plain(&[&server.origin]);
    for method in ["DELETE", "PUT", "POST"] {
        let before = server.seen().len();
        let request = http::Request::builder().method(method).uri(&server.origin);
        let sent = world.send(request, "", RequestOptions::default()).await;
        assert!(matches!(sent, Err(Error::ConnectionTerminated)), "{method}");
        assert_eq!(server.seen().len(), before + 1, "{method}");
    }
}

/// An authority, and a server's certificate for 127.0.0.1 that it issued.
fn authority() -> (Vec<u8>, TlsAcceptor) {
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().unwrap();
    let root = params.self_signed(&key).unwrap().der().to_vec();
    let issuer = rcgen::Issuer::new(params, key);
    let server_key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
    let certificate = params.signed_by(&server_key, &issuer).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(server_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from(certificate.der().to_vec())], key)
        .unwrap();
    (root, TlsAcceptor::from(Arc::new(config)))
}

#[tokio::test]
async fn a_certificate_of_the_machines_own_authority_is_trusted_and_any_other_is_not() {
    let (root, acceptor) = authority();
    let server = Server::start_encrypted(|_| Answer::ok("secure"), acceptor).await;
    let set = Set { authorities: vec![root], ..Set::default() };
    let mut world = World::new(&[&server.origin], &[], set);
    assert_eq!(text(world.get(&server.origin).await.unwrap()).await.unwrap(), "secure");
    for authorities in [Vec::new(), vec![authority().0]] {
        let mut world = World::new(&[&server.origin], &[], Set { authorities, ..Set::default() });
        assert!(matches!(world.get(&server.origin).await, Err(Error::TlsCertificateError)));
        let trouble = world.trouble();
        assert!(
            matches!(&trouble, Trouble::Certificate { origin, .. } if *origin == server.origin),
            "{trouble}"
        );
        assert!(trouble.remedy().contains("SSL_CERT_FILE"));
    }
}

#[tokio::test]
async fn what_speaks_no_tls_is_told_from_a_bad_certificate() {
    let server = Server::start(|_| Answer::ok("")).await;
    let origin = format!("https://127.0.0.1:{}", server.port);
    let mut world = World::plain(&[&origin]);
    // The greeting is no request that this server can read, so it waits for more of it.
    assert_eq!(code(&mut world, &origin).await, "ConnectionTimeout");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut connection, b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .await
            .unwrap();
    });
    let mut world = World::plain(&[&origin]);
    let sent = world.get(&origin).await;
    assert!(matches!(sent, Err(Error::TlsProtocolError)), "{:?}", sent.err());
}

/// `wasi:tls` takes the same authorities.
#[tokio::test]
async fn a_guests_own_connection_is_encrypted_only_to_who_is_trusted() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use wasmtime_wasi_tls::TlsProvider;

    let (root, acceptor) = authority();
    let server =
        Server::start_encrypted(|_| Answer::Last("HTTP/1.1 200 OK\r\n\r\nsecure".to_owned()), acceptor).await;
    for (authorities, name, trusted) in [
        (vec![root.clone()], "localhost", true),
        (vec![root], "other.example", false),
        (vec![authority().0], "localhost", false),
    ] {
        let network =
            Network::new(&Grants::default(), Vec::new(), Arc::new(Set { authorities, ..Set::default() }));
        let transport = tokio::net::TcpStream::connect(("127.0.0.1", server.port)).await.unwrap();
        let connected = Tls(network.trust()).connect(name.to_owned(), Box::new(transport)).await;
        assert_eq!(connected.is_ok(), trusted, "{name}");
        if let Ok(mut connection) = connected {
            connection.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
            let mut answer = String::new();
            connection.read_to_string(&mut answer).await.unwrap();
            assert!(answer.ends_with("secure"), "{answer}");
        }
    }
}
