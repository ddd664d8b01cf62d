//! Running one call of a guest step by step.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use lockkeeper_changes::Change;
use lockkeeper_names::Scope;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use wasmtime::{Config, Engine, Store, Trap};

use super::clock::{Clock, GuestClock};
use super::filesystem::Mount;
use super::gate::{Directive, Gate, Operation};
use super::http::{Answers, Endpoint};
use super::{clock, filesystem};
use crate::call::{Events, PullReport, PushReport, Setting};
use crate::denial::Denials;
use crate::engine::{component, linker, unloadable};
use crate::error::{CallError, ComponentError, LimitHit};
use crate::extension::{account, conclude, counted, limit};
use crate::grants::Grants;
use crate::guest::{Guest, Pulling, Work};
use crate::identity::Identity;
use crate::limits::Limits;
use crate::network::Network;
use crate::secret::Secrets;
use crate::since_v0_1_0::{Answer, Linked, Options};

/// What the interfaces of a stepped guest work on.
#[derive(Clone, Default)]
pub(crate) struct Stepping {
    pub(crate) clock: GuestClock,
    pub(crate) gate: Gate,
    pub(crate) mounts: Vec<Arc<Mount>>,
    pub(crate) denials: Denials,
    pub(crate) endpoints: Vec<Arc<dyn Endpoint>>,
    pub(crate) seed: u64,
}

impl Stepping {
    pub(crate) fn answers(&self) -> Answers {
        Answers {
            endpoints: self.endpoints.clone(),
            gate: self.gate.clone(),
            clock: self.clock.clone(),
            denials: self.denials.clone(),
        }
    }

    pub(crate) fn random(&self, stream: u64) -> SmallRng {
        SmallRng::seed_from_u64(self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(stream))
    }
}

/// An extension that can be run step by step.
pub struct Stepper {
    engine: Engine,
    identity: Arc<Identity>,
    linked: Arc<Linked>,
    limits: Limits,
    network: Network,
    /// Runs what the runtime's HTTP interface spawns; nothing in it waits for the system.
    tasks: Arc<Runtime>,
}

/// What surrounds one call.
#[derive(Clone)]
pub struct Surroundings {
    /// The values of `[datastore.config]`.
    pub config: Vec<(String, String)>,
    /// The folders that the guest sees, `/cache` and `/state` among them.
    pub mounts: Vec<Arc<Mount>>,
    /// What answers its HTTP requests.
    pub endpoints: Vec<Arc<dyn Endpoint>>,
    /// The time that it shares with others.
    pub clock: Clock,
    /// Where its random numbers, and the order in which its folders are listed, come from.
    pub seed: u64,
    /// How many instructions the call may take, about.
    pub fuel: u64,
    /// Hears log lines and progress.
    pub events: Arc<dyn Events>,
}

/// What a call came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answered {
    /// A push.
    Pushed(PushReport),
    /// A pull.
    Pulled(PullReport),
    /// Whether `scoped-sync` is promised; absent if the extension exports no `capabilities`.
    Declared(Option<bool>),
}

/// What a guest does after a step.
#[derive(Debug)]
pub enum Next {
    /// It waits for an operation to be granted: [`Running::waits_for`] says for which.
    Ready,
    /// It sleeps until this moment of virtual time.
    Sleeping(u64),
    /// It waits for something that nothing here will ever bring.
    Stuck,
    /// The call is over.
    Over(Result<Answered, CallError>),
}

/// What one step did.
#[derive(Debug)]
pub struct Stepped {
    /// The operation that was carried out, or failed.
    pub performed: Option<Operation>,
    /// What comes next.
    pub next: Next,
}

/// Makes the call itself.
type Run = Box<
    dyn for<'a> FnOnce(
            &'a Linked,
            &'a mut Store<Guest>,
        ) -> Pin<Box<dyn Future<Output = Answer<Answered>> + Send + 'a>>
        + Send,
