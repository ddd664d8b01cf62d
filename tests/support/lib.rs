//! What the tests share: repositories in temporary folders, and the command run on them as a real process.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code"
)]

pub mod datastores;
pub mod proxy;
pub mod servers;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// A world of its own: a remote folder, repositories that share it, and their caches and locks. Removed when dropped.
pub struct World {
    folder: TempDir,
    command: PathBuf,
    environment: Vec<(&'static str, &'static str)>,
}

/// Makes a [`World`] with the command that was built for this test.
#[macro_export]
macro_rules! world {
    () => {
        $crate::World::new(env!("CARGO_BIN_EXE_lockkeeper-under-test"))
    };
    (in $folder:expr) => {
        $crate::World::within(env!("CARGO_BIN_EXE_lockkeeper-under-test"), $folder)
    };
}

/// A guest that was built from `guest-examples/`.
pub fn guest(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/guests").join(format!("{name}.wasm"));
    path.canonicalize().unwrap_or_else(|error| panic!("{}: {error}; run `make guests`", path.display()))
}

/// Builds an example with its own script. Its tools come from PyPI or npm the first time; where they can't, this is
/// skipped, except in CI.
pub fn built(language: &str) -> bool {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../guest-examples/{language}/build.sh"));
    let built = Command::new("bash").arg(script).output().unwrap();
    if built.status.success() {
        return true;
    }
    let said = String::from_utf8_lossy(&built.stderr).into_owned();
    assert!(std::env::var_os("CI").is_none(), "the {language} example can't be built: {said}");
    println!("skipped: the {language} example can't be built: {said}");
    false
}

impl World {
    /// Use [`world!`].
    pub fn new(command: &str) -> Self {
        Self::within(command, &std::env::temp_dir())
    }

    /// Use `world!(in folder)`.
    pub fn within(command: &str, folder: &Path) -> Self {
        let folder = tempfile::Builder::new().prefix("lockkeeper-test-").tempdir_in(folder).unwrap();
        std::fs::create_dir(folder.path().join("remote")).unwrap();
        Self { folder, command: command.into(), environment: Vec::new() }
    }

    /// Sets variables for each command that is run in it.
    #[must_use]
    pub fn with_environment(mut self, environment: Vec<(&'static str, &'static str)>) -> Self {
        self.environment = environment;
        self
    }

    /// A place for the test's own files.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The folder that the extensions use as their remote.
    pub fn remote(&self) -> PathBuf {
        self.path("remote")
    }

    /// A repository that uses a guest from `guest-examples/`, with the remote granted and the default root `data`.
    pub fn repository(&self, name: &str, guest: &str) -> Repository<'_> {
        self.configured(name, guest, "", "")
    }

    /// A repository with lines of its own: `top` stands at the beginning of the file, `end` after `[datastore.grants]`.
    /// Lines of `end` before its first header are further keys of `[datastore.config]`.
    pub fn configured(&self, name: &str, guest: &str, top: &str, end: &str) -> Repository<'_> {
        let folder = self.path(name);
        std::fs::create_dir_all(folder.join("extensions")).unwrap();
        std::fs::copy(self::guest(guest), folder.join(format!("extensions/{guest}.wasm"))).unwrap();
        let text = format!(
            "{top}\n[datastore]\nextension = \"@lockkeeper/{guest}\"\n\n[datastore.grants]\n\
             folders = [{{ host = \"../remote\", guest = \"/remote\", access = \"read-write\" }}]\n\n\
             [datastore.config]\nroot = \"/remote\"\n{end}\n"
        );
        std::fs::write(folder.join("lockkeeper.toml"), text).unwrap();
        Repository { world: self, folder }
    }

    /// The files in the remote under their own paths, as any tool sees them.
    pub fn objects(&self) -> BTreeMap<String, Vec<u8>> {
        files(&self.remote(), "data")
    }

    /// The files below `data` that somebody pulls who has nothing yet.
    pub fn fresh(&self, guest: &str) -> BTreeMap<String, Vec<u8>> {
        let folder = tempfile::Builder::new().prefix("fresh-").tempdir_in(self.folder.path()).unwrap();
        let fresh = self.repository(folder.path().file_name().unwrap().to_str().unwrap(), guest);
        fresh.ok(&["pull"]);
        fresh.files("data")
    }

    /// The command with its machine-wide folders inside of this world.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.command);
        command
            .env("LOCKKEEPER_CACHE_DIR", compiled())
            .env("LOCKKEEPER_STATE_DIR", self.path("state"))
            // What a killed process leaves there goes with the world.
            .env("TMPDIR", self.folder.path())
            .env_remove("LOCKKEEPER_HELD")
            .envs(self.environment.iter().copied())
            .current_dir(self.folder.path());
        command
    }
}

/// Where worlds of many files are made: in memory, if this machine has such a folder.
pub fn memory() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    if tempfile::tempfile_in(&memory).is_ok() { memory } else { std::env::temp_dir() }
}

/// All tests share compiled code, as all runs of a user do.
fn compiled() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/test-cache")
}

/// A repository of a [`World`].
#[derive(Clone)]
pub struct Repository<'a> {
    world: &'a World,
    /// Its folder.
    pub folder: PathBuf,
}

impl<'a> Repository<'a> {
    /// Writes a file of the cache.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// Deletes a file of the cache.
    pub fn delete(&self, path: &str) {
        std::fs::remove_file(self.folder.join(path)).unwrap();
    }

    /// Reads a file of the cache, if it is there.
    pub fn read(&self, path: &str) -> Option<Vec<u8>> {
        std::fs::read(self.folder.join(path)).ok()
    }

