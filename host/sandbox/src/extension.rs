use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use lockkeeper_changes::Change;
use tokio::runtime::Handle;
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;
use tracing::Dispatch;
use tracing::instrument::WithSubscriber;
use wasmtime::component::ResourceTableError;
use wasmtime::{CallHook, Engine, Store, Trap, UpdateDeadline, WasmBacktrace};

use crate::call::{Permit, PullReport, Pulled, PushReport, Pushed, Setting};
use crate::denial::Denials;
use crate::error::{CallError, GuestError, LimitHit};
use crate::guest::Guest;
use crate::identity::Identity;
use crate::index::Indexed;
use crate::since_v0_1_0::{Answer, Linked, Options};
use crate::trace::{HostCalls, Watcher};
use crate::trouble::Trouble;

/// How often a permit is looked at while nothing happens.
const LOOK: Duration = Duration::from_millis(100);

/// How long a guest that was asked to stop may take to clean up.
const GRACE: Duration = Duration::from_secs(5);

/// How long a guest whose call is over may take to notice.
const HANGS: Duration = Duration::from_secs(1);

/// A loaded extension.
pub struct Extension {
    engine: Engine,
    /// Keeps the engine's clock going, without which a guest that computes for ever is never stopped.
    ticker: Arc<()>,
    identity: Identity,
    linked: Arc<Linked>,
}

/// What came of asking an extension for its capabilities.
#[derive(Debug)]
pub enum Declared {
    /// It answered.
    Flags {
        /// Whether it promises `scoped-sync`.
        scoped_sync: bool,
    },
    /// It exports no `capabilities`: it gets the default policy.
    Absent,
    /// It failed to answer: it gets the default policy, and the user a warning.
    Failed(CallError),
}

impl Declared {
    /// Whether the extension promises `scoped-sync`.
    pub fn scoped_sync(&self) -> bool {
        matches!(self, Self::Flags { scoped_sync: true })
    }
}

impl Extension {
    pub(crate) fn new(engine: Engine, ticker: Arc<()>, identity: Identity, linked: Linked) -> Self {
        Self { engine, ticker, identity, linked: Arc::new(linked) }
    }

    /// Who the extension is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Asks the extension what it promises.
    pub async fn capabilities(&self, setting: &Setting) -> Declared {
        let denials = Denials::default();
        let asked = async {
            let guest = Guest::asked(setting, &denials).map_err(|error| setup("capabilities", &error))?;
            self.call("capabilities", guest, &denials, async |linked, store| {
                Ok(Ok(linked.scoped_sync(store).await?))
            })
            .await
        };
        match asked.await {
            Ok(Some(scoped_sync)) => Declared::Flags { scoped_sync },
            Ok(None) => Declared::Absent,
            Err(error) => Declared::Failed(error),
        }
    }

    /// Instantiates the extension and returns how long that took.
    pub async fn instantiate(&self, setting: &Setting) -> Result<Duration, CallError> {
        let denials = Denials::default();
        let guest = Guest::asked(setting, &denials).map_err(|error| setup("instantiate", &error))?;
        let started = Instant::now();
        self.call("instantiate", guest, &denials, async |linked, store| {
            Ok(Ok(linked.instantiate(store).await?))
        })
        .await?;
        Ok(started.elapsed())
    }

    /// Pushes. A report that doesn't account for each change is an error.
    pub async fn push(&self, setting: &Setting, pushed: &Pushed) -> Result<PushReport, CallError> {
        let denials = Denials::default();
        let guest = Guest::pushing(setting, &denials, pushed).map_err(|error| setup("push", &error))?;
        let (written, deleted) = counted(&pushed.changes);
        let scope = pushed.scope.as_ref().map(ToString::to_string);
        let options = Options { scope, written, deleted, fence: pushed.fence };
        let push = async move |linked: &Linked, store: &mut _| linked.push(store, options).await;
        let report = self.call("push", guest, &denials, push).await?;
        account(&self.identity, report, written, deleted)
    }

    /// Pulls into the given empty folder.
    pub async fn pull(&self, setting: &Setting, pulled: &Pulled) -> Result<PullReport, CallError> {
        let denials = Denials::default();
        let guest = Guest::pulling(setting, &denials, pulled).map_err(|error| setup("pull", &error))?;
        let scope = pulled.scope.as_ref().map(ToString::to_string);
        let pull = async move |linked: &Linked, store: &mut _| linked.pull(store, scope).await;
        self.call("pull", guest, &denials, pull).await
    }

    /// Does something with the index that the extension keeps in its remote.
    pub async fn index(&self, setting: &Setting, indexed: Indexed) -> Result<(), CallError> {
        if !self.linked.has_index() {
            return Err(CallError::NoIndex { extension: self.boxed() });
        }
        let (name, denials) = (indexed.action.name(), Denials::default());
        let guest = Guest::indexing(setting, &denials, &indexed).map_err(|error| setup(name, &error))?;
        let index = async move |linked: &Linked, store: &mut _| linked.index(store, &indexed).await;
        self.call(name, guest, &denials, index).await
    }

