//! Many who wait for one lock: each that is let in costs its store the same, however many wait.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use lockkeeper_locks::{Mode, Wish};
use lockkeeper_remotes::s3::MemoryS3;
use lockkeeper_remotes::{Remote, tcp};
use lockkeeper_test_servers::Server;

use crate::cost::counting;
use crate::support::{LONG, Place, Store, key, me, s3_options, until};

/// How many requests of a kind an etcd has answered.
fn answered(server: &Server, method: &str) -> usize {
    let mut connection = TcpStream::connect(server.address()).unwrap();
    write!(connection, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    connection.read_to_string(&mut text).unwrap();
    let lines = text.lines().filter(|line| line.starts_with("grpc_server_handled_total{"));
    let of_method = lines.filter(|line| line.contains(&format!("grpc_method=\"{method}\"")));
    of_method.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap() as usize).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_who_wait_for_one_lock_in_etcd_wake_one_at_a_time() {
    // One of its own: others would be counted with it.
    let Some(server) = lockkeeper_test_servers::etcd(lockkeeper_test_servers::LOOPBACK) else { return };
    let store = Store::new(Place::at_etcd(&server));
    wakes_one_at_a_time(&store, 200, || answered(&server, "Txn"), 4, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_who_wait_for_one_lock_in_postgres_wake_one_at_a_time() {
    // One of its own: each who waits takes a connection.
    let Some(server) = lockkeeper_test_servers::postgres(lockkeeper_test_servers::LOOPBACK) else { return };
    let (at, turns) = counting(server.address());
    let store = Store::new(Place::at("postgres", at));
    wakes_one_at_a_time(&store, 200, || turns.load(Ordering::SeqCst), 4, 4).await;
}

/// Nobody is told of anything there, so all look from time to time. Apart from that, it costs the same to let one in, however many wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_who_wait_for_one_lock_in_a_bucket_only_look_for_the_one_before() {
    for waiting in [20, 200] {
        let spent = let_some_in(waiting, 16).await;
        assert!(spent <= 16 * 16, "{spent} requests to let 16 of {waiting} in");
    }
}

/// Lets some of those who wait in, one after the other, and counts all requests but each one's own looks.
async fn let_some_in(waiting: usize, let_in: usize) -> usize {
    let remote = MemoryS3::new(s3_options()).unwrap();
    let server = tcp::Server::start(remote.clone()).await.unwrap();
    let store = Store::new(Place::at_bucket(&server.origin()));
    let held = store.lock("sync", Mode::Exclusive).await;
    let inside = Arc::new(AtomicUsize::new(0));
    let mut crowd = Vec::new();
    let logged = |operation: &str| -> BTreeSet<String> {
        let entries = remote.log().0.into_iter();
        entries.filter(|it| it.operation == operation && it.key.contains("/line/")).map(|it| it.key).collect()
    };
    for number in 1..=waiting {
        let (store, inside) = (store.clone(), inside.clone());
        crowd.push(tokio::spawn(async move {
            let lease = store.lock("sync", Mode::Exclusive).await;
            if inside.fetch_add(1, Ordering::SeqCst) >= let_in {
                std::future::pending::<()>().await;
            }
            lease.release().await.unwrap();
        }));
        until("it does not stand in line", async || logged("PutObject").len() == number).await;
    }
    // All but the first look for the one before.
    until("they do not look", async || logged("HeadObject").len() == waiting - 1).await;
    remote.clear_log();
    let begun = Instant::now();
    held.release().await.unwrap();
    until("they do not get in", async || inside.load(Ordering::SeqCst) > let_in).await;
    let (took, log) = (begun.elapsed(), remote.log());
    for one in crowd {
        one.abort();
    }
    let (looks, others): (Vec<_>, Vec<_>) = log.0.into_iter().partition(|it| it.operation == "HeadObject");
    // Each looks about once a second, the few in front more often.
    let slow = waiting as f64 * (took.as_secs_f64() / 0.5 + 4.0);
    assert!((looks.len() as f64) < slow, "{} looks in {took:?}", looks.len());
    // Every ten seconds each finds out whom it waits for: it lists, and reads the first place in line.
    let told = others.iter().filter(|it| it.operation == "GetObject" && it.key.contains("/line/")).count();
    others.len() - 2 * told
}

/// Lets a crowd wait, and counts what it costs to let one after the other in: `each`, and `told` each time that one of them finds out
/// whom it waits for, a second after it came and then every ten.
async fn wakes_one_at_a_time(
    store: &Store,
    count: usize,
    requests: impl Fn() -> usize,
    each: usize,
    told: usize,
) {
    let held = store.lock("sync", Mode::Exclusive).await;
    let (inside, drained) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let crowd: Vec<_> = (0..count)
        .map(|_| {
            let (store, inside, drained) = (store.clone(), inside.clone(), drained.clone());
            tokio::spawn(async move {
                let wait = LONG * 5;
                let lease = store
                    .locks
                    .acquire(Wish::new(&key("sync"), Mode::Exclusive, &me()).within(wait))
                    .await
                    .unwrap();
                assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two are inside");
                inside.fetch_sub(1, Ordering::SeqCst);
                lease.release().await.unwrap();
                drained.fetch_add(1, Ordering::SeqCst);
            })
        })
        .collect();
    store.until_waiting(count).await;
    let (before, begun) = (requests(), Instant::now());
    held.release().await.unwrap();
    for one in crowd {
        one.await.unwrap();
    }
    assert_eq!(drained.load(Ordering::SeqCst), count);
    let spent = requests() - before;
    let messages = 1 + begun.elapsed().as_secs() as usize / 10;
    // A herd would cost about half the square of its size.
    assert!(
        spent <= count * (each + told * messages),
        "{spent} requests to let {count} in, one after the other"
    );
}
