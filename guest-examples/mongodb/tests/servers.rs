//! Logging in, finding the primary, and servers that are not what they should be.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail so")]

mod common;
#[path = "common/proxy.rs"]
mod proxy;

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;

use bson::{DateTime, RawDocument, RawDocumentBuf, rawdoc};
use common::{Database, Server, body, config, content};
use lockkeeper_sdk::{Error, Remote};
use mongodb::Mongo;
use mongodb::client::Client;
use mongodb::url::Target;
use pollster::block_on;

const PASSWORD: &str = "pä%ss:w/ord";

fn make_user(address: SocketAddr) {
    let client = Client::new(Target::parse(&format!("mongodb://{address}/"), None).unwrap());
    let user = rawdoc! { "createUser": "me@home", "pwd": PASSWORD, "roles": ["root"], "mechanisms": ["SCRAM-SHA-256"] };
    block_on(client.request("admin", &user, None)).unwrap();
}

fn open(url: &str, password: Option<&str>) -> Mongo {
    Mongo::open(config(url, password)).unwrap()
}

#[test]
fn a_user_logs_in_with_the_right_password_only() {
    let folder = tempfile::TempDir::new().unwrap();
    let storage = folder.path().join("storage");
    let Some(server) = Server::start(&storage, "") else { return };
    make_user(server.address);
    drop(server);
    let server = Server::start(&storage, "--auth").unwrap();
    let address = server.address;

    let remote = open(&format!("mongodb://me%40home@{address}/?authSource=admin"), Some(PASSWORD));
    block_on(remote.put("a", body("content"))).unwrap();
    let inline = open(&format!("mongodb://me%40home:p%C3%A4%25ss%3Aw%2Ford@{address}/"), None);
    assert_eq!(content(&inline, "a").unwrap().unwrap(), b"content");

    for (url, password) in [
        (format!("mongodb://me%40home@{address}/"), Some("guessed-secret")),
        (format!("mongodb://me%40home@{address}/?authSource=elsewhere"), Some(PASSWORD)),
        (format!("mongodb://nobody@{address}/"), Some(PASSWORD)),
        (format!("mongodb://{address}/"), None),
    ] {
        match content(&open(&url, password), "a") {
            Err(Error::Reauthenticate(failure)) => {
                let user = if password.is_none() { "no user" } else { "authSource" };
                assert!(failure.message.contains(user), "{failure:?}");
                assert!(!failure.message.contains(password.unwrap_or("-none-")), "{failure:?}");
            }
            other => panic!("{url}: {other:?}"),
        }
    }
}

/// A server that answers each request as it is told.
fn serve(answer: impl Fn(&RawDocument) -> RawDocumentBuf + Send + Sync + 'static) -> SocketAddr {
    serve_on(TcpListener::bind("127.0.0.1:0").unwrap(), answer)
}

