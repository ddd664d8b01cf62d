use std::collections::BTreeSet;
use std::sync::Arc;

use lockkeeper_changes::Change;
use lockkeeper_names::{CachePath, Scope};
use lockkeeper_sandbox::stepped::{
    Answered, Area, Clock, Directive, Endpoint, Injected, Mount, Next, Operation, ROOT, Running, SharedTree,
    Surroundings, Tree,
};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::repository::{Files, Incoming, Repository};
use crate::schedule::{Schedule, Strike, Turn};
use crate::subject::{Silent, Subject};
use crate::world::World;

/// How long a call may take in virtual time, in nanoseconds: half an hour.
const LONGEST: u64 = 30 * 60 * 1_000_000_000;
/// How much later the next run begins, in nanoseconds of virtual time: a command takes a moment to start.
const BETWEEN: u64 = 1_000_000_000;
/// How many operations a guest may do before another one gets a turn.
const PATIENCE: usize = 2_000;
/// How many operations all guests of a run may do.
const MOST_STEPS: usize = 200_000;

/// What a guest is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Errand {
    /// Push what changed.
    Push,
    /// Pull what is there.
    Pull,
}

/// One guest of a run: an instance that works for one repository.
#[derive(Debug, Clone)]
pub struct Actor {
    /// What it is to do.
    pub errand: Errand,
    /// The scope to pass.
    pub scope: Option<Scope>,
    /// The repository it works for.
    pub repository: Repository,
}

impl Actor {
    /// Pushes a repository's changes.
    pub fn push(repository: Repository, scope: Option<&Scope>) -> Self {
        Self { errand: Errand::Push, scope: scope.cloned(), repository }
    }

    /// Pulls into a repository.
    pub fn pull(repository: Repository, scope: Option<&Scope>) -> Self {
        Self { errand: Errand::Pull, scope: scope.cloned(), repository }
    }
}

/// One operation of a run.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Event {
    /// The guest that did it.
    pub guest: usize,
    /// What it did.
    pub operation: Operation,
}

/// How a guest of a run ended.
#[derive(Debug, Clone)]
pub struct End {
    /// What it answered, or why it didn't.
    pub result: Result<Answered, Failure>,
    /// Its repository afterwards.
    pub repository: Repository,
    /// What it had been given to push.
    pub changes: Arc<[Change]>,
    /// What it brought, if it pulled: files under its scope, whether or not it ended well.
    pub brought: Files,
    /// What it wrote outside of its scope, if it pulled: the host would drop it.
    pub strays: BTreeSet<String>,
    /// The files that it said the remote deleted.
    pub deleted: BTreeSet<CachePath>,
    /// How many instructions it took.
    pub instructions: u64,
}

/// What happened in a run.
#[derive(Debug, Clone)]
pub struct Run {
    /// Every operation on the remote and on state folders, in order.
    pub events: Vec<Event>,
    /// How each guest ended.
    pub ends: Vec<End>,
    /// The turns that were taken, each with the number of operations before it.
    pub turns: Vec<(Turn, usize)>,
}

enum Phase {
    NotBegun,
    Ready,
    Sleeping(u64),
    Stuck,
    Over(Result<Answered, Failure>),
}

/// A guest on its way.
struct Guest {
    running: Option<Running>,
    phase: Phase,
    scope: Option<Scope>,
    repository: Repository,
    changes: Arc<[Change]>,
    incoming: Option<(Arc<Incoming>, SharedTree)>,
    state: SharedTree,
    began: u64,
    outage: Option<Injected>,
}

/// Runs guests in a world, as the schedule says.
pub fn run(subject: &Subject, world: &mut World, actors: Vec<Actor>, schedule: &Schedule) -> Run {
    world.enter_namespace(subject, &actors, schedule);
    let clock = Clock::default();
    clock.advance_to(world.time);
    let folders: Vec<Arc<Mount>> = world.folders.iter().map(|folder| Arc::new(folder.share())).collect();
    let loses_power = schedule.0.iter().any(|turn| matches!(turn.strike, Some(Strike::PowerLoss(_))));
    let mut endpoints: Vec<Arc<dyn Endpoint>> = Vec::new();
    for (store, state) in &world.stores {
        store.restore(state);
        endpoints.push(store.clone());
    }
    if loses_power {
        folders.iter().for_each(|folder| folder.tree.lock().remember());
    }
    let mut stage = Stage {
        loses_power,
        subject,
        clock,
        folders,
        endpoints,
        config: match &world.namespace {
            Some(namespace) => namespace.configure(&subject.settings.config),
            None => subject.settings.config.clone(),
        },
        seed: world.next_seed(actors.len()),
        instructions: world.instructions,
        guests: Vec::new(),
        events: Vec::with_capacity(256),
        turns: Vec::new(),
    };
    for (number, actor) in actors.into_iter().enumerate() {
        let guest = stage.enter(number, actor);
        stage.guests.push(guest);
    }
    for turn in &schedule.0 {
        stage.take(*turn);
    }
    stage.finish();
    world.time = stage.clock.now().saturating_add(BETWEEN);
    for (folder, mount) in world.folders.iter_mut().zip(&stage.folders) {
        folder.tree = mount.tree.lock().clone();
        folder.tree.forget();
    }
    for (store, state) in &mut world.stores {
        *state = store.state();
    }
    let ends = stage.guests.into_iter().map(Guest::end).collect();
    Run { events: stage.events, ends, turns: stage.turns }
}

