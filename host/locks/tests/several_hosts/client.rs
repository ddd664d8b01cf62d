//! A process on a host that takes the lock, writes under it, and says what it does and when.

use std::env;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lockkeeper_locks::{Identity, LockKey, Mode, Wish};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::hosts::Hosts;
use crate::place::open;

const TASK: &str = "LOCKKEEPER_TEST_CLIENT";

/// What a client says that it did: the number of its hold, and when, in nanoseconds of a clock that all processes share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// It has the lock.
    Acquired { number: u64, at: u64 },
    /// It has proof of the lock and sends a write.
    Wrote { number: u64, at: u64 },
    /// It has no proof any more.
    Lost { number: u64 },
    /// It is done, and gives the lock back.
    Released { number: u64 },
}

/// A client's process.
pub struct Client {
    child: Child,
    events: Arc<Mutex<Vec<Event>>>,
    reader: Option<std::thread::JoinHandle<()>>,
}

impl Client {
    /// Starts one on a host. With `holds`, it holds the lock until it is lost or the client is killed; else it takes it again and again.
    pub fn start(hosts: &Hosts, host: usize, place: &str, lease: Duration, register: u16, holds: u8) -> Self {
        let mut child = Command::new("ip")
            .args(["netns", "exec", &hosts.space(host)])
            .arg(env::current_exe().unwrap())
            .args(["client::other_process", "--exact", "--ignored", "--nocapture"])
            .env(TASK, format!("{place};{};{}:{register};{holds}", lease.as_millis(), hosts.address()))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let events: Arc<Mutex<Vec<Event>>> = Arc::default();
        let told = events.clone();
        let reader = std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                told.lock().unwrap().extend(read(&line));
            }
        });
        Self { child, events, reader: Some(reader) }
    }

    /// Waits until it has said something.
    pub fn until(&self, what: &str, mut said: impl FnMut(&[Event]) -> bool) {
        crate::until(what, || said(&self.events.lock().unwrap()));
    }

    /// Whether it has said that it has the lock, and not yet that it hasn't any more.
    pub fn holds(&self) -> bool {
        let events = self.events.lock().unwrap();
        matches!(events.last(), Some(Event::Acquired { .. } | Event::Wrote { .. }))
    }

    /// Stops it, and lets it go on later.
    pub fn stop_for(&self, time: Duration) {
        let pid = self.child.id().to_string();
        _ = Command::new("kill").args(["-s", "STOP", &pid]).status();
        std::thread::spawn(move || {
            std::thread::sleep(time);
            // It may have been killed meanwhile.
            _ = Command::new("kill").args(["-s", "CONT", &pid]).stderr(Stdio::null()).status();
        });
    }

    /// Kills it, and returns what it did.
    pub fn kill(mut self) -> Vec<Event> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.reader.take().unwrap().join().unwrap();
        std::mem::take(&mut *self.events.lock().unwrap())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

fn read(line: &str) -> Option<Event> {
    let [what, number, at] = line.split(' ').collect::<Vec<_>>().try_into().ok()?;
    let (number, at) = (number.parse().ok()?, at.parse().ok()?);
    match what {
        "acquired" => Some(Event::Acquired { number, at }),
        "wrote" => Some(Event::Wrote { number, at }),
        "lost" => Some(Event::Lost { number }),
        "released" => Some(Event::Released { number }),
        _ => None,
    }
}

/// What time it is on the clock that all processes of a machine share.
fn now() -> i64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}

fn say(what: &str, number: u64, at: i64) {
    println!("{what} {number} {at}");
}

#[tokio::test]
#[ignore = "the other tests run it as a process of its own"]
async fn other_process() {
    let Ok(task) = env::var(TASK) else { return };
    let [place, lease, register, holds] = task.split(';').collect::<Vec<_>>().try_into().unwrap();
    let locks = open(place, Duration::from_millis(lease.parse().unwrap()));
    let who = Identity {
        user: "ada".into(),
        host: "host".into(),
        pid: std::process::id(),
        command: "client".into(),
    };
    let key = LockKey::parse("model/a/b").unwrap();
    loop {
        // Out of reach, or held for long: it tries again.
        let Ok(lease) =
            locks.acquire(Wish::new(&key, Mode::Exclusive, &who).within(Duration::from_secs(20))).await
        else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let number = locks.fence(&[lease.fence().unwrap()]).unwrap();
        // The time comes before the proof: what counts is when it was sure, however long it stands still after that.
        let at = now();
        if lease.proof().loss().is_some() {
            continue;
        }
        say("acquired", number, at);
        let mut connection = None;
        let mut writes = if holds == "1" { u32::MAX } else { fastrand::u32(3..30) };
        while writes > 0 && lease.proof().loss().is_none() {
            if connection.is_none() {
                connection = tokio::select! {
                    connected = TcpStream::connect(register) => connected.ok(),
                    _ = lease.proof().lost() => None,
                };
            }
            let Some(connection) = &mut connection else { continue };
            let at = now();
            if lease.proof().loss().is_some() {
                break;
            }
            say("wrote", number, at);
            let exchange = async {
                connection.write_all(format!("{number}\n").as_bytes()).await?;
                tokio::io::BufReader::new(connection).read_line(&mut String::new()).await
            };
            tokio::select! {
                _ = exchange => {}
                _ = lease.proof().lost() => break,
            }
            writes -= 1;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        say(if lease.proof().loss().is_some() { "lost" } else { "released" }, number, now());
        _ = lease.release().await;
    }
}
