//! What a lock costs when many want it at once, beside the plainest client that each store has.

use std::fs::{File, OpenOptions, TryLockError};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lockkeeper_locks::Mode;
use lockkeeper_remotes::s3::{self, MemoryS3};
use lockkeeper_remotes::{Remote, tcp};
use lockkeeper_test_servers::{shared_etcd, shared_postgres};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{ENDLESS, Place, Store};

const CONTENDERS: usize = 32;
const ROUNDS: usize = 3;

/// For how long each of them has it, and how often in a round. With no time, whoever has it takes it again before others
/// look, where nobody queues.
const HOLDS: [(Duration, usize); 3] =
    [(Duration::ZERO, 3), (Duration::from_millis(50), 3), (Duration::from_secs(1), 1)];

/// Somebody who takes a lock, has it for a while, and gives it back.
enum Contender {
    Ours(Store),
    /// `lock` and `unlock` of etcd's own client, with a lease that it is granted each time.
    Etcd(Box<etcd_client::Client>),
    /// `pg_advisory_lock` and `pg_advisory_unlock` on a connection that stays open.
    Kept(tokio_postgres::Client),
    /// The same on a connection that is opened for it, as every command has to.
    Opened(String),
    /// A `flock` that waits in the kernel.
    Flock(PathBuf),
    /// A `flock` that is tried again and again.
    Tried(PathBuf),
    /// A small object, made if there is none, and deleted.
    Object(TcpStream),
}

impl Contender {
    async fn take_and_give_back(&mut self, held: Duration) {
        match self {
            Self::Ours(store) => {
                let lease = store.lock("sync", Mode::Exclusive).await;
                hold(held).await;
                lease.release().await.unwrap();
            }
            Self::Etcd(client) => {
                let lease = client.lease_grant(60, None).await.unwrap().id();
                let options = etcd_client::LockOptions::new().with_lease(lease);
                let key = client.lock("plain", Some(options)).await.unwrap().key().to_vec();
                hold(held).await;
                client.unlock(key).await.unwrap();
                client.lease_revoke(lease).await.unwrap();
            }
            Self::Kept(client) => lock_and_unlock(client, held).await,
            Self::Opened(url) => lock_and_unlock(&connect(url).await, held).await,
            Self::Flock(path) => {
                let file = open(path);
                let file =
                    tokio::task::spawn_blocking(move || file.lock().map(|()| file).unwrap()).await.unwrap();
                hold(held).await;
                file.unlock().unwrap();
            }
            Self::Tried(path) => {
                let (file, mut pause) = (open(path), Pause::up_to(50));
                while let Err(error) = file.try_lock() {
                    assert!(matches!(error, TryLockError::WouldBlock), "{error}");
                    pause.wait().await;
                }
                hold(held).await;
                file.unlock().unwrap();
            }
            Self::Object(connection) => {
                let mut pause = Pause::up_to(250);
                while ask(connection, "PUT", "If-None-Match: *\r\n", "held").await == 412 {
                    pause.wait().await;
                }
                hold(held).await;
                assert_eq!(ask(connection, "DELETE", "", "").await, 204);
            }
        }
    }
}

async fn hold(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}

/// The same pauses as the stores': they grow up to the longest.
struct Pause {
    next: f64,
    longest: f64,
}

impl Pause {
    fn up_to(milliseconds: u32) -> Self {
        Self { next: 1.0, longest: milliseconds.into() }
    }

    async fn wait(&mut self) {
        let milliseconds = self.next * (0.5 + fastrand::f64() / 2.0);
        self.next = (self.next * 2.0).min(self.longest);
        tokio::time::sleep(Duration::from_secs_f64(milliseconds / 1000.0)).await;
    }
}

fn open(path: &PathBuf) -> File {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).unwrap()
}