struct Stage<'a> {
    loses_power: bool,
    subject: &'a Subject,
    clock: Clock,
    folders: Vec<Arc<Mount>>,
    endpoints: Vec<Arc<dyn Endpoint>>,
    config: Vec<(String, String)>,
    seed: u64,
    instructions: u64,
    guests: Vec<Guest>,
    events: Vec<Event>,
    turns: Vec<(Turn, usize)>,
}

fn mount(tree: &SharedTree, root: u32, guest: String, writable: bool, watched: Option<Area>) -> Arc<Mount> {
    Arc::new(Mount { tree: tree.clone(), root, guest, writable, watched })
}

impl Stage<'_> {
    fn enter(&self, number: usize, actor: Actor) -> Guest {
        let Actor { errand, scope, repository } = actor;
        let changes: Arc<[Change]> = match errand {
            Errand::Push => repository.changes(scope.as_ref()).into(),
            Errand::Pull => Arc::default(),
        };
        let mut state = repository.state(scope.as_ref());
        if self.loses_power {
            state.remember();
        }
        let state = SharedTree::new(state);
        let mut mounts = self.folders.clone();
        mounts.push(mount(&state, ROOT, "/state".to_owned(), true, Some(Area::State)));
        let around = |mounts| Surroundings {
            config: self.config.clone(),
            mounts,
            endpoints: self.endpoints.clone(),
            servers: self.subject.settings.servers.clone(),
            clock: self.clock.clone(),
            seed: self.seed.wrapping_add(number as u64),
            fuel: self.instructions,
            events: Arc::new(Silent),
        };
        let mut incoming = None;
        let began: Result<Running, _> = match errand {
            Errand::Push => repository.cache(scope.as_ref()).map(|cache| {
                mounts.push(mount(&SharedTree::new(cache), ROOT, "/cache".to_owned(), false, None));
                self.subject.stepper.push(around(mounts), scope.as_ref(), changes.clone())
            }),
            Errand::Pull => {
                let mut staging = Tree::new(256 << 20);
                let folder = scope.as_ref().map(Scope::folder).unwrap_or_default().to_owned();
                staging.make_folders(&folder).map(|inner| {
                    let staging = SharedTree::new(staging);
                    mounts.push(mount(&staging, ROOT, "/cache".to_owned(), scope.is_none(), None));
                    if scope.is_some() {
                        mounts.push(mount(&staging, inner, format!("/cache/{folder}"), true, None));
                    }
                    let asked = Arc::new(Incoming::new(&repository, scope.as_ref()));
                    incoming = Some((asked.clone(), staging));
                    self.subject.stepper.pull(around(mounts), scope.as_ref(), asked)
                })
            }
        };
        let (running, phase) = match began {
            Ok(running) => (Some(running), Phase::NotBegun),
            Err(fault) => (None, Phase::Over(Err(Failure::Setup(fault.to_string())))),
        };
        Guest {
            running,
            phase,
            scope,
            repository,
            changes,
            incoming,
            state,
            began: self.clock.now(),
            outage: None,
        }
    }

    /// Gives a guest its turn; a guest that is not there or is done has none.
    fn take(&mut self, turn: Turn) {
        self.turns.push((turn, self.events.len()));
        self.go(turn.guest, turn.steps.unwrap_or(MOST_STEPS));
        let Some(guest) = self.guests.get_mut(turn.guest) else { return };
        match turn.strike {
            None => {}
            _ if matches!(guest.phase, Phase::Over(_))
                && !matches!(turn.strike, Some(Strike::PowerLoss(_))) => {}
            Some(Strike::Kill) => guest.kill(),
            Some(Strike::PowerLoss(loss)) => {
                guest.kill();
                guest.state.lock().lose_power(loss);
                for folder in &self.folders {
                    folder.tree.lock().lose_power(loss);
                }
            }
            Some(Strike::Tear) => {
                self.step(turn.guest, Directive::Tear);
                // However it took the half that failed: it was not there any more to say so.
                if let Some(guest) = self.guests.get_mut(turn.guest) {
                    guest.running = None;
                    guest.phase = Phase::Over(Err(Failure::Killed));
                }
            }
            Some(Strike::Fail(fault)) => {
                self.step(turn.guest, Directive::Fail(fault));
                self.go(turn.guest, MOST_STEPS);
            }
            Some(Strike::Outage(fault)) => {
                guest.outage = Some(fault);
                self.go(turn.guest, MOST_STEPS);
            }
        }
    }

    /// Lets a guest do so many operations, unless it is done or sleeps before. One that sleeps is woken up first.
    fn go(&mut self, number: usize, steps: usize) {
        if let Some(Phase::Sleeping(_)) = self.guests.get(number).map(|guest| &guest.phase) {
            self.wake(number);
        }
        if let Some(Phase::NotBegun) = self.guests.get(number).map(|guest| &guest.phase) {
            self.poll(number, Running::begin);
        }
        for _ in 0..steps {
            if !matches!(self.guests.get(number), Some(Guest { phase: Phase::Ready, .. }))
                || self.events.len() > MOST_STEPS
            {
                return;
            }
            self.step(number, Directive::Proceed);
        }
    }

    fn step(&mut self, number: usize, directive: Directive) {
        let Some(guest) = self.guests.get(number).filter(|guest| matches!(guest.phase, Phase::Ready)) else {
            return;
        };
        let directive = match guest.outage {
            Some(fault) => guest
                .running
                .as_ref()
                .filter(|running| {
                    running.waits_for(|operation| {
                        operation.is_some_and(|operation| operation.faults.contains(&fault))
                    })
                })
                .map_or(directive, |_| Directive::Fail(fault)),
            None => directive,
        };
        self.poll(number, |running| running.step(directive));
    }

    fn wake(&mut self, number: usize) {
        let Some(guest) = self.guests.get_mut(number) else { return };
        if let Phase::Sleeping(moment) = guest.phase {
            if moment.saturating_sub(guest.began) > LONGEST {
                guest.stop(Failure::Limit("time (30min of virtual time)".to_owned()));
                return;
            }
            self.clock.advance_to(moment);
            self.poll(number, Running::begin);
        }
    }

    fn poll(
        &mut self,
        number: usize,
        poll: impl FnOnce(&mut Running) -> lockkeeper_sandbox::stepped::Stepped,
    ) {
        let Some(guest) = self.guests.get_mut(number) else { return };
        let Some(running) = guest.running.as_mut() else { return };
        let stepped = poll(running);
        if let Some(operation) = stepped.performed {
            self.events.push(Event { guest: number, operation });
        }
        guest.phase = match stepped.next {
            Next::Ready => Phase::Ready,
            Next::Sleeping(moment) => Phase::Sleeping(moment),
            Next::Stuck => Phase::Stuck,
            Next::Over(Ok(answer)) => Phase::Over(Ok(answer)),
            Next::Over(Err(error)) => Phase::Over(Err(Failure::of(&error))),
        };
    }

    /// Lets all guests go on in order until they are done. Who sleeps wakes up when nobody else has anything to do.
    fn finish(&mut self) {
        loop {
            let mut busy = false;
            for number in 0..self.guests.len() {
                if matches!(
                    self.guests.get(number),
                    Some(Guest { phase: Phase::NotBegun | Phase::Ready, .. })
                ) {
                    busy = true;
                    self.turns.push((Turn::all(number), self.events.len()));
                    self.go(number, PATIENCE);
                }
            }
            if self.events.len() > MOST_STEPS {
                self.guests.iter_mut().for_each(|guest| guest.stop(Failure::NoProgress));
            }
            if busy {
                continue;
            }
            let sleeping = self.guests.iter().enumerate().filter_map(|(number, guest)| match guest.phase {
                Phase::Sleeping(moment) => Some((moment, number)),
                _ => None,
            });
            match sleeping.min() {
                Some((_, number)) => {
                    self.turns.push((Turn::all(number), self.events.len()));
                    self.wake(number);
                }
                None => break,
            }
        }
        self.guests.iter_mut().for_each(|guest| guest.stop(Failure::Stuck));
    }
}