>;

/// A call that goes on only when it is told to. To drop it is to kill the guest at that instant.
pub struct Running {
    future: Pin<Box<dyn Future<Output = Result<Answered, CallError>> + Send>>,
    gate: Gate,
    used: Arc<Mutex<u64>>,
    /// Absent if nothing is ever spawned.
    tasks: Option<Arc<Runtime>>,
}

impl Stepper {
    /// Loads an extension that was [inspected](crate::inspect). Compiled code is kept in the folder `compiled`, if there is one.
    pub fn load(
        identity: &Identity,
        bytes: &[u8],
        limits: &Limits,
        compiled: Option<&Path>,
    ) -> Result<Self, ComponentError> {
        let failed = |error: wasmtime::Error| ComponentError::Engine { problem: format!("{error:#}") };
        let mut config = Config::new();
        let stack = usize::try_from(limits.stack.0).unwrap_or(usize::MAX / 4);
        config.consume_fuel(true);
        config.max_wasm_stack(stack);
        config.async_stack_size(stack.saturating_add(1 << 20));
        let engine = Engine::new(&config).map_err(failed)?;
        let mut linker = linker(&engine).map_err(failed)?;
        // What decides over order, time and files is put in place of what asks the system.
        linker.allow_shadowing(true);
        clock::add_to_linker(&mut linker).map_err(failed)?;
        filesystem::add_to_linker(&mut linker).map_err(failed)?;

        let (component, _) = component(&engine, compiled, bytes, &identity.digest)?;
        let pre = linker.instantiate_pre(&component).map_err(unloadable)?;
        let linked = Linked::new(pre, identity.exports_capabilities).map_err(unloadable)?;
        let tasks = tokio::runtime::Builder::new_current_thread()
            .build()
            .map_err(|error| ComponentError::Engine { problem: error.to_string() })?;
        Ok(Self {
            engine,
            identity: Arc::new(identity.clone()),
            linked: Arc::new(linked),
            limits: limits.clone(),
            network: Network::default(),
            tasks: Arc::new(tasks),
        })
    }

    /// Who the extension is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Begins to ask for the extension's promises.
    pub fn capabilities(&self, around: Surroundings) -> Running {
        self.start(
            "capabilities",
            around,
            Work::Ask,
            Box::new(|linked, store| {
                Box::pin(async { Ok(Ok(Answered::Declared(linked.scoped_sync(store).await?))) })
            }),
        )
    }

    /// Begins a push. A report that doesn't account for each change is an error.
    pub fn push(&self, around: Surroundings, scope: Option<&Scope>, changes: Arc<[Change]>) -> Running {
        let (written, deleted) = counted(&changes);
        let scope = scope.map(ToString::to_string);
        let work = Work::Push { changes, next: 0 };
        let identity = self.identity.clone();
        let mut running = self.start(
            "push",
            around,
            work,
            Box::new(move |linked, store| {
                Box::pin(async move {
                    let answer = linked.push(store, Options { scope, written, deleted, fence: None }).await?;
                    Ok(answer.map(Answered::Pushed))
                })
            }),
        );
        let pushing = running.future;
        running.future = Box::pin(async move {
            match pushing.await? {
                Answered::Pushed(report) => {
                    account(&identity, report, written, deleted).map(Answered::Pushed)
                }
                other => Ok(other),
            }
        });
        running
    }

    /// Begins a pull.
    pub fn pull(&self, around: Surroundings, scope: Option<&Scope>, pulling: Arc<dyn Pulling>) -> Running {
        let scope = scope.map(ToString::to_string);
        let work = Work::Pull { incoming: pulling, deletions: 0 };
        self.start(
            "pull",
            around,
            work,
            Box::new(move |linked, store| {
                Box::pin(async move { Ok(linked.pull(store, scope).await?.map(Answered::Pulled)) })
            }),
        )
    }

