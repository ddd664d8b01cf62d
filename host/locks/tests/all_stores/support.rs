//! What the tests share: stores, short ways to lock, and a process of its own that holds a lock.

use std::env;
use std::fmt;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use lockkeeper_locks::{
    BucketLocks, BucketOptions, EtcdLocks, EtcdOptions, FileLocks, Holder, Identity, Lease, LockError,
    LockKey, LockStore, Mode, PostgresLocks, PostgresOptions, Tls, Wish,
};
use lockkeeper_remotes::s3::{self, MemoryS3};
use lockkeeper_remotes::tcp;
use lockkeeper_test_servers::{Server, shared_etcd, shared_postgres};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Long enough for anything that is going to happen at all.
pub const LONG: Duration = Duration::from_secs(60);

/// A lease that no test waits for.
pub const ENDLESS: Duration = Duration::from_secs(3600);

/// A lease that tests wait for: the shortest one that all stores grant, and a little more for a busy machine.
pub const SHORT: Duration = Duration::from_secs(3);

const TASK: &str = "LOCKKEEPER_TEST_TASK";

pub fn key(text: &str) -> LockKey {
    LockKey::parse(text).unwrap()
}

pub fn me() -> Identity {
    identity(std::process::id(), "the test")
}

fn identity(pid: u32, command: &str) -> Identity {
    Identity { user: "ada".into(), host: "mill".into(), pid, command: command.into() }
}

/// Where a store keeps its locks, as text that another process can read.
#[derive(Clone, PartialEq, Eq)]
pub struct Place {
    kind: &'static str,
    at: String,
    space: String,
}

impl Place {
    fn new(kind: &'static str, at: String) -> Self {
        Self { kind, at, space: format!("test-{:012x}", fastrand::u64(..) >> 16) }
    }

    pub fn file() -> Option<Self> {
        Some(Self::new("file", String::new()))
    }

    pub fn etcd() -> Option<Self> {
        shared_etcd().map(Self::at_etcd)
    }

    pub fn at_etcd(server: &Server) -> Self {
        Self::new("etcd", format!("http://{}", server.address()))
    }

    pub fn at_bucket(origin: &str) -> Self {
        Self::new("bucket", origin.to_owned())
    }

    pub fn at(kind: &str, address: SocketAddr) -> Self {
        match kind {
            "postgres" => {
                Self::new("postgres", format!("postgres://postgres@{address}/postgres?sslmode=disable"))
            }
            "etcd" => Self::new("etcd", format!("http://{address}")),
            _ => Self::at_bucket(&format!("http://{address}")),
        }
    }

    pub fn postgres() -> Option<Self> {
        shared_postgres().map(|server| {
            let port = server.address().port();
            Self::new("postgres", format!("postgres://postgres@127.0.0.1:{port}/postgres?sslmode=disable"))
        })
    }

    pub fn bucket() -> Option<Self> {
        Some(Self::new("bucket", strict_s3().origin()))
    }

    fn parse(text: &str) -> Self {
        let [kind, at, space] = text.split('|').collect::<Vec<_>>().try_into().unwrap();
        let kind = ["file", "etcd", "postgres", "bucket"].into_iter().find(|it| *it == kind).unwrap();
        Self { kind, at: at.to_owned(), space: space.to_owned() }
    }

    /// Whether locks there have leases.
    pub fn has_leases(&self) -> bool {
        self.kind != "file"
    }

    /// Whether it notices the end of a process by itself, without waiting for a lease to run out.
    pub fn notices_death(&self) -> bool {
        ["file", "postgres"].contains(&self.kind)
    }

    /// How many of those who wait are listed.
    pub fn seen_of(&self, waiting: usize) -> usize {
        if self.kind == "file" { waiting.min(1) } else { waiting }
    }

    fn open(&self, lease: Duration) -> Arc<dyn LockStore> {
        match self.kind {
            "file" => Arc::new(FileLocks::new(format!("{}/{}", self.at, self.space))),
            "etcd" => Arc::new(EtcdLocks::new(EtcdOptions {
                endpoints: vec![self.at.clone()],
                prefix: format!("{}/", self.space),
                lease,
                login: None,
                tls: Tls::default(),
            })),
            "bucket" => Arc::new(BucketLocks::new(&bucket_options(&self.at, &self.space, lease)).unwrap()),
            _ => {
                let (url, space) = (self.at.clone(), self.space.clone());
                let options = PostgresOptions { url, space, lease, password: None, tls: Tls::default() };
                Arc::new(PostgresLocks::new(options).unwrap())
            }
        }
    }
}

/// Locks in the bucket `bucket` of an S3.
pub fn bucket_options(origin: &str, space: &str, lease: Duration) -> BucketOptions {
    let settings = [
        ("aws_endpoint", origin),
        ("aws_allow_http", "true"),
        ("aws_region", "eu-west-1"),
        ("aws_access_key_id", "test"),
        ("aws_secret_access_key", "test"),
    ];
    BucketOptions {
        url: "s3://bucket/locks".to_owned(),
        settings: settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        space: space.to_owned(),
        lease,
        tls: Tls::default(),
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}|{}|{}", self.kind, self.at, self.space)
    }
}

/// A strict S3 that takes what [`bucket_options`] sign with.
pub fn s3_options() -> s3::Options {
    let keys = s3::Keys {
        access_key: "test".to_owned(),
        secret_key: "test".to_owned(),
        session_token: None,
        region: None,
    };
    s3::Options { keys: Some(keys), ..s3::Options::default() }
}

