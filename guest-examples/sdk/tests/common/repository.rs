use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::future::{LocalBoxFuture, ready};
use lockkeeper_sdk::{
    Change, ChangeCount, DeletedFile, Finding, FindingKind, Host, Layout, Level, ProgressUpdate, PullOptions,
    PullReport, PushOptions, PushReport, Remote, Result, WrittenFile, convert, pull, push, rebuild, show,
    verify,
};
use pollster::block_on;
use tempfile::TempDir;

/// A cache and what its host knows about it.
pub struct Repository {
    layout: Layout,
    cache: TempDir,
    state: TempDir,
    synced: BTreeMap<String, String>,
    /// The fencing number of its locks.
    pub fence: Option<u64>,
    /// How long its calls were told to wait.
    pub pauses: RefCell<Vec<Duration>>,
}

impl Repository {
    pub fn new(layout: Layout) -> Self {
        Self {
            layout,
            cache: TempDir::new().unwrap(),
            state: TempDir::new().unwrap(),
            synced: BTreeMap::new(),
            fence: None,
            pauses: RefCell::default(),
        }
    }

    /// A repository that holds these files.
    pub fn with(files: &BTreeMap<String, String>) -> Self {
        let repository = Self::new(Layout::PerScope);
        files.iter().for_each(|(path, content)| repository.write(path, content));
        repository
    }

    /// The folder that holds what calls of this scope knew about the remote.
    pub fn state(&self, scope: Option<&str>) -> PathBuf {
        let folder = self.state.path().join(scope.map_or("everything".to_owned(), digest));
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    pub fn write(&self, path: &str, content: &str) {
        let file = self.cache.path().join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, content).unwrap();
    }

    pub fn remove(&self, path: &str) {
        fs::remove_file(self.cache.path().join(path)).unwrap();
    }

    /// Makes the cache hold these files and no others.
    pub fn replace(&self, files: &BTreeMap<String, String>) {
        for entry in fs::read_dir(self.cache.path()).unwrap() {
            fs::remove_dir_all(entry.unwrap().path()).unwrap();
        }
        files.iter().for_each(|(path, content)| self.write(path, content));
    }

    pub fn files(&self) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        collect(self.cache.path(), "", &mut found);
        found
    }

    /// Pushes what changed since the last sync.
    pub fn push(&mut self, remote: &impl Remote, scope: Option<&str>) -> Result<PushReport> {
        let changes = self.changes(scope.unwrap_or_default());
        let written = changes.iter().filter(|change| matches!(change, Change::Written(_))).count() as u64;
        let deleted = changes.len() as u64 - written;
        let call = Call::new(self, self.cache.path(), &self.state(scope), changes.clone());
        let scope = scope.map(str::to_owned);
        let options =
            PushOptions { scope, changes: Some(ChangeCount { written, deleted }), fence: self.fence };
        let report = block_on(push(&call, remote, self.layout, &options))?;
        assert_eq!((report.files + report.unchanged, report.deletions), (written, deleted));
        for change in changes {
            match change {
                Change::Written(file) => self.synced.insert(file.path, file.digest),
                Change::Deleted(file) => self.synced.remove(&file.path),
            };
        }
        Ok(report)
    }

    /// Pushes without knowing what changed.
    pub fn push_blindly(&self, remote: &impl Remote, scope: Option<&str>) -> Result<PushReport> {
        let call = Call::new(self, self.cache.path(), &self.state(scope), Vec::new());
        let options = PushOptions { scope: scope.map(str::to_owned), changes: None, fence: self.fence };
        block_on(push(&call, remote, self.layout, &options))
    }

    /// Pushes after the host read the digests, and `meddle` ran in between.
    pub fn push_after(&self, remote: &impl Remote, meddle: impl FnOnce(&Self)) -> Result<PushReport> {
        let call = Call::new(self, self.cache.path(), &self.state(None), self.changes(""));
        meddle(self);
        let changes = Some(ChangeCount { written: 0, deleted: 0 });
        let options = PushOptions { scope: None, changes, fence: self.fence };
        block_on(push(&call, remote, self.layout, &options))
    }

    /// Pulls, and takes over what came.
    pub fn pull(&mut self, remote: &impl Remote, scope: Option<&str>) -> Result<PullReport> {
        let staging = TempDir::new().unwrap();
        let mut call = Call::new(self, staging.path(), &self.state(scope), Vec::new());
        call.held = self.files().iter().map(|(path, content)| (path.clone(), digest(content))).collect();
        let options = PullOptions { scope: scope.map(str::to_owned) };
        let report = block_on(pull(&call, remote, self.layout, &options))?;
        for path in call.deleted.take() {
            self.remove(&path);
            self.synced.remove(&path);
        }
        let mut brought = BTreeMap::new();
        collect(staging.path(), "", &mut brought);
        assert_eq!(report.files, brought.len() as u64);
        assert_eq!(report.bytes, brought.values().map(|content| content.len() as u64).sum::<u64>());
        for (path, content) in brought {
            assert!(path.starts_with(scope.unwrap_or_default()));
            self.write(&path, &content);
            self.synced.insert(path, digest(&content));
        }
        Ok(report)
    }

    /// Looks after the index, and says what was found, sorted.
    pub fn look_after(
        &self,
        scope: Option<&str>,
        call: impl AsyncFnOnce(&dyn Host, Layout, Option<&str>) -> Result<()>,
    ) -> Result<Vec<(FindingKind, String)>> {
        let host = Call::new(self, self.cache.path(), &self.state(scope), Vec::new());
        block_on(call(&host, self.layout, scope))?;
        let mut found: Vec<_> = host.found.take().into_iter().map(|it| (it.kind, it.path)).collect();
        found.sort_by(|one, other| one.1.cmp(&other.1));
        Ok(found)
    }

    pub fn show(&self, remote: &impl Remote, scope: Option<&str>) -> Vec<(FindingKind, String)> {
        let show =
            async |host: &dyn Host, layout, scope: Option<&str>| show(host, remote, layout, scope).await;
        self.look_after(scope, show).unwrap()
    }

    pub fn verify(&self, remote: &impl Remote, scope: Option<&str>) -> Vec<(FindingKind, String)> {
        let verify =
            async |host: &dyn Host, layout, scope: Option<&str>| verify(host, remote, layout, scope).await;
        self.look_after(scope, verify).unwrap()
    }

    pub fn rebuild(&self, remote: &impl Remote, scope: Option<&str>) -> Result<Vec<(FindingKind, String)>> {
        let fence = self.fence;
        let rebuild = async |host: &dyn Host, layout, scope: Option<&str>| {
            rebuild(host, remote, layout, scope, fence).await
        };
        self.look_after(scope, rebuild)
    }

    pub fn convert(&self, remote: &impl Remote) -> Result<Vec<(FindingKind, String)>> {
        let fence = self.fence;
        self.look_after(None, async |host: &dyn Host, layout, _: Option<&str>| {
            convert(host, remote, layout, fence).await
        })
    }

    fn changes(&self, scope: &str) -> Vec<Change> {
        let files = self.files();
        let written = files.iter().map(|(path, content)| {
            let (size, base) = (content.len() as u64, self.synced.get(path).cloned());
            Change::Written(WrittenFile { path: path.clone(), size, digest: digest(content), base })
        });
        let written = written.filter(|change| match change {
            Change::Written(file) => file.base.as_ref() != Some(&file.digest),
            Change::Deleted(_) => false,
        });
        let gone = self.synced.iter().filter(|(path, _)| !files.contains_key(*path));
        let deleted =
            gone.map(|(path, base)| Change::Deleted(DeletedFile { path: path.clone(), base: base.clone() }));
        let mut changes: Vec<_> =
            written.chain(deleted).filter(|change| change.path().starts_with(scope)).collect();
        changes.sort_by(|one, other| one.path().cmp(other.path()));
        changes
    }
}

