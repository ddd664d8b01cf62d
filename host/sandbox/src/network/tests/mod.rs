//! The host's requests, sent to real servers on this machine.

mod credentials;
mod failures;
mod server;
mod sources;

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::PathBuf;

use http::Response;
use http_body_util::{Empty, Full};

use self::server::{Answer, Server};
use super::*;
use crate::trouble::Trouble;

/// An environment as a test wants it.
#[derive(Clone, Default)]
struct Set {
    variables: HashMap<String, String>,
    home: Option<PathBuf>,
    authorities: Vec<Vec<u8>>,
}

impl Set {
    fn with(variables: &[(&str, &str)]) -> Self {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Self { variables: variables.collect(), ..Self::default() }
    }
}

impl Environment for Set {
    fn variable(&self, name: &str) -> Option<OsString> {
        self.variables.get(name).map(OsString::from)
    }

    fn home(&self) -> Option<PathBuf> {
        self.home.clone()
    }

    fn authorities(&self) -> Result<Vec<Vec<u8>>, String> {
        Ok(self.authorities.clone())
    }
}

/// One command's requests to some origins, and what the host noted.
struct World {
    requests: Requests,
    denials: Denials,
}

impl World {
    /// With grants for all origins.
    fn new(origins: &[&str], bindings: &[(&str, Scheme)], environment: Set) -> Self {
        let http = origins.iter().map(|origin| origin.parse().unwrap()).collect();
        let grants = Grants { http, ..Grants::default() };
        let bindings =
            bindings.iter().map(|(origin, scheme)| (origin.parse().unwrap(), scheme.clone())).collect();
        let network = Network::new(&grants, bindings, Arc::new(environment));
        let denials = Denials::default();
        Self { requests: Requests::new(Arc::new(grants), denials.clone(), network, Arc::new(())), denials }
    }

    fn plain(origins: &[&str]) -> Self {
        Self::new(origins, &[], Set::default())
    }

    /// Sends a request and returns the answer, not yet read.
    async fn send(
        &mut self,
        request: http::request::Builder,
        body: impl Into<bytes::Bytes>,
        options: RequestOptions,
    ) -> Result<Response<WasiBody>, Error> {
        let body = body.into();
        let body = if body.is_empty() {
            Empty::new().map_err(|never: std::convert::Infallible| match never {}).boxed_unsync()
        } else {
            Full::new(body).map_err(|never| match never {}).boxed_unsync()
        };
        let sent = self.requests.send_request(
            request.body(body).unwrap(),
            Some(options),
            Box::new(std::future::ready(Ok(()))),
        );
        Box::into_pin(sent).await.map(|(response, _)| response)
    }

    async fn get(&mut self, uri: &str) -> Result<Response<WasiBody>, Error> {
        self.send(http::Request::get(uri), "", RequestOptions::default()).await
    }

    fn trouble(&self) -> Trouble {
        let mut troubles = self.denials.take_troubles();
        assert_eq!(troubles.len(), 1, "{troubles:?}");
        troubles.remove(0)
    }
}

async fn text(answer: Response<WasiBody>) -> Result<String, Error> {
    Ok(String::from_utf8_lossy(&answer.into_body().collect().await?.to_bytes()).into_owned())
}

#[tokio::test]
async fn a_request_goes_to_a_granted_origin_and_to_no_other() {
    let server = Server::start(|_| Answer::ok("")).await;
    let mut world = World::plain(&[&server.origin]);
    let port = server.port;
    for uri in [format!("http://localhost:{port}/secret"), "https://127.0.0.1/secret".to_owned()] {
        assert!(matches!(world.get(&uri).await, Err(Error::HttpRequestDenied)), "{uri}");
    }
    let denied = world.denials.take();
    assert_eq!(denied[0], Denial::Http { origin: format!("http://localhost:{port}") });
    assert_eq!(denied[1], Denial::Http { origin: "https://127.0.0.1".to_owned() });
    assert_eq!(world.get(&format!("{}/wanted", server.origin)).await.unwrap().status(), 200);
    let seen = server.seen();
    assert!(matches!(seen.as_slice(), [only] if only.starts_with("GET /wanted ")), "{seen:?}");
    assert!(world.denials.take().is_empty());
}

#[tokio::test]
async fn a_redirect_is_handed_to_the_guest_and_not_followed() {
    let other = Server::start(|_| Answer::ok("")).await;
    let there = format!("{}/there", other.origin);
    let server = Server::start(move |_| {
        Answer::Text(format!(
            "HTTP/1.1 307 Temporary Redirect\r\nlocation: {there}\r\ncontent-length: 0\r\n\r\n"
        ))
    })
    .await;
    let mut world = World::plain(&[&server.origin, &other.origin]);
    let answer = world.get(&server.origin).await.unwrap();
    assert_eq!((answer.status().as_u16(), other.seen().len()), (307, 0));
}

#[tokio::test]
async fn one_connection_serves_all_calls_of_a_command() {
    let server = Server::start(|_| Answer::ok("done")).await;
    let mut world = World::plain(&[&server.origin]);
    for _ in 0..5 {
        let grants = world.requests.grants.clone();
        let network = world.requests.network.clone();
        // Each call has hooks of its own.
        world.requests = Requests::new(grants, Denials::default(), network, Arc::new(()));
        assert_eq!(text(world.get(&server.origin).await.unwrap()).await.unwrap(), "done");
        server.settled().await;
    }
    assert_eq!((server.connections(), server.seen().len()), (1, 5));
}

#[tokio::test]
async fn many_requests_are_in_flight_at_once() {
    // Nobody is answered before all have asked.
    let all = Arc::new(tokio::sync::Barrier::new(64));
    let server = Server::start(move |_| Answer::Together(all.clone())).await;
    let mut world = World::plain(&[&server.origin]);
    let mut flying = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let body = Empty::new().map_err(|never: std::convert::Infallible| match never {}).boxed_unsync();
        let request = http::Request::get(&server.origin).body(body).unwrap();
        let sent = world.requests.send_request(request, None, Box::new(std::future::ready(Ok(()))));
        flying.spawn(Box::into_pin(sent));
    }
    while let Some(answer) = flying.join_next().await {
        assert_eq!(answer.unwrap().unwrap().0.status(), 200);
    }
}
