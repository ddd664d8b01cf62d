//! The locks that a session holds now, and whether it still does.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lockkeeper_locks::{Lease, LockKey, Loss, Proof};
use lockkeeper_names::{Root, Scope};
use lockkeeper_policy::LockName;
use lockkeeper_sandbox::Permit;

/// The locks that are held. Clones are of one session.
#[derive(Clone, Default)]
pub(super) struct Holds(Arc<Mutex<Vec<Held>>>);

struct Held {
    name: LockName,
    key: LockKey,
    id: String,
    number: Option<u64>,
    proof: Proof,
}

/// A lock that was held and isn't any more.
#[derive(Debug, Clone)]
pub struct LostLock {
    /// What was locked.
    pub key: LockKey,
    /// Why it is lost.
    pub loss: Loss,
}

impl Holds {
    /// Adds a lock, and watches over it.
    pub(super) fn add(&self, name: &LockName, lease: &Lease) {
        let (key, id, proof) = (lease.key().clone(), lease.id().to_owned(), lease.proof().clone());
        self.lock().push(Held { name: name.clone(), key, id, number: lease.fence(), proof });
    }

    /// Takes out a lock that is about to be given back.
    pub(super) fn remove(&self, lease: &Lease) {
        self.lock().retain(|held| held.id != lease.id());
    }

    /// The first lock that is lost, if one is.
    pub(super) fn lost(&self) -> Option<LostLock> {
        let held = self.lock();
        held.iter().find_map(|it| Some(LostLock { key: it.key.clone(), loss: it.proof.loss()? }))
    }

    /// Comes back when a lock is lost that is held now.
    pub(super) async fn until_lost(&self) -> LostLock {
        loop {
            if let Some(lost) = self.lost() {
                return lost;
            }
            let proofs: Vec<Proof> = self.lock().iter().map(|held| held.proof.clone()).collect();
            let each = proofs.iter().map(|proof| Box::pin(proof.lost()));
            if each.len() == 0 {
                return std::future::pending().await;
            }
            futures_util::future::select_all(each).await;
        }
    }

    /// The numbers of the locks that fence a push, the widest first: those of the scope if there is one, else that of the
    /// lock around the push, or of the whole.
    pub(super) fn numbers(&self, scope: Option<&Scope>, roots: &[Root]) -> Vec<u64> {
        let held = self.lock();
        let fences = held.iter().filter(|held| match (&held.name, scope) {
            (LockName::Repository, _) => true,
            (LockName::Sync, scope) => scope.is_none(),
            (LockName::Model(_), None) => false,
            (LockName::Model(model), Some(scope)) => {
                roots.iter().any(|root| scope.as_str().starts_with(Scope::new(root, model).as_str()))
            }
        });
        fences.filter_map(|held| held.number).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Held>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit for Holds {
    fn is_revoked(&self) -> bool {
        self.lost().is_some()
    }
}
