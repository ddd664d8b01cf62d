//! What locks cost their stores: requests are counted where they arrive.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use lockkeeper_locks::{BucketLocks, LockStore, Mode, Wish};
use lockkeeper_remotes::s3::MemoryS3;
use lockkeeper_remotes::{Remote, tcp};
use lockkeeper_test_servers::{shared_etcd, shared_postgres};

use crate::support::{ENDLESS, LONG, Place, Store, bucket_options, key, me, s3_options};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_free_lock_in_a_bucket_costs_the_same_however_many_others_there_are() {
    let remote = MemoryS3::new(s3_options()).unwrap();
    let server = tcp::Server::start(remote.clone()).await.unwrap();
    let locks = BucketLocks::new(&bucket_options(&server.origin(), "cost", ENDLESS)).unwrap();
    let cost = async |name: &str, mode| {
        let lease = locks.acquire(Wish::new(&key(name), mode, &me())).await.unwrap();
        remote.clear_log();
        lease.release().await.unwrap();
        let lease = locks.acquire(Wish::new(&key(name), mode, &me())).await.unwrap();
        let taken = remote.log().0.len();
        lease.release().await.unwrap();
        (taken, remote.log().0.len())
    };
    let alone = cost("model/a/b", Mode::Exclusive).await;
    let shared = cost("repository", Mode::Shared).await;
    for number in 0..50 {
        let lease = locks
            .acquire(Wish::new(&key(&format!("model/a/{number}")), Mode::Exclusive, &me()).within(LONG))
            .await;
        lease.unwrap().release().await.unwrap();
    }
    assert_eq!(cost("model/a/b", Mode::Exclusive).await, alone);
    assert_eq!(cost("repository", Mode::Shared).await, shared);
    // Given back, taken, given back: reading, writing and listing to take it alone, one write to give it back.
    assert_eq!(alone, (4, 5));
    // Writing and reading to share it, a write and a deletion to give it back.
    assert_eq!(shared, (4, 6));
}

/// Passes on what a client and a server say, and counts how often it is the server's turn.
pub fn counting(to: SocketAddr) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let (at, turns) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let counted = turns.clone();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let server = TcpStream::connect(to).unwrap();
            let asked = Arc::new(AtomicBool::new(false));
            for (mut from, mut into, asks) in
                [(client.try_clone().unwrap(), server.try_clone().unwrap(), true), (server, client, false)]
            {
                let (asked, counted) = (asked.clone(), counted.clone());
                _ = into.set_nodelay(true);
                std::thread::spawn(move || {
                    let mut bytes = [0; 16 * 1024];
                    while let Ok(length @ 1..) = from.read(&mut bytes) {
                        if asked.swap(asks, Ordering::SeqCst) != asks && asks {
                            counted.fetch_add(1, Ordering::SeqCst);
                        }
                        if into.write_all(&bytes[..length]).is_err() {
                            break;
                        }
                    }
                    _ = into.shutdown(std::net::Shutdown::Both);
                });
            }
        }
    });
    (at, turns)
}

/// Prints what it costs to take and give back a free lock, beside the plainest write that the store has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement: `make bench-locks`"]
async fn measured() {
    const TIMES: u32 = 100;
    println!("store     mode       round trips  ms      plainest writes");
    let remote = MemoryS3::new(s3_options()).unwrap();
    let s3 = tcp::Server::start(remote).await.unwrap();
    // The plain write isn't signed.
    let unsigned = MemoryS3::new(lockkeeper_remotes::s3::Options::default()).unwrap();
    let unsigned = tcp::Server::start(unsigned).await.unwrap();
    let (etcd, postgres) = (shared_etcd().unwrap(), shared_postgres().unwrap());
    for (kind, to) in [("etcd", etcd.address()), ("postgres", postgres.address()), ("bucket", s3.address())] {
        let plain = if kind == "bucket" { unsigned.address() } else { to };
        let plain = plainest_write(kind, plain, TIMES).await;
        let (at, turns) = counting(to);
        let store = Store::new(Place::at(kind, at));
        for mode in [Mode::Exclusive, Mode::Shared] {
            // What is done once for each process, or once for each lock, isn't counted.
            store.lock("model/a/b", mode).await.release().await.unwrap();
            let (before, begun) = (turns.load(Ordering::SeqCst), Instant::now());
            for _ in 0..TIMES {
                store.lock("model/a/b", mode).await.release().await.unwrap();
            }
            let each = begun.elapsed() / TIMES;
            let trips = (turns.load(Ordering::SeqCst) - before) as f64 / f64::from(TIMES);
            let (mode, ratio) = (mode.to_string(), each.as_secs_f64() / plain.as_secs_f64());
            println!("{kind:<9} {mode:<10} {trips:<12.1} {:<7.2} {ratio:.1}", each.as_secs_f64() * 1000.0);
        }
    }
}

/// How long the plainest write of a store takes.
async fn plainest_write(kind: &str, at: SocketAddr, times: u32) -> Duration {
    match kind {
        "etcd" => {
            let mut client = etcd_client::Client::connect([format!("http://{at}")], None).await.unwrap();
            let begun = Instant::now();
            for _ in 0..times {
                client.put("plain", "value", None).await.unwrap();
            }
            begun.elapsed() / times
        }
        "postgres" => {
            let url = format!("postgres://postgres@{at}/postgres?sslmode=disable");
            let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
            tokio::spawn(connection);
            client.batch_execute("CREATE TABLE IF NOT EXISTS plain (value text)").await.unwrap();
            let begun = Instant::now();
            for _ in 0..times {
                client.execute_typed("INSERT INTO plain VALUES ('value')", &[]).await.unwrap();
            }
            begun.elapsed() / times
        }
        _ => {
            let begun = Instant::now();
            let mut connection = TcpStream::connect(at).unwrap();
            connection.set_nodelay(true).unwrap();
            for _ in 0..times {
                write!(
                    connection,
                    "PUT /bucket/plain HTTP/1.1\r\nHost: {at}\r\nContent-Length: 5\r\n\r\nvalue"
                )
                .unwrap();
                let mut answer = [0; 4096];
                let length = connection.read(&mut answer).unwrap();
                assert!(answer[..length].starts_with(b"HTTP/1.1 200"));
            }
            begun.elapsed() / times
        }
    }
}