pub fn digest(content: &str) -> String {
    blake3::hash(content.as_bytes()).to_hex().to_string()
}

fn collect(root: &Path, below: &str, found: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(root.join(below)).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let path = if below.is_empty() { name } else { format!("{below}/{name}") };
        if entry.file_type().unwrap().is_dir() {
            collect(root, &path, found);
        } else {
            found.insert(path, fs::read_to_string(entry.path()).unwrap());
        }
    }
}

struct Call<'a> {
    cache: &'a Path,
    state: PathBuf,
    pauses: &'a RefCell<Vec<Duration>>,
    found: RefCell<Vec<Finding>>,
    changes: RefCell<VecDeque<Change>>,
    held: BTreeMap<String, String>,
    deleted: RefCell<Vec<String>>,
}

impl<'a> Call<'a> {
    fn new(repository: &'a Repository, cache: &'a Path, state: &Path, changes: Vec<Change>) -> Self {
        Self {
            cache,
            state: state.to_owned(),
            pauses: &repository.pauses,
            found: RefCell::default(),
            changes: RefCell::new(changes.into()),
            held: BTreeMap::new(),
            deleted: RefCell::default(),
        }
    }
}

impl Host for Call<'_> {
    fn cache(&self) -> &Path {
        self.cache
    }

    fn state(&self) -> &Path {
        &self.state
    }

    fn next_changes(&self, max: u32) -> Vec<Change> {
        let mut changes = self.changes.borrow_mut();
        let page = changes.len().min(max as usize);
        changes.drain(..page).collect()
    }

    fn wants(&self, path: &str, digest: &str) -> bool {
        self.held.get(path).is_none_or(|held| held != digest)
    }

    fn delete(&self, path: &str) -> bool {
        let held = self.held.contains_key(path);
        if held {
            self.deleted.borrow_mut().push(path.to_owned());
        }
        held
    }

    fn found(&self, finding: Finding) {
        self.found.borrow_mut().push(finding);
    }

    fn log(&self, _: Level, _: &str) {}

    fn progress(&self, _: ProgressUpdate) {}

    fn cancelled(&self) -> bool {
        false
    }

    fn pause(&self, time: Duration) -> LocalBoxFuture<'static, ()> {
        self.pauses.borrow_mut().push(time);
        Box::pin(ready(()))
    }
}
