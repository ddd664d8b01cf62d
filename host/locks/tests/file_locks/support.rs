//! What the tests share: a folder of locks, short ways to lock, and a process of its own that holds a lock.

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use lockkeeper_locks::{FileLocks, Holder, Identity, Lease, LockError, LockKey, LockStore, Mode, Wish};
use tempfile::TempDir;

/// Long enough for anything that is going to happen at all.
pub const LONG: Duration = Duration::from_secs(60);

const HOLD: &str = "LOCKKEEPER_TEST_HOLD";

pub fn key(text: &str) -> LockKey {
    LockKey::parse(text).unwrap()
}

pub fn me() -> Identity {
    identity(std::process::id(), "the test")
}

fn identity(pid: u32, command: &str) -> Identity {
    Identity { user: "ada".into(), host: "mill".into(), pid, command: command.into() }
}

/// A folder of locks that goes away with the test.
pub struct Folder {
    pub locks: FileLocks,
    pub dir: TempDir,
}

impl Folder {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { locks: FileLocks::new(dir.path()), dir }
    }

    /// Tries once.
    pub async fn try_lock(&self, text: &str, mode: Mode) -> Result<Lease, LockError> {
        self.locks.acquire(Wish::new(&key(text), mode, &me())).await
    }

    /// Whether the lock is to be had now.
    pub async fn is_free(&self, text: &str, mode: Mode) -> bool {
        match self.try_lock(text, mode).await {
            Ok(_) => true,
            Err(LockError::TimedOut { .. }) => false,
            Err(error) => panic!("{error}"),
        }
    }

    pub async fn holders(&self) -> Vec<Holder> {
        self.locks.holders().await.unwrap()
    }

    /// The names of the record files of a key.
    pub fn record_files(&self, text: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.dir.path().join(text).join(".holders")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

/// Another process, which holds a lock until it is killed or its input ends.
pub struct Process {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Process {
    /// Starts it and comes back when it holds the lock.
    pub fn holding(folder: &Folder, key: &str, mode: Mode) -> Self {
        Self::start(folder.dir.path(), key, mode, "alone")
    }

    /// The same, and it has started a child that echoes lines.
    pub fn holding_with_child(folder: &Folder, key: &str, mode: Mode) -> Self {
        Self::start(folder.dir.path(), key, mode, "with child")
    }

    fn start(dir: &Path, key: &str, mode: Mode, company: &str) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["support::other_process", "--exact", "--ignored", "--nocapture"])
            .env(HOLD, format!("{}|{key}|{mode}|{company}", dir.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut process = Self { child, input, output };
        process.read_until("held");
        process
    }

    fn read_until(&mut self, ending: &str) {
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

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills it as `kill -9` does.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Proves that something still reads this process's input and writes its output.
    pub fn echo(&mut self, word: &str) {
        writeln!(self.input.as_mut().unwrap(), "{word}").unwrap();
        self.read_until(word);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
#[ignore = "the other tests run it as a process of its own"]
async fn other_process() {
    let Ok(what) = env::var(HOLD) else { return };
    let [dir, name, mode, company] = what.split('|').collect::<Vec<_>>().try_into().unwrap();
    let mode = if mode == "shared" { Mode::Shared } else { Mode::Exclusive };
    let who = identity(std::process::id(), "the other process");
    let _lease = FileLocks::new(dir).acquire(Wish::new(&key(name), mode, &who)).await.unwrap();
    let child = (company == "with child").then(|| Command::new("cat").spawn().unwrap());
    println!("held");
    match child {
        Some(mut child) => assert!(child.wait().unwrap().success()),
        None => assert_eq!(std::io::stdin().lock().lines().count(), 0),
    }
}