/// The S3 that all tests of this process share.
fn strict_s3() -> &'static tcp::Server {
    static SERVER: OnceLock<(Runtime, tcp::Server)> = OnceLock::new();
    let (_, server) = SERVER.get_or_init(|| {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let remote = MemoryS3::new(s3_options()).unwrap();
        // A runtime's thread can't wait for another one; this may be called from a test's.
        let started = std::thread::scope(|scope| {
            scope.spawn(|| runtime.block_on(tcp::Server::start(remote)).unwrap()).join().unwrap()
        });
        (runtime, started)
    });
    server
}

/// A store with a space of its own.
#[derive(Clone)]
pub struct Store {
    pub locks: Arc<dyn LockStore>,
    pub place: Place,
    /// Of the file store; goes away with the last clone.
    _folder: Arc<Option<TempDir>>,
}

impl Store {
    pub fn new(mut place: Place) -> Self {
        let folder = (place.kind == "file").then(|| tempfile::tempdir().unwrap());
        if let Some(folder) = &folder {
            place.at = folder.path().display().to_string();
        }
        Self { locks: place.open(ENDLESS), place, _folder: Arc::new(folder) }
    }

    /// The same locks with another lease.
    pub fn with_lease(&self, lease: Duration) -> Self {
        Self { locks: self.place.open(lease), ..self.clone() }
    }

    /// Tries once.
    pub async fn try_lock(&self, text: &str, mode: Mode) -> Result<Lease, LockError> {
        self.locks.acquire(Wish::new(&key(text), mode, &me())).await
    }

    /// Takes it, however long it takes.
    pub async fn lock(&self, text: &str, mode: Mode) -> Lease {
        self.locks.acquire(Wish::new(&key(text), mode, &me()).within(LONG)).await.unwrap()
    }

    /// Whether the lock is to be had now.
    pub async fn is_free(&self, text: &str, mode: Mode) -> bool {
        match self.try_lock(text, mode).await {
            Ok(lease) => {
                lease.release().await.unwrap();
                true
            }
            Err(LockError::TimedOut { .. }) => false,
            Err(error) => panic!("{error:?}"),
        }
    }

    /// Waits in a task of its own, which yields the lease.
    pub fn wait_for(&self, text: &str, mode: Mode) -> tokio::task::JoinHandle<Lease> {
        let (store, text) = (self.clone(), text.to_owned());
        tokio::spawn(async move { store.lock(&text, mode).await })
    }

    /// The number that fences a write under these locks.
    pub fn number(&self, held: &[&Lease]) -> Option<u64> {
        self.locks.fence(&held.iter().filter_map(|lease| lease.fence()).collect::<Vec<_>>())
    }

    pub async fn holders(&self) -> Vec<Holder> {
        self.locks.holders().await.unwrap()
    }

    /// Comes back when so many wait.
    pub async fn until_waiting(&self, count: usize) {
        let wait = async || self.holders().await.iter().filter(|holder| holder.waiting).count() >= count;
        until("nobody waits", wait).await;
    }
}

/// Looks again and again until it is so.
pub async fn until(what: &str, mut look: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !look().await {
        assert!(begun.elapsed() < LONG, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Another process, which takes a lock and then does as it is told.
pub struct Process {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Process {
    /// Starts it and comes back when it holds the lock.
    pub fn holding(store: &Store, key: &str, mode: Mode, lease: Duration) -> Self {
        let mut process = Self::start(&[], store, key, mode, lease);
        process.read_until("held");
        process
    }

    /// Starts it with variables in its environment.
    pub fn start(variables: &[(&str, &str)], store: &Store, key: &str, mode: Mode, lease: Duration) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .envs(variables.iter().copied())
            .args(["support::other_process", "--exact", "--ignored", "--nocapture"])
            .env(TASK, format!("{};{key};{mode};{}", store.place, lease.as_millis()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, input, output }
    }

    /// Reads what it says up to a line that ends so.
    pub fn read_until(&mut self, ending: &str) {
        let mut line = String::new();
        while !line.trim_end().ends_with(ending) {
            line.clear();
            assert_ne!(
                self.output.read_line(&mut line).unwrap(),
                0,
                "the other process ended before {ending:?}"
            );
        }
    }

    /// Asks it what it can prove, and returns its answer: `proven` or why the lock is lost.
    pub fn asked(&mut self) -> String {
        writeln!(self.input.as_mut().unwrap(), "?").unwrap();
        let mut line = String::new();
        assert_ne!(self.output.read_line(&mut line).unwrap(), 0, "the other process ended");
        line.trim_end().to_owned()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args(["-s", signal, &self.pid().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Kills it as `kill -9` does.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Lets it give the lock back and end by itself.
    pub fn end(&mut self) {
        drop(self.input.take());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the other tests run it as a process of its own"]
async fn other_process() {
    let Ok(task) = env::var(TASK) else { return };
    let [place, name, mode, lease] = task.split(';').collect::<Vec<_>>().try_into().unwrap();
    let mode = if mode == "shared" { Mode::Shared } else { Mode::Exclusive };
    let who = identity(std::process::id(), "the other process");
    let locks = Place::parse(place).open(Duration::from_millis(lease.parse().unwrap()));
    let lease = locks.acquire(Wish::new(&key(name), mode, &who).within(LONG)).await.unwrap();
    println!("held");
    let proof = lease.proof().clone();
    let asked = tokio::task::spawn_blocking(move || {
        for line in std::io::stdin().lock().lines() {
            assert_eq!(line.unwrap(), "?");
            println!("{}", proof.loss().map_or("proven".to_owned(), |loss| loss.to_string()));
        }
    });
    asked.await.unwrap();
    lease.release().await.unwrap();
}
