//! Places of their own on real servers, which can't be copied as what is in memory can.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use crate::run::{Actor, Errand, run};
use crate::schedule::Schedule;
use crate::subject::Subject;
use crate::world::World;

/// What stands for the name of a namespace in a configuration.
pub(crate) const PLACEHOLDER: &str = "{namespace}";

/// A place on real servers, and how it came to hold what it holds. To copy it is to do the same again, elsewhere.
#[derive(Debug, Clone)]
pub(crate) struct Namespace {
    /// Shared by the copies of a world, until one of them changes something.
    name: Arc<str>,
    past: Vec<Past>,
}

/// A run that may have changed something.
#[derive(Debug, Clone)]
struct Past {
    actors: Vec<Actor>,
    schedule: Schedule,
    time: u64,
    calls: u64,
    instructions: u64,
}

impl Namespace {
    /// An empty one. Its name has letters and digits, always as many, and no other check has it.
    pub(crate) fn new() -> Self {
        static CHECK: LazyLock<u64> = LazyLock::new(|| RandomState::new().build_hasher().finish());
        static LAST: AtomicU64 = AtomicU64::new(0);
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        let name = format!("check{:08x}{number:06x}", *CHECK >> 32);
        Self { name: name.into(), past: Vec::new() }
    }

    /// A configuration that leads there.
    pub(crate) fn configure(&self, config: &[(String, String)]) -> Vec<(String, String)> {
        config.iter().map(|(key, value)| (key.clone(), value.replace(PLACEHOLDER, &self.name))).collect()
    }

    /// What tells it from all others, and from itself before its last run.
    pub(crate) fn version(&self) -> (&str, usize) {
        (&self.name, self.past.len())
    }
}

impl World {
    /// Before a run: if other worlds look at the same namespace, this one gets one of its own. Who only pulls is a reader like
    /// any other, and leaves it as it is.
    pub(crate) fn enter_namespace(&mut self, subject: &Subject, actors: &[Actor], schedule: &Schedule) {
        if self.namespace.is_none() || actors.iter().all(|actor| actor.errand == Errand::Pull) {
            return;
        }
        if self.namespace.as_ref().is_some_and(|shared| Arc::strong_count(&shared.name) > 1) {
            self.move_to_another(subject);
        }
        let (time, calls, instructions) = (self.time, self.calls, self.instructions);
        if let Some(namespace) = &mut self.namespace {
            let (actors, schedule) = (actors.to_vec(), schedule.clone());
            namespace.past.push(Past { actors, schedule, time, calls, instructions });
        }
    }

    /// Does all that was done in its namespace again in a new one.
    fn move_to_another(&mut self, subject: &Subject) {
        let mut moved = self.clone();
        let past = moved.namespace.replace(Namespace::new()).map(|former| former.past).unwrap_or_default();
        for Past { actors, schedule, time, calls, instructions } in past {
            (moved.time, moved.calls, moved.instructions) = (time, calls, instructions);
            run(subject, &mut moved, actors, &schedule);
        }
        (moved.time, moved.calls, moved.instructions) = (self.time, self.calls, self.instructions);
        *self = moved;
    }
}
