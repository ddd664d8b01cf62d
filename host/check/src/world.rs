use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use lockkeeper_names::Scope;
use lockkeeper_sandbox::stepped::{Area, Mount, ROOT, SharedTree, Tree};

use crate::namespace::Namespace;
use crate::repository::Repository;
use crate::run::{Actor, End, run};
use crate::schedule::Schedule;
use crate::store::{Live, State};
use crate::subject::Subject;

/// Room for each folder of the remote, in bytes.
const ROOM: u64 = 256 << 20;

/// A folder of the remote.
#[derive(Debug, Clone)]
pub struct Folder {
    /// Where guests see it.
    pub guest: String,
    /// Whether they may write to it.
    pub writable: bool,
    /// What is in it.
    pub tree: Tree,
}

impl Folder {
    pub(crate) fn share(&self) -> Mount {
        let tree = SharedTree::new(self.tree.clone());
        let (guest, writable) = (self.guest.clone(), self.writable);
        Mount { tree, root: ROOT, guest, writable, watched: Some(Area::Remote) }
    }
}

/// A remote: in memory, but for real servers. A clone of it is a world of its own.
#[derive(Clone)]
pub struct World {
    /// The folders that were granted.
    pub folders: Vec<Folder>,
    pub(crate) stores: Vec<(Arc<Live>, State)>,
    /// Its place on real servers, if there are any.
    pub(crate) namespace: Option<Namespace>,
    pub(crate) time: u64,
    seed: u64,
    pub(crate) calls: u64,
    /// How many instructions each call may take, about.
    pub instructions: u64,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World").field("folders", &self.folders).finish_non_exhaustive()
    }
}

impl World {
    /// An empty remote for what a subject is granted. The seed decides random numbers and the order of folders.
    pub fn new(subject: &Subject, seed: u64) -> Self {
        let grants = subject.settings().folders.iter();
        let folders = grants.map(|grant| Folder {
            guest: grant.guest.clone(),
            writable: grant.writable,
            tree: Tree::new(ROOM),
        });
        let instructions = subject.settings().instructions;
        let stores = subject.stores.iter().map(|(store, empty)| (store.clone(), empty.clone())).collect();
        let namespace = (!subject.settings().servers.is_empty()).then(Namespace::new);
        Self { folders: folders.collect(), stores, namespace, time: 0, seed, calls: 0, instructions }
    }

    pub(crate) fn next_seed(&mut self, calls: usize) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.seed, self.calls).hash(&mut hasher);
        self.calls += calls as u64;
        hasher.finish()
    }

    /// A hash of everything in the remote. What is on a real server is equal to nothing but itself.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for folder in &self.folders {
            (&folder.guest, folder.tree.fingerprint()).hash(&mut hasher);
        }
        for (store, state) in &self.stores {
            store.fingerprint(state, &mut hasher);
        }
        self.namespace.as_ref().map(Namespace::version).hash(&mut hasher);
        hasher.finish()
    }

    /// Pushes what changed in a repository, alone and to the end.
    pub fn push(
        &mut self,
        subject: &Subject,
        repository: &mut Repository,
        scope: Option<&Scope>,
    ) -> Option<End> {
        self.alone(subject, repository, |repository| Actor::push(repository, scope))
    }

    /// Pulls into a repository, alone and to the end.
    pub fn pull(
        &mut self,
        subject: &Subject,
        repository: &mut Repository,
        scope: Option<&Scope>,
    ) -> Option<End> {
        self.alone(subject, repository, |repository| Actor::pull(repository, scope))
    }

    fn alone(
        &mut self,
        subject: &Subject,
        repository: &mut Repository,
        actor: impl FnOnce(Repository) -> Actor,
    ) -> Option<End> {
        let actor = actor(std::mem::take(repository));
        let end = run(subject, self, vec![actor], &Schedule::default()).ends.pop()?;
        *repository = end.repository.clone();
        Some(end)
    }
}