    /// Runs one call, and keeps what the guest was told in confidence out of its failure.
    async fn call<T: Send + 'static>(
        &self,
        name: &'static str,
        guest: Guest,
        denials: &Denials,
        run: impl AsyncFnOnce(&Linked, &mut Store<Guest>) -> Answer<T> + Send + 'static,
    ) -> Result<T, CallError> {
        let secrets = guest.setting.secrets.clone();
        self.bounded(name, guest, denials, run).await.map_err(|error| error.without(&secrets))
    }

    /// Runs one call until it ends, is asked to stop, or runs out of time.
    async fn bounded<T: Send + 'static>(
        &self,
        name: &'static str,
        guest: Guest,
        denials: &Denials,
        run: impl AsyncFnOnce(&Linked, &mut Store<Guest>) -> Answer<T> + Send + 'static,
    ) -> Result<T, CallError> {
        let (stop, time) = (guest.setting.stop.clone(), guest.setting.limits.time);
        let over = CancellationToken::new();
        // Whoever drops this future ends the guest.
        let _ends = over.clone().drop_guard();
        let mut running = self.start(name, guest, denials.clone(), over.clone(), run);
        let stopped = async {
            stop.cancelled().await;
            tokio::time::sleep(GRACE).await;
        };
        let ended = tokio::select! {
            biased;
            answer = &mut running => return match answer.map_err(JoinError::try_into_panic) {
                Ok(answer) => answer,
                Err(Ok(panic)) => std::panic::resume_unwind(panic),
                // The runtime shuts down.
                Err(Err(_)) => Err(CallError::Stopped { extension: self.boxed(), call: name }),
            },
            () = tokio::time::sleep(time) => {
                self.limit(name, LimitHit { option: "time", limit: format!("{time:?}") })
            }
            () = stopped => CallError::Stopped { extension: self.boxed(), call: name },
        };
        over.cancel();
        // Unless it hangs in an operation of the system, after which it does nothing more.
        _ = tokio::time::timeout(HANGS, running).await;
        Err(ended)
    }

    /// Lets a guest run on a thread of its own, in a fresh store, until its call ends or it may not go on.
    ///
    /// Its file operations need no other thread, which saves most of their time where files are small.
    fn start<T: Send + 'static>(
        &self,
        name: &'static str,
        guest: Guest,
        denials: Denials,
        over: CancellationToken,
        run: impl AsyncFnOnce(&Linked, &mut Store<Guest>) -> Answer<T> + Send + 'static,
    ) -> JoinHandle<Result<T, CallError>> {
        let (engine, linked, identity) = (self.engine.clone(), self.linked.clone(), self.identity.clone());
        let ticker = self.ticker.clone();
        tokio::task::spawn_blocking(move || {
            let _ticker = ticker;
            let revoked = || CallError::Revoked { extension: Box::new(identity.clone()), call: name };
            let leave = Leave { permit: guest.setting.permit.clone(), over };
            let mut store = Store::new(&engine, guest);
            store.limiter(|guest| &mut guest.limiter);
            store.set_epoch_deadline(1);
            store.epoch_deadline_callback(|_| Ok(UpdateDeadline::Yield(1)));
            let asked = leave.clone();
            store.call_hook(move |_, hook| match hook {
                CallHook::CallingHost if !asked.is_given() => Err(wasmtime::Error::new(Gone)),
                _ => Ok(()),
            });

            let host_calls = HostCalls::default();
            let watcher = Dispatch::new(Watcher::new(host_calls.clone(), denials.clone()));
            Handle::current().block_on(async {
                let answer = tokio::select! {
                    // In this order, so that a guest is never let run on without leave.
                    biased;
                    () = leave.ends() => return Err(revoked()),
                    answer = run(&linked, &mut store).with_subscriber(watcher) => answer,
                };
                if answer.as_ref().is_err_and(|error| error.is::<Gone>()) {
                    return Err(revoked());
                }
                conclude(&identity, name, answer, store.data_mut(), &denials, host_calls.last())
            })
        })
    }

    fn limit(&self, call: &'static str, hit: LimitHit) -> CallError {
        limit(&self.identity, call, hit)
    }

    fn boxed(&self) -> Box<Identity> {
        Box::new(self.identity.clone())
    }
}

/// Why a guest that called the host got no answer.
#[derive(Debug, thiserror::Error)]
#[error("the call may not go on")]
struct Gone;

/// What lets a guest go on: its permit, as long as somebody waits for its call.
#[derive(Clone)]
struct Leave {
    permit: Arc<dyn Permit>,
    over: CancellationToken,
}