async fn connect(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn lock_and_unlock(client: &tokio_postgres::Client, held: Duration) {
    client.query_typed("SELECT pg_advisory_lock(1)::text", &[]).await.unwrap();
    hold(held).await;
    client.query_typed("SELECT pg_advisory_unlock(1)", &[]).await.unwrap();
}

/// Makes a request of an S3 that takes unsigned ones, and returns the status of the answer.
async fn ask(connection: &mut TcpStream, method: &str, header: &str, body: &str) -> u16 {
    let request = format!(
        "{method} /bucket/plain HTTP/1.1\r\nHost: bucket\r\n{header}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    loop {
        connection.read_buf(&mut answer).await.unwrap();
        let text = String::from_utf8_lossy(&answer).to_lowercase();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let is_all = match length {
            Some(length) => body.len() >= length.parse().unwrap(),
            None => !head.contains("chunked") || body.ends_with("0\r\n\r\n"),
        };
        if is_all {
            return head[9..12].parse().unwrap();
        }
    }
}

/// How long each turn takes when all contend, and how many requests it costs if those are counted.
struct Round {
    milliseconds: f64,
    requests: f64,
}

async fn round(contenders: Vec<Contender>, (held, times): (Duration, usize), remote: &MemoryS3) -> Round {
    remote.clear_log();
    let begun = Instant::now();
    let all = contenders.into_iter().map(|mut one| {
        tokio::spawn(async move {
            for _ in 0..times {
                one.take_and_give_back(held).await;
            }
        })
    });
    for one in all.collect::<Vec<_>>() {
        one.await.unwrap();
    }
    let turns = (CONTENDERS * times) as f64;
    Round {
        milliseconds: begun.elapsed().as_secs_f64() * 1000.0 / turns,
        requests: remote.log().0.len() as f64 / turns,
    }
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

fn spread(numbers: &[f64]) -> String {
    let (least, most) = numbers.iter().fold((f64::MAX, 0.0_f64), |(a, b), it| (a.min(*it), b.max(*it)));
    format!("{:.2} ({least:.2}-{most:.2})", median(numbers.to_vec()))
}

struct Servers {
    etcd: SocketAddr,
    postgres: SocketAddr,
    signed: (MemoryS3, tcp::Server),
    unsigned: (MemoryS3, tcp::Server),
    folder: tempfile::TempDir,
}

impl Servers {
    async fn start() -> Self {
        let serve = async |options| {
            let remote = MemoryS3::new(options).unwrap();
            (remote.clone(), tcp::Server::start(remote).await.unwrap())
        };
        Self {
            etcd: shared_etcd().unwrap().address(),
            postgres: shared_postgres().unwrap().address(),
            signed: serve(crate::support::s3_options()).await,
            unsigned: serve(s3::Options::default()).await,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// Ours, each with a connection of its own that is open already, as far as the store keeps one.
    async fn ours(&self, kind: &str) -> Vec<Contender> {
        let store = Store::new(match kind {
            "file" => Place::file().unwrap(),
            "etcd" => Place::at(kind, self.etcd),
            "postgres" => Place::at(kind, self.postgres),
            _ => Place::at(kind, self.signed.1.address()),
        });
        let mut ours = Vec::new();
        for _ in 0..CONTENDERS {
            let store = store.with_lease(ENDLESS);
            store.lock("other", Mode::Exclusive).await.release().await.unwrap();
            ours.push(Contender::Ours(store));
        }
        ours
    }

    async fn plain(&self, plain: &str) -> Vec<Contender> {
        let url = format!("postgres://postgres@{}/postgres?sslmode=disable", self.postgres);
        let path = self.folder.path().join("plain");
        let mut all = Vec::new();
        for _ in 0..CONTENDERS {
            all.push(match plain {
                "lock, unlock" => {
                    let client = etcd_client::Client::connect([format!("http://{}", self.etcd)], None).await;
                    Contender::Etcd(Box::new(client.unwrap()))
                }
                "advisory lock, connected before" => Contender::Kept(connect(&url).await),
                "advisory lock, connects for it" => Contender::Opened(url.clone()),
                "flock that waits" => Contender::Flock(path.clone()),
                "flock that is tried" => Contender::Tried(path.clone()),
                _ => {
                    let connection = TcpStream::connect(self.unsigned.1.address()).await.unwrap();
                    connection.set_nodelay(true).unwrap();
                    Contender::Object(connection)
                }
            });
        }
        all
    }
}

/// Prints what one turn costs when 32 want a lock, beside the plainest client, in rounds by turns.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement: `make bench-locks`"]
async fn measured() {
    let servers = Arc::new(Servers::start().await);
    println!(
        "held   store     beside                           ms, ours              ms, plain             times"
    );
    for held in HOLDS {
        for (kind, plain) in [
            ("file", "flock that waits"),
            ("file", "flock that is tried"),
            ("etcd", "lock, unlock"),
            ("postgres", "advisory lock, connects for it"),
            ("postgres", "advisory lock, connected before"),
            ("bucket", "object, made and deleted"),
        ] {
            // What the others come to is clear by then.
            if held.0 == Duration::from_secs(1) && kind != "bucket" {
                continue;
            }
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            for _ in 0..ROUNDS {
                ours.push(round(servers.ours(kind).await, held, &servers.signed.0).await);
                theirs.push(round(servers.plain(plain).await, held, &servers.unsigned.0).await);
            }
            let times = |rounds: &[Round]| rounds.iter().map(|it| it.milliseconds).collect::<Vec<_>>();
            let pairs = ours.iter().zip(&theirs);
            let ratios: Vec<f64> =
                pairs.map(|(ours, theirs)| ours.milliseconds / theirs.milliseconds).collect();
            let (a, b, held) = (spread(&times(&ours)), spread(&times(&theirs)), held.0.as_millis());
            println!("{held:<4}ms  {kind:<9} {plain:<32} {a:<21} {b:<21} {}", spread(&ratios));
            if kind == "bucket" {
                let requests = |rounds: &[Round]| median(rounds.iter().map(|it| it.requests).collect());
                let (ours, theirs) = (requests(&ours), requests(&theirs));
                println!("        requests for each turn: {ours:.1} beside {theirs:.1}");
            }
        }
    }
}