impl Guest {
    fn kill(&mut self) {
        self.stop(Failure::Killed);
    }

    /// Ends a guest that is not done.
    fn stop(&mut self, why: Failure) {
        if !matches!(self.phase, Phase::Over(_)) {
            self.running = None;
            self.phase = Phase::Over(Err(why));
        }
    }

    fn end(mut self) -> End {
        let result = match self.phase {
            Phase::Over(result) => result,
            _ => Err(Failure::Stuck),
        };
        let instructions = self.running.take().map_or(0, |running| running.fuel_used());
        let scope = self.scope.as_ref();
        let mut state = self.state.lock().clone();
        state.forget();
        self.repository.keep_state(scope, state);
        let (mut brought, mut strays, mut deleted) = (Files::new(), BTreeSet::new(), BTreeSet::new());
        if let Some((incoming, staging)) = &self.incoming {
            for (path, bytes) in staging.lock().files(ROOT) {
                match CachePath::parse(&path) {
                    Ok(path) if scope.is_none_or(|scope| scope.contains(&path)) => {
                        brought.insert(path, bytes);
                    }
                    _ => {
                        strays.insert(path);
                    }
                }
            }
            deleted = incoming.deleted();
        }
        match &result {
            Ok(Answered::Pushed(_)) => self.repository.mark_synced(&self.changes),
            Ok(Answered::Pulled(_)) => self.repository.apply(&brought, &deleted),
            _ => {}
        }
        let Self { repository, changes, .. } = self;
        End { result, repository, changes, brought, strays, deleted, instructions }
    }
}