    fn start(&self, name: &'static str, around: Surroundings, work: Work, run: Run) -> Running {
        let denials = Denials::default();
        let gate = Gate::default();
        let asks = !around.endpoints.is_empty();
        let stepping = Stepping {
            clock: GuestClock::new(around.clock),
            gate: gate.clone(),
            mounts: around.mounts,
            denials: denials.clone(),
            endpoints: around.endpoints,
            seed: around.seed,
        };
        let setting = Setting {
            config: around.config,
            secrets: Secrets::default(),
            grants: Grants::default(),
            network: self.network.clone(),
            limits: self.limits.clone(),
            events: around.events,
            stop: CancellationToken::new(),
            permit: Arc::new(()),
        };
        let guest = Guest::stepping(&setting, work, stepping);
        let (linked, identity, fuel) = (self.linked.clone(), self.identity.clone(), around.fuel);
        let mut store = Store::new(&self.engine, guest);
        let used = Arc::new(Mutex::new(0));
        let spent = used.clone();
        let last = gate.clone();
        let future = Box::pin(async move {
            store.limiter(|guest| &mut guest.limiter);
            let answer = match store.set_fuel(fuel) {
                Ok(()) => run(&linked, &mut store).await,
                Err(error) => Err(error),
            };
            *spent.lock().unwrap_or_else(PoisonError::into_inner) =
                fuel.saturating_sub(store.get_fuel().unwrap_or_default());
            if let Err(error) = &answer
                && error.downcast_ref::<Trap>() == Some(&Trap::OutOfFuel)
            {
                let hit = LimitHit { option: "time", limit: format!("{fuel} instructions") };
                return Err(limit(&identity, name, hit));
            }
            conclude(&identity, name, answer, store.data_mut(), &denials, last.last())
        });
        let tasks = asks.then(|| self.tasks.clone());
        Running { future, gate, used, tasks }
    }
}

impl Running {
    /// Runs the guest up to its first operation.
    pub fn begin(&mut self) -> Stepped {
        self.poll()
    }

    /// The operation that the guest waits to do.
    pub fn waits_for<R>(&self, read: impl FnOnce(Option<&Operation>) -> R) -> R {
        self.gate.waiting(read)
    }

    /// Lets the guest do the operation that it waits for, or makes that fail, and runs it up to the next one.
    pub fn step(&mut self, directive: Directive) -> Stepped {
        self.gate.grant(directive);
        self.poll()
    }

    /// How many instructions the call took; known once it is over.
    pub fn fuel_used(&self) -> u64 {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn poll(&mut self) -> Stepped {
        self.gate.awaken();
        let polled = match self.tasks.clone() {
            None => self.future.as_mut().poll(&mut Context::from_waker(Waker::noop())),
            Some(tasks) => tasks.block_on(self.poll_with_tasks()),
        };
        let (performed, ready, sleeping) = self.gate.look();
        let next = match polled {
            Poll::Ready(answer) => Next::Over(answer),
            Poll::Pending if ready => Next::Ready,
            Poll::Pending => sleeping.map_or(Next::Stuck, Next::Sleeping),
        };
        Stepped { performed, next }
    }

    /// Polls the guest, and what it spawned, until neither gets any further.
    async fn poll_with_tasks(&mut self) -> Poll<Result<Answered, CallError>> {
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(woken.clone());
        let mut idle = 0;
        loop {
            let polled = self.future.as_mut().poll(&mut Context::from_waker(&waker));
            if polled.is_ready() || self.gate.is_shut() {
                return polled;
            }
            tokio::task::yield_now().await;
            idle = if woken.0.swap(false, Ordering::Relaxed) { 0 } else { idle + 1 };
            if idle > IDLE {
                return polled;
            }
        }
    }
}

/// How often what was spawned gets a turn before nothing more is expected of it.
const IDLE: u32 = 16;

/// Whether somebody asked for the guest to be polled.
#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}
