use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use lockkeeper_changes::Change;
use lockkeeper_names::{CachePath, Digest, Scope};
use lockkeeper_sandbox::Pulling;
use lockkeeper_sandbox::stepped::{Fault, Tree};

/// Files by their path in a cache.
pub type Files = BTreeMap<CachePath, Arc<Vec<u8>>>;

/// Room for a cache or state folder, in bytes.
const ROOM: u64 = 256 << 20;

/// What one repository holds: the files of its cache, what it last synced, and its extension's state.
#[derive(Debug, Clone, Default)]
pub struct Repository {
    files: Files,
    base: BTreeMap<CachePath, Digest>,
    states: BTreeMap<String, Tree>,
}

impl Repository {
    /// An empty cache that never synced anything.
    pub fn new() -> Self {
        Self::default()
    }

    /// The files of the cache.
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// The files of the cache under a scope, or all of them.
    pub fn files_in(&self, scope: Option<&Scope>) -> Files {
        let inside = |path: &CachePath| scope.is_none_or(|scope| scope.contains(path));
        self.files
            .iter()
            .filter(|(path, _)| inside(path))
            .map(|(path, bytes)| (path.clone(), bytes.clone()))
            .collect()
    }

    /// Writes a file of the cache, as a user's command would.
    pub fn write(&mut self, path: &CachePath, content: impl Into<Vec<u8>>) {
        self.files.insert(path.clone(), Arc::new(content.into()));
    }

    /// Deletes a file of the cache, as a user's command would.
    pub fn delete(&mut self, path: &CachePath) {
        self.files.remove(path);
    }

    /// What changed under a scope since the last sync, sorted by path.
    pub fn changes(&self, scope: Option<&Scope>) -> Vec<Change> {
        let inside = |path: &CachePath| scope.is_none_or(|scope| scope.contains(path));
        let mut changes = Vec::new();
        for (path, bytes) in self.files.iter().filter(|(path, _)| inside(path)) {
            let (digest, base) = (Digest::of(bytes), self.base.get(path).copied());
            if base != Some(digest) {
                let size = bytes.len() as u64;
                changes.push(Change::Written { path: path.clone(), size, digest, base });
            }
        }
        for (path, base) in self.base.iter().filter(|(path, _)| inside(path)) {
            if !self.files.contains_key(path) {
                changes.push(Change::Deleted { path: path.clone(), base: *base });
            }
        }
        changes.sort_by(|one, other| one.path().cmp(other.path()));
        changes
    }

    /// Makes pushed changes the base of the next ones.
    pub(crate) fn mark_synced(&mut self, changes: &[Change]) {
        for change in changes {
            match change {
                Change::Written { path, digest, .. } => {
                    self.base.insert(path.clone(), *digest);
                }
                Change::Deleted { path, .. } => {
                    self.base.remove(path);
                }
            }
        }
    }

    /// Takes over what a pull brought, except over local work that was not pushed.
    pub(crate) fn apply(&mut self, brought: &Files, deleted: &BTreeSet<CachePath>) {
        let unpushed: BTreeSet<CachePath> =
            self.changes(None).iter().map(|change| change.path().clone()).collect();
        for (path, bytes) in brought.iter().filter(|(path, _)| !unpushed.contains(*path)) {
            self.base.insert(path.clone(), Digest::of(bytes));
            self.files.insert(path.clone(), bytes.clone());
        }
        for path in deleted.iter().filter(|path| !unpushed.contains(*path)) {
            self.files.remove(path);
            self.base.remove(path);
        }
    }

    /// The cache as a guest sees it in a push.
    pub(crate) fn cache(&self, scope: Option<&Scope>) -> Result<Tree, Fault> {
        let mut tree = Tree::new(ROOM);
        for (path, bytes) in
            self.files.iter().filter(|(path, _)| scope.is_none_or(|scope| scope.contains(path)))
        {
            tree.put(path.as_str(), bytes)?;
        }
        if let Some(scope) = scope {
            tree.make_folders(scope.folder())?;
        }
        Ok(tree)
    }

    /// The extension's folder for a scope.
    pub(crate) fn state(&self, scope: Option<&Scope>) -> Tree {
        self.states.get(key(scope)).cloned().unwrap_or_else(|| Tree::new(ROOM))
    }

    pub(crate) fn keep_state(&mut self, scope: Option<&Scope>, state: Tree) {
        self.states.insert(key(scope).to_owned(), state);
    }

    /// Loses the extension's state, which may be gone at any time.
    pub fn forget_state(&mut self) {
        self.states.clear();
    }
}

fn key(scope: Option<&Scope>) -> &str {
    scope.map_or("", Scope::as_str)
}

/// Answers a guest's questions during a pull.
pub(crate) struct Incoming {
    scope: Option<Scope>,
    held: BTreeMap<CachePath, Digest>,
    deleted: Mutex<BTreeSet<CachePath>>,
}

impl Incoming {
    pub(crate) fn new(repository: &Repository, scope: Option<&Scope>) -> Self {
        let held = repository.files_in(scope);
        let held = held.iter().map(|(path, bytes)| (path.clone(), Digest::of(bytes))).collect();
        Self { scope: scope.cloned(), held, deleted: Mutex::default() }
    }

    fn asked(&self, path: &str) -> Option<CachePath> {
        CachePath::parse(path)
            .ok()
            .filter(|path| self.scope.as_ref().is_none_or(|scope| scope.contains(path)))
    }

    pub(crate) fn deleted(&self) -> BTreeSet<CachePath> {
        self.deleted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Pulling for Incoming {
    fn wants(&self, path: &str, digest: &str) -> bool {
        let (Some(path), Ok(digest)) = (self.asked(path), Digest::parse(digest)) else { return false };
        self.held.get(&path) != Some(&digest)
    }

    fn delete(&self, path: &str) -> bool {
        let Some(path) = self.asked(path).filter(|path| self.held.contains_key(path)) else { return false };
        self.deleted.lock().unwrap_or_else(PoisonError::into_inner).insert(path);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> CachePath {
        CachePath::parse(text).unwrap()
    }

    #[test]
    fn only_what_was_not_synced_is_a_change() {
        let mut repository = Repository::new();
        repository.write(&path("data/t/a/x"), "one");
        repository.write(&path("data/t/a/y"), "two");
        let changes = repository.changes(None);
        repository.mark_synced(&changes);
        assert_eq!(repository.changes(None), []);
        repository.write(&path("data/t/a/x"), "new");
        repository.delete(&path("data/t/a/y"));
        let base = |text: &str| Digest::of(text.as_bytes());
        let written = Change::Written {
            path: path("data/t/a/x"),
            size: 3,
            digest: base("new"),
            base: Some(base("one")),
        };
        let deleted = Change::Deleted { path: path("data/t/a/y"), base: base("two") };
        assert_eq!(repository.changes(None), [written, deleted]);
    }

    #[test]
    fn a_pull_does_not_overwrite_what_was_not_pushed() {
        let mut repository = Repository::new();
        repository.write(&path("data/t/a/x"), "mine");
        let brought = Files::from([(path("data/t/a/x"), Arc::new(b"theirs".to_vec()))]);
        repository.apply(&brought, &BTreeSet::new());
        assert_eq!(repository.files()[&path("data/t/a/x")].as_slice(), b"mine");
    }
}
