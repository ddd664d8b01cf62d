//! A repository and a remote to test with.

mod crash;
mod odd_files;
mod property;
mod pull;
mod resolve;
mod scan;
mod state;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use lockkeeper_names::{CachePath, Digest, ModelId, Root, Scope};

use crate::{Applied, Cache, CacheError, Change, Extent, Incoming, OnConflict, PullError, Scan};

/// Paths and contents, which compare and print well.
pub(super) type Tree = BTreeMap<String, String>;

/// A repository in a temporary folder.
pub(super) struct Repo {
    folder: tempfile::TempDir,
    pub(super) cache: Cache,
}

impl Repo {
    /// In memory where that is possible: most of the time would go to waiting for a disk.
    pub(super) fn new() -> Self {
        Self::in_folder(tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap())
    }

    pub(super) fn on_disk() -> Self {
        Self::in_folder(tempfile::tempdir().unwrap())
    }

    fn in_folder(folder: tempfile::TempDir) -> Self {
        let roots = ["data", "outputs"].map(|root| Root::parse(root).unwrap());
        let cache = Cache::open(folder.path(), "shared", roots.to_vec()).unwrap();
        Self { folder, cache }
    }

    /// A repository that has pulled everything.
    pub(super) fn of(remote: &Remote) -> Self {
        let repo = Self::new();
        repo.pull(remote, OnConflict::Stop).unwrap();
        repo
    }

    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    pub(super) fn write(&self, path: &str, text: &str) {
        fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
        fs::write(self.path(path), text).unwrap();
    }

    pub(super) fn remove(&self, path: &str) {
        fs::remove_file(self.path(path)).unwrap();
    }

    pub(super) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap()
    }

    /// Every file below the roots.
    pub(super) fn tree(&self) -> Tree {
        let mut tree = Tree::new();
        for root in ["data", "outputs"] {
            collect(&self.path(root), root, &mut tree);
        }
        tree
    }

    /// Every file below some folder of the state.
    pub(super) fn state(&self, folder: &str) -> Tree {
        let mut tree = Tree::new();
        collect(&self.path(".lockkeeper").join(folder), folder, &mut tree);
        tree
    }

    pub(super) fn scan(&self) -> Scan {
        self.cache.changes(&[Extent::Everything]).unwrap()
    }

    /// The changes in short: `+a` new, `~a` changed, `-a` deleted.
    pub(super) fn changes(&self) -> Vec<String> {
        short(&self.scan())
    }

    pub(super) fn mark(&self) {
        self.cache.mark_synced(&self.scan()).unwrap();
    }

    pub(super) fn incoming(&self, within: &[Extent]) -> Incoming {
        self.cache.incoming(within).unwrap()
    }

    /// Pulls everything from the remote.
    pub(super) fn pull(&self, remote: &Remote, on_conflict: OnConflict) -> Result<Applied, PullError> {
        let incoming = self.incoming(&[Extent::Everything]);
        remote.send(&incoming);
        incoming.apply(on_conflict)
    }

    /// Pushes everything, with the remote as careful as the contract asks; a conflict names its paths.
    pub(super) fn push(&self, remote: &mut Remote) -> Result<(), Vec<CachePath>> {
        let scan = self.scan();
        remote.receive(self, &scan.changes)?;
        self.cache.mark_synced(&scan).unwrap();
        Ok(())
    }
}

/// A remote that behaves.
#[derive(Debug, Clone, Default)]
pub(super) struct Remote {
    pub(super) files: Tree,
    pub(super) deleted: Vec<String>,
}

impl Remote {
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        let files = files.iter().map(|&(path, text)| (path.to_owned(), text.to_owned())).collect();
        Self { files, deleted: Vec::new() }
    }

    pub(super) fn write(&mut self, path: &str, text: &str) {
        self.deleted.retain(|deleted| deleted != path);
        self.files.insert(path.to_owned(), text.to_owned());
    }

    pub(super) fn delete(&mut self, path: &str) {
        self.files.remove(path);
        self.deleted.push(path.to_owned());
    }

    /// Sends what is wanted, as a guest does. Returns how many files that were.
    pub(super) fn send(&self, incoming: &Incoming) -> usize {
        let mut sent = 0;
        for (path, text) in &self.files {
            if incoming.wants(path, &digest(text).to_string()) {
                bring(incoming, path, text);
                sent += 1;
            }
        }
        for path in &self.deleted {
            incoming.delete(path);
        }
        sent
    }

    fn receive(&mut self, repo: &Repo, changes: &[Change]) -> Result<(), Vec<CachePath>> {
        let mut next = self.clone();
        let mut conflicts = Vec::new();
        for change in changes {
            let path = change.path().as_str();
            let here = self.files.get(path).map(|text| digest(text));
            match change {
                Change::Written { digest, base, .. } if here == *base || here == Some(*digest) => {
                    next.write(path, &repo.read(path));
                }
                Change::Deleted { base, .. } if here.is_none() || here == Some(*base) => next.delete(path),
                _ => conflicts.push(change.path().clone()),
            }
        }
        if !conflicts.is_empty() {
            return Err(conflicts);
        }
        *self = next;
        Ok(())
    }
}

pub(super) fn bring(incoming: &Incoming, path: &str, text: &str) {
    let to = incoming.folder().join(path);
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::write(to, text).unwrap();
}

pub(super) fn digest(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

pub(super) fn scope(model: &str) -> Extent {
    Extent::Scope(Scope::new(&Root::parse("data").unwrap(), &ModelId::parse(model).unwrap()))
}

pub(super) fn paths(paths: &[CachePath]) -> Vec<&str> {
    paths.iter().map(CachePath::as_str).collect()
}

pub(super) fn short(scan: &Scan) -> Vec<String> {
    let line = |change: &Change| match change {
        Change::Written { path, base: None, .. } => format!("+{path}"),
        Change::Written { path, .. } => format!("~{path}"),
        Change::Deleted { path, .. } => format!("-{path}"),
    };
    scan.changes.iter().map(line).collect()
}

fn collect(folder: &std::path::Path, name: &str, tree: &mut Tree) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.map(Result::unwrap) {
        let below = format!("{name}/{}", entry.file_name().to_str().unwrap());
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            collect(&entry.path(), &below, tree);
        } else if kind.is_file() {
            tree.insert(below, fs::read_to_string(entry.path()).unwrap());
        }
    }
}

/// What a pull that was stopped by conflicts names.
pub(super) fn conflicts(pulled: Result<Applied, PullError>) -> Vec<String> {
    match pulled {
        Err(PullError::Conflict { paths }) => paths.iter().map(CachePath::to_string).collect(),
        other => panic!("no conflict: {other:?}"),
    }
}

#[test]
fn errors_name_the_file_and_stay_short() {
    let paths = (0..30).map(|n| CachePath::parse(&format!("data/{n}\n")).unwrap()).collect();
    let text = PullError::Conflict { paths }.to_string();
    assert!(text.contains("`data/0\\n`, ") && text.ends_with("and 20 more"), "{text}");
    let error = Cache::open("/nowhere/at/all".as_ref(), "shared", Vec::new()).unwrap_err();
    assert!(
        matches!(error, CacheError::Io { .. }) && error.to_string().contains("/nowhere/at/all"),
        "{error}"
    );
}