    /// The files below a folder of the cache, by path relative to the cache.
    pub fn files(&self, below: &str) -> BTreeMap<String, Vec<u8>> {
        files(&self.folder, below)
    }

    /// The command on this repository, with arguments.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.world.command();
        command.arg("--repo").arg(&self.folder).args(arguments);
        command
    }

    /// Runs the command to its end.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(&mut self.command(arguments))
    }

    /// Runs the command, which must succeed.
    pub fn ok(&self, arguments: &[&str]) -> Ran {
        let ran = self.run(arguments);
        assert_eq!(ran.code, 0, "{arguments:?}: {}{}", ran.stdout, ran.stderr);
        ran
    }

    /// Runs the command, which must succeed, and reads its JSON document.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let ran = self.ok(&[&["--json"], arguments].concat());
        serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {}", ran.stdout))
    }

    /// The paths that `status` lists as changed since the last sync.
    pub fn unpushed(&self) -> Vec<String> {
        let status = self.json(&["status"]);
        let changes = status["changes"].as_array().unwrap();
        changes.iter().map(|change| change["path"].as_str().unwrap().to_owned()).collect()
    }

    /// Runs a shell script in the repository's folder through `lockkeeper run` on models, and returns its report.
    pub fn run_script(&self, models: &[&str], script: &str) -> (Ran, Value) {
        let report =
            tempfile::Builder::new().prefix("report-").tempfile_in(self.world.folder.path()).unwrap();
        let mut command = self.script(models, script, &["--report", report.path().to_str().unwrap()]);
        let ran = Ran::of(&mut command);
        let text = std::fs::read_to_string(report.path()).unwrap();
        (ran, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// `lockkeeper run` of a shell script in the repository's folder.
    pub fn script(&self, models: &[&str], script: &str, options: &[&str]) -> Command {
        let mut command = self.command(&["run"]);
        for model in models {
            command.args(["--model", model]);
        }
        command
            .args(options)
            .args(["--", "sh", "-c"])
            .arg(format!("cd '{}' && {script}", self.folder.display()));
        command
    }

    /// Starts a run on models that says when its command runs, and then holds its locks until it is told to go on.
    pub fn hold(&self, models: &[&str]) -> Holding {
        Holding::start(self.script(models, "echo holding && read line", &[]))
    }
}

/// The files below a folder, by path relative to `root`, in order.
pub fn files(root: &Path, below: &str) -> BTreeMap<String, Vec<u8>> {
    let entries = walkdir::WalkDir::new(root.join(below)).into_iter().filter_map(Result::ok);
    let files = entries.filter(|entry| entry.file_type().is_file());
    files
        .map(|entry| {
            let path = entry.path().strip_prefix(root).unwrap().to_string_lossy().into_owned();
            (path, std::fs::read(entry.path()).unwrap())
        })
        .collect()
}

/// A command that has ended.
#[derive(Debug)]
pub struct Ran {
    /// Its exit code; 128 and the signal's number if a signal ended it.
    pub code: i32,
    /// What it printed as data.
    pub stdout: String,
    /// What it said besides.
    pub stderr: String,
}

impl Ran {
    /// Runs a command to its end, with nothing on standard input.
    pub fn of(command: &mut Command) -> Self {
        command.stdin(Stdio::null()).output().unwrap().into()
    }
}

impl From<std::process::Output> for Ran {
    fn from(output: std::process::Output) -> Self {
        Self {
            code: code(output.status),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// Expects one error with an exit code and nothing on standard output, and returns what was said.
pub fn fails(ran: &Ran, code: impl Into<i32>) -> String {
    let errors = ran.stderr.lines().filter(|line| line.starts_with("error: ")).count();
    assert_eq!((ran.code, errors), (code.into(), 1), "{ran:?}");
    assert_eq!(ran.stdout, "");
    ran.stderr.clone()
}

/// Expects each part in what was said.
pub fn says(said: &str, parts: &[&str]) {
    for part in parts {
        assert!(said.contains(part), "no {part:?} in: {said}");
    }
}

/// An exit status as a shell gives it.
pub fn code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

/// A run whose command waits until it is told to go on. Killed if it is dropped before.
pub struct Holding {
    child: Child,
    input: Option<ChildStdin>,
}

impl Holding {
    /// Starts a command that prints a line when it has got so far, and then reads a line.
    pub fn start(mut command: Command) -> Self {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let input = child.stdin.take();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        if line.is_empty() {
            let mut said = String::new();
            child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
            panic!("the command ended before it held anything: {said}");
        }
        Self { child, input }
    }

    /// The process that holds the locks.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends the process a signal such as `TERM` and returns how it ended. The command is not told to go on.
    pub fn signal(mut self, signal: &str) -> Ran {
        let sent =
            Command::new("kill").arg(format!("-{signal}")).arg(self.pid().to_string()).status().unwrap();
        assert!(sent.success());
        let deadline = Instant::now() + Duration::from_secs(60);
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "the signal {signal} doesn't end the run");
            std::thread::sleep(Duration::from_millis(5));
        };
        let mut stderr = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        Ran { code: code(status), stdout: String::new(), stderr }
    }

    /// Kills the process for real.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Lets the command go on and returns how it ended.
    pub fn finish(mut self) -> Ran {
        let mut input = self.input.take().unwrap();
        input.write_all(b"go on\n").unwrap();
        drop(input);
        let mut stderr = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        let status = self.child.wait().unwrap();
        Ran { code: code(status), stdout: String::new(), stderr }
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        // It may have ended by itself.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}