impl Leave {
    fn is_given(&self) -> bool {
        !self.over.is_cancelled() && !self.permit.is_revoked()
    }

    /// Comes back when it is no longer given. Asks each time that anything happens, and now and then.
    async fn ends(&self) {
        let mut look = tokio::time::interval(LOOK);
        let mut over = pin!(self.over.cancelled());
        std::future::poll_fn(|context| {
            while look.poll_tick(context).is_ready() {}
            _ = over.as_mut().poll(context);
            if self.is_given() { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
    }
}

/// Turns the runtime's answer to a call into the host's.
pub(crate) fn conclude<T>(
    identity: &Identity,
    call: &'static str,
    answer: Answer<T>,
    guest: &mut Guest,
    denials: &Denials,
    host_call: Option<String>,
) -> Result<T, CallError> {
    let extension = || Box::new(identity.clone());
    let (denials, troubles) = (denials.take(), denials.take_troubles());
    // What the remote itself said is the guest's to report.
    let (verdicts, troubles): (Vec<_>, Vec<_>) = troubles.into_iter().partition(Trouble::is_verdict);
    match answer {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error @ (GuestError::Conflict(_) | GuestError::Fenced(_)))) => {
            Err(CallError::Reported { extension: extension(), call, error, troubles: verdicts })
        }
        Ok(Err(error)) if denials.is_empty() && troubles.is_empty() => {
            Err(CallError::Reported { extension: extension(), call, error, troubles: verdicts })
        }
        Ok(Err(error)) if denials.is_empty() => {
            let reported = Some(error.to_string());
            Err(CallError::Hindered { extension: extension(), call, troubles, reported })
        }
        Ok(Err(error)) => {
            let reported = Some(error.to_string());
            Err(CallError::Denied { extension: extension(), call, denials, reported })
        }
        Err(error) => {
            let limits = &guest.setting.limits;
            let overflow = error.downcast_ref::<Trap>() == Some(&Trap::StackOverflow);
            let stack = || LimitHit { option: "stack", limit: limits.stack.to_string() };
            // The runtime counts instances, tables and memories itself and has no error type for it.
            let crowded = error.root_cause().to_string().starts_with("resource limit exceeded");
            let instances = || LimitHit { option: "instances", limit: limits.instances.to_string() };
            let full = matches!(error.downcast_ref(), Some(ResourceTableError::Full));
            let resources = || LimitHit { option: "resources", limit: limits.resources.to_string() };
            let hit = guest.limiter.hit.clone().or_else(|| full.then(resources));
            let hit = hit.or_else(|| overflow.then(stack)).or_else(|| crowded.then(instances));
            Err(trapped(identity, call, &error, hit, (denials, troubles), host_call))
        }
    }
}

/// Says why the runtime ended the call: a limit first, then what the host refused or could not do, else the trap itself.
fn trapped(
    identity: &Identity,
    call: &'static str,
    error: &wasmtime::Error,
    hit: Option<LimitHit>,
    (denials, troubles): (Vec<crate::Denial>, Vec<Trouble>),
    host_call: Option<String>,
) -> CallError {
    if let Some(hit) = error.downcast_ref::<LimitHit>().cloned().or(hit) {
        return limit(identity, call, hit);
    }
    let extension = Box::new(identity.clone());
    let cause = error.root_cause().to_string();
    if !denials.is_empty() {
        return CallError::Denied { extension, call, denials, reported: Some(cause) };
    }
    if !troubles.is_empty() {
        return CallError::Hindered { extension, call, troubles, reported: Some(cause) };
    }
    let backtrace = error.downcast_ref::<WasmBacktrace>().map(ToString::to_string).unwrap_or_default();
    CallError::Trapped { extension, call, cause, host_call, backtrace }
}

pub(crate) fn limit(identity: &Identity, call: &'static str, hit: LimitHit) -> CallError {
    CallError::Limit { extension: Box::new(identity.clone()), call, option: hit.option, limit: hit.limit }
}

/// Compares a push's report with what it was given.
pub(crate) fn account(
    identity: &Identity,
    report: PushReport,
    written: u64,
    deleted: u64,
) -> Result<PushReport, CallError> {
    let counted_written = report.files.saturating_add(report.unchanged);
    if (counted_written, report.deletions) == (written, deleted) {
        return Ok(report);
    }
    Err(CallError::Unaccounted {
        extension: Box::new(identity.clone()),
        written,
        deleted,
        counted_written,
        counted_deleted: report.deletions,
    })
}

/// How many of the changes are written files, and how many deleted ones.
pub(crate) fn counted(changes: &[Change]) -> (u64, u64) {
    let deleted = changes.iter().filter(|change| matches!(change, Change::Deleted { .. })).count() as u64;
    (changes.len() as u64 - deleted, deleted)
}

fn setup(call: &'static str, error: &std::io::Error) -> CallError {
    CallError::Setup { call, problem: error.to_string() }
}