fn serve_on(
    listener: TcpListener,
    answer: impl Fn(&RawDocument) -> RawDocumentBuf + Send + Sync + 'static,
) -> SocketAddr {
    let address = listener.local_addr().unwrap();
    let answer = Arc::new(answer);
    // It ends with the test program.
    thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let answer = answer.clone();
            thread::spawn(move || {
                while let Ok(request) = proxy::message(&mut client) {
                    let id = i32::from_le_bytes(request[4..8].try_into().unwrap());
                    let length = i32::from_le_bytes(request[21..25].try_into().unwrap()) as usize;
                    let command = RawDocument::from_bytes(&request[21..21 + length]).unwrap();
                    if client.write_all(&proxy::answer(id, &answer(command))).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

fn hello(primary: bool) -> RawDocumentBuf {
    rawdoc! { "ok": 1.0, "isWritablePrimary": primary, "maxWireVersion": 17, "localTime": DateTime::from_millis(0), "setName": "rs" }
}

fn empty() -> RawDocumentBuf {
    rawdoc! { "ok": 1.0, "cursor": { "firstBatch": [], "id": 0_i64, "ns": "" } }
}

fn is_hello(command: &RawDocument) -> bool {
    command.get("hello").unwrap().is_some()
}

/// A server that is the primary and finds nothing.
fn primary() -> SocketAddr {
    serve(|command| if is_hello(command) { hello(true) } else { empty() })
}

/// A server that is not the primary.
fn secondary(points_to: Option<SocketAddr>, others: Vec<SocketAddr>) -> SocketAddr {
    serve(move |_| {
        let mut answer = hello(false);
        let hosts: Vec<_> = others.iter().map(SocketAddr::to_string).collect();
        answer.append(
            bson::raw::cstr!("hosts"),
            hosts.iter().map(String::as_str).collect::<bson::RawArrayBuf>(),
        );
        if let Some(primary) = points_to {
            answer.append(bson::raw::cstr!("primary"), primary.to_string());
        }
        answer
    })
}

fn unused() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn find(url: &str) -> lockkeeper_sdk::Result<Option<Vec<u8>>> {
    content(&open(url, None), "a")
}

#[test]
fn the_primary_is_found_among_several_hosts_and_by_what_they_say() {
    let primary = primary();
    let pointing = secondary(Some(primary), vec![]);
    let listing = secondary(None, vec![unused(), primary]);
    let silent = secondary(None, vec![]);
    for hosts in [
        format!("{silent},{primary}"),
        format!("{},{primary}", unused()),
        format!("{pointing}"),
        format!("{listing}"),
        format!("{silent},{pointing},{}", unused()),
    ] {
        assert_eq!(find(&format!("mongodb://{hosts}/?replicaSet=rs")), Ok(None), "{hosts}");
    }
}

#[test]
fn the_primary_is_waited_for_while_the_members_elect_one() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    let asked = AtomicUsize::new(0);
    let late = serve(move |command| match is_hello(command) {
        true => hello(asked.fetch_add(1, Ordering::Relaxed) > 1),
        false => empty(),
    });
    assert_eq!(find(&format!("mongodb://{late}/")), Ok(None));
    let never = secondary(None, vec![]);
    let result = find(&format!("mongodb://{never}/?serverSelectionTimeoutMS=600"));
    assert!(
        matches!(&result, Err(Error::Retry(failure)) if failure.message.contains("primary")),
        "{result:?}"
    );
}

#[test]
fn a_deployment_that_is_not_the_configured_one_is_refused() {
    let (primary, secondary) = (primary(), secondary(None, vec![]));
    for (url, part) in [
        (format!("mongodb://{primary}/?replicaSet=other"), "\"rs\""),
        (format!("mongodb://{secondary}/?directConnection=true"), "directConnection"),
    ] {
        let result = find(&url);
        assert!(
            matches!(&result, Err(Error::Config(failure)) if failure.message.contains(part)),
            "{url}: {result:?}"
        );
    }
    let old = serve(
        |_| rawdoc! { "ok": 1.0, "ismaster": true, "maxWireVersion": 7, "localTime": DateTime::from_millis(0) },
    );
    let result = find(&format!("mongodb://{old}/"));
    assert!(matches!(&result, Err(Error::Config(failure)) if failure.message.contains("4.4")), "{result:?}");
}

#[test]
fn a_server_that_can_not_be_reached_is_a_passing_failure() {
    let result = find(&format!("mongodb://{}/", unused()));
    assert!(matches!(result, Err(Error::Retry(_))), "{result:?}");
}

#[test]
fn a_login_at_a_server_that_does_not_know_the_password_fails() {
    let impostor = serve(|command| {
        if is_hello(command) {
            return hello(true);
        }
        // It takes any proof, and claims to have one.
        let nonce = command.get_binary("payload").ok().and_then(|payload| {
            let text = String::from_utf8(payload.bytes.to_vec()).unwrap();
            text.split_once("r=").map(|(_, nonce)| nonce.to_owned())
        });
        let payload = match command.get("saslStart").unwrap() {
            Some(_) => format!("r={}x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", nonce.unwrap()),
            None => "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=".to_owned(),
        };
        let payload =
            bson::Binary { subtype: bson::spec::BinarySubtype::Generic, bytes: payload.into_bytes() };
        rawdoc! { "ok": 1.0, "conversationId": 1, "done": true, "payload": payload }
    });
    let result = content(&open(&format!("mongodb://me@{impostor}/"), Some("secret")), "a");
    match result {
        Err(Error::Reauthenticate(failure)) => assert!(failure.message.contains("prove"), "{failure:?}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_server_that_promises_more_than_it_sends_costs_no_memory() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for (length, mut client) in
            [47_999_999_i32, i32::MAX, -1].into_iter().cycle().zip(listener.incoming().flatten())
        {
            let Ok(request) = proxy::message(&mut client) else { continue };
            let mut header = length.to_le_bytes().to_vec();
            header.extend(1_i32.to_le_bytes());
            header.extend(&request[4..8]);
            header.extend(2013_i32.to_le_bytes());
            let _ = client.write_all(&header);
        }
    });
    for _ in 0..6 {
        let result = find(&format!("mongodb://{address}/"));
        assert!(matches!(result, Err(Error::Retry(_) | Error::Fatal(_))), "{result:?}");
    }
}

#[test]
fn documents_of_the_wrong_shape_are_errors() {
    let Some(database) = Database::tiny() else { return };
    let wrong = [
        rawdoc! { "_id": "a" },
        rawdoc! { "_id": "a", "blob": 1, "size": 1_i64, "write": "x" },
        rawdoc! { "_id": "a", "blob": "x", "size": -1_i64, "write": "x" },
        rawdoc! { "_id": "a", "blob": "x", "size": "big", "write": "x" },
    ];
    for document in wrong {
        database.clear();
        let store = database.at(database.address);
        block_on(store.insert(mongodb::store::Collection::Files, document)).unwrap();
        let remote = database.remote();
        assert!(matches!(content(&remote, "a"), Err(Error::Fatal(_))));
        assert!(block_on(remote.put("a", body("new"))).is_err());
    }
}
