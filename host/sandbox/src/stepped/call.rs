//! Running one call of a guest step by step.

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use lockkeeper_changes::Change;
use lockkeeper_names::Scope;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use tokio::runtime::Runtime;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use wasmtime::{Config, Enabled, Engine, PoolingAllocationConfig, Store, Trap};

use super::clock::{Clock, GuestClock};
use super::filesystem::Mount;
use super::gate::{Directive, Gate, Operation};
use super::http::{Answers, Endpoint};
use super::sockets::Servers;
use super::{clock, connection, filesystem, sockets};
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
    pub(crate) servers: Servers,
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

/// How many memories, tables and stacks there are for all calls that are under way, each. They take room for addresses only.
const SLOTS: u32 = 64;
/// How many of them one component may have: many calls at once have to fit.
const SLOTS_OF_ONE: u32 = 8;
/// How much of a slot is kept for the next call, in bytes, with what was written to it undone.
const KEPT: usize = 16 << 20;

/// Memory, tables and stacks that one call after the other uses: to map and unmap them each time takes longer than a call.
fn reused(limits: &Limits) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_memories(SLOTS)
        .total_tables(SLOTS)
        .total_stacks(SLOTS)
        .total_core_instances(limits.instances.saturating_mul(SLOTS))
        .max_memories_per_component(SLOTS_OF_ONE)
        .max_tables_per_component(SLOTS_OF_ONE)
        .table_elements(usize::try_from(limits.table_elements).unwrap_or(usize::MAX))
        .linear_memory_keep_resident(KEPT)
        .table_keep_resident(KEPT)
        .pagemap_scan(Enabled::Auto);
    pool
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
    /// Runs connections to real servers.
    connected: Arc<Runtime>,
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
    /// The servers, outside of this process, that it may connect to.
    pub servers: Vec<SocketAddr>,
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
    /// Dropped after the guest: nobody goes on before its servers have noticed that it is gone.
    servers: Ending,
}

impl Stepper {
    /// Loads an extension that was [inspected](crate::inspect). Compiled code is kept in the folder `compiled`, if there is one.
    pub fn load(
        identity: &Identity,
        bytes: &[u8],
        limits: &Limits,
        compiled: Option<&Path>,
    ) -> Result<Self, ComponentError> {
        let mut config = Config::new();
        let stack = usize::try_from(limits.stack.0).unwrap_or(usize::MAX / 4);
        config.consume_fuel(true);
        config.max_wasm_stack(stack);
        config.async_stack_size(stack.saturating_add(1 << 20));
        let on_demand = config.clone();
        config.allocation_strategy(reused(limits));
        // A component that does not fit gets new memory for each call, which is slower.
        Self::on(&config, identity, bytes, limits, compiled)
            .or_else(|_| Self::on(&on_demand, identity, bytes, limits, compiled))
    }

    fn on(
        config: &Config,
        identity: &Identity,
        bytes: &[u8],
        limits: &Limits,
        compiled: Option<&Path>,
    ) -> Result<Self, ComponentError> {
        let failed = |error: wasmtime::Error| ComponentError::Engine { problem: format!("{error:#}") };
        let engine = Engine::new(config).map_err(failed)?;
        let mut linker = linker(&engine).map_err(failed)?;
        // What decides over order, time and files is put in place of what asks the system.
        linker.allow_shadowing(true);
        clock::add_to_linker(&mut linker).map_err(failed)?;
        filesystem::add_to_linker(&mut linker).map_err(failed)?;
        sockets::add_to_linker(&mut linker).map_err(failed)?;

        let (component, _) = component(&engine, compiled, &identity.digest, || Ok(bytes.into()))?;
        let pre = linker.instantiate_pre(&component).map_err(unloadable)?;
        let linked = Linked::new(pre, identity.exports_capabilities).map_err(unloadable)?;
        let runtime = |builder: &mut tokio::runtime::Builder| {
            let built = builder.build().map(Arc::new);
            built.map_err(|error| ComponentError::Engine { problem: error.to_string() })
        };
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let (tasks, connected) = (runtime(&mut builder)?, runtime(builder.enable_all())?);
        Ok(Self {
            engine,
            identity: Arc::new(identity.clone()),
            linked: Arc::new(linked),
            limits: limits.clone(),
            network: Network::default(),
            tasks,
            connected,
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
        let servers = Servers::new(&around.servers);
        let tasks = match (around.servers.is_empty(), around.endpoints.is_empty()) {
            (false, _) => Some(self.connected.clone()),
            (true, false) => Some(self.tasks.clone()),
            (true, true) => None,
        };
        let stepping = Stepping {
            clock: GuestClock::new(around.clock),
            gate: gate.clone(),
            mounts: around.mounts,
            denials: denials.clone(),
            endpoints: around.endpoints,
            servers: servers.clone(),
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
        Running { future, gate, used, tasks, servers: Ending(servers) }
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
            Poll::Ready(answer) => {
                self.servers.0.close();
                Next::Over(answer)
            }
            Poll::Pending if ready => Next::Ready,
            Poll::Pending => sleeping.map_or(Next::Stuck, Next::Sleeping),
        };
        Stepped { performed, next }
    }

    /// Polls the guest, and what it spawned, until neither gets any further.
    async fn poll_with_tasks(&mut self) -> Poll<Result<Answered, CallError>> {
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(woken.clone());
        let began = Instant::now();
        let mut idle = 0;
        loop {
            let polled = self.future.as_mut().poll(&mut Context::from_waker(&waker));
            if polled.is_ready() || self.gate.is_shut() {
                return polled;
            }
            tokio::task::yield_now().await;
            idle = if woken.is_set.swap(false, Ordering::Relaxed) { 0 } else { idle + 1 };
            if idle > IDLE {
                let left = connection::PATIENCE.saturating_sub(began.elapsed());
                if !self.gate.is_listening()
                    || tokio::time::timeout(left, woken.again.notified()).await.is_err()
                {
                    return polled;
                }
                idle = 0;
            }
        }
    }
}

/// Closes connections in the end.
struct Ending(Servers);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// How often what was spawned gets a turn before nothing more is expected of it.
const IDLE: u32 = 16;

/// Whether somebody asked for the guest to be polled.
#[derive(Default)]
struct Woken {
    is_set: AtomicBool,
    again: Notify,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.is_set.store(true, Ordering::Relaxed);
        self.again.notify_one();
    }
}
