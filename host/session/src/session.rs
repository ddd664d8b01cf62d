use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use lockkeeper_changes::{Applied, Cache, CacheError, Change, Extent, OnConflict, Scan};
use lockkeeper_locks::{Lease, LockKey, LockStore, Mode};
use lockkeeper_names::{CachePath, Digest, ModelId, Scope};
use lockkeeper_policy::{Access, Call, Capabilities, Lock, LockName, Plan, Reach, plan};
use lockkeeper_sandbox::{
    Declared, Extension, Grants, Identity, Limits, Pulled, Pushed, Sandbox, Setting, StartTimes, inspect,
};

use crate::error::Error;
use crate::report::{CallReport, Direction, ExtensionReport, LockReport, Settled, milliseconds};
use crate::repository::{Machine, Repository};

/// What a command holds while its child runs, to be told to commands inside: as text, `SPACE:MODEL,MODEL`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The locks' folder, hashed: models of another remote are other models.
    pub space: String,
    /// The models whose locks are held.
    pub models: Vec<ModelId>,
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let models: Vec<String> = self.models.iter().map(ToString::to_string).collect();
        write!(f, "{}:{}", self.space, models.join(","))
    }
}

impl FromStr for Held {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (space, models) = text.split_once(':').ok_or_else(|| format!("`{text}` names no locks"))?;
        let models =
            models.split(',').map(ModelId::parse).collect::<Result<_, _>>().map_err(|e| e.to_string())?;
        Ok(Self { space: space.to_owned(), models })
    }
}

/// What one push or pull of a command moved.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transfer {
    /// Files sent, or moved into the cache.
    pub files: u64,
    /// Bytes of their content.
    pub bytes: u64,
    /// Files deleted in the remote, or in the cache.
    pub deletions: u64,
    /// Local work that a pull left alone, since it was not pushed yet.
    pub kept: Vec<CachePath>,
    /// Conflicts that were settled.
    pub settled: Vec<Settled>,
}

/// One command at work on a repository, with the extension loaded.
pub struct Session {
    repository: Repository,
    machine: Machine,
    cache: Cache,
    extension: Extension,
    newly_accepted: bool,
    declared: Declared,
    setting: Setting,
    store: Arc<dyn LockStore>,
    start: StartTimes,
    /// What was done so far, for the report.
    journal: Mutex<Journal>,
}

#[derive(Default, Clone)]
struct Journal {
    locks: Vec<LockReport>,
    calls: Vec<CallReport>,
}

impl Session {
    /// Loads the repository's extension and asks what it promises.
    pub async fn open(repository: Repository, machine: Machine) -> Result<Self, Error> {
        let mut pins = repository.pins()?;
        let name = &repository.config().datastore.extension;
        let newly_accepted = pins.get(name).is_none();
        let found = repository.registry().find(name, &mut pins)?;
        let component = |source| Error::Component { path: found.path.clone(), source };
        let sandbox = Sandbox::new(&repository.limits(), machine.compiled.clone()).map_err(component)?;
        let (extension, start) = sandbox.load(&found.identity, &found.bytes).map_err(component)?;
        let config = &repository.config().datastore.config;
        let setting = Setting {
            config: config.iter().map(|(key, value)| (key.clone(), value.to_string())).collect(),
            grants: repository.grants()?,
            limits: repository.limits(),
            events: machine.events.clone(),
            stop: machine.stop.clone(),
        };
        let declared = extension.capabilities(&setting).await;
        Ok(Self {
            cache: repository.cache()?,
            store: repository.locks(&machine),
            newly_accepted,
            repository,
            machine,
            extension,
            declared,
            setting,
            start,
            journal: Mutex::default(),
        })
    }

    /// Loads a file as an extension and asks what it promises, with no repository: it gets no configuration and no grants.
    pub async fn inspect(path: &std::path::Path, machine: &Machine) -> Result<(Identity, Declared), Error> {
        let component = |source| Error::Component { path: path.to_owned(), source };
        let bytes = Sandbox::read(path).map_err(component)?;
        let identity = inspect(&bytes).map_err(component)?;
        let limits = Limits::default();
        let sandbox = Sandbox::new(&limits, machine.compiled.clone()).map_err(component)?;
        let (extension, _) = sandbox.load(&identity, &bytes).map_err(component)?;
        let setting = Setting {
            config: Vec::new(),
            grants: Grants::default(),
            limits,
            events: machine.events.clone(),
            stop: machine.stop.clone(),
        };
        let declared = extension.capabilities(&setting).await;
        Ok((identity, declared))
    }

    /// The repository that is worked on.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// Whether this is the first use of the extension, which thereby was accepted as it is.
    pub fn newly_accepted(&self) -> bool {
        self.newly_accepted
    }

    /// What the extension promises, as it answered.
    pub fn declared(&self) -> &Declared {
        &self.declared
    }

    /// How long loading the extension took.
    pub fn start_times(&self) -> StartTimes {
        self.start
    }

    /// The extension as the report names it.
    pub fn extension_report(&self) -> ExtensionReport {
        let identity = self.extension.identity();
        ExtensionReport {
            name: identity.name.clone(),
            version: identity.version.clone(),
            digest: identity.digest.clone(),
            scoped_sync: self.declared.scoped_sync(),
        }
    }

    /// The locks held and the calls made so far.
    pub fn journal(&self) -> (Vec<LockReport>, Vec<CallReport>) {
        let journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (journal.locks, journal.calls)
    }

    /// Pulls what the reach says.
    pub async fn pull(&self, reach: &Reach, on_conflict: OnConflict) -> Result<Transfer, Error> {
        let plan = self.plan(reach);
        self.holding(reach, &plan, async || self.pull_all(reach, &plan, on_conflict).await).await
    }

    /// Pushes what the reach says.
    pub async fn push(&self, reach: &Reach) -> Result<Transfer, Error> {
        let plan = self.plan(reach);
        self.holding(reach, &plan, async || self.push_all(reach, &plan).await).await
    }

    /// Pulls the models, lets `work` do its part, and pushes them, all under their locks.
    ///
    /// `work` is told what is held, to pass on to commands inside. Its files are pushed whatever it returns, unless the
    /// session was stopped meanwhile. With `strict`, files that it changed outside of the models are an error after the push.
    pub async fn run<T>(
        &self,
        models: &BTreeSet<ModelId>,
        strict: bool,
        work: impl AsyncFnOnce(Held) -> T,
    ) -> Result<(T, Result<Transfer, Error>), Error> {
        let reach = Reach::Models(models.clone());
        let plan = self.plan(&reach);
        self.holding(&reach, &plan, async || {
            let pulled = self.pull_all(&reach, &plan, OnConflict::Stop).await?;
            if self.machine.stop.is_cancelled() {
                return Err(Error::Interrupted { doing: "pulling; the command was not run".to_owned() });
            }
            let before = if strict { Some(self.changed_elsewhere(&plan).await?) } else { None };
            let held = Held { space: self.space(), models: models.iter().cloned().collect() };
            let value = work(held).await;
            let pushed = async {
                if self.machine.stop.is_cancelled() {
                    return Err(Error::Interrupted {
                        doing: "the command ran; its files were not pushed".to_owned(),
                    });
                }
                let pushed = self.push_all(&reach, &plan).await?;
                if let Some(before) = before {
                    self.refuse_strays(&plan, &before).await?;
                }
                Ok(Transfer { kept: pulled.kept, ..pushed })
            };
            let pushed = pushed.await;
            Ok((value, pushed))
        })
        .await
    }

    fn plan(&self, reach: &Reach) -> Plan {
        let capabilities = Capabilities { scoped_sync: self.declared.scoped_sync() };
        plan(reach, &self.repository.config().roots, capabilities)
    }

    /// Names this repository's locks, to tell them from those of another remote.
    fn space(&self) -> String {
        let folder = self.repository.locks_folder(&self.machine);
        let folder = folder.canonicalize().unwrap_or(folder);
        Digest::of(folder.as_os_str().as_encoded_bytes()).to_string().chars().take(16).collect()
    }

    /// Fails at once if a command around this one holds what the plan wants: waiting for it would never end.
    fn refuse_nested(&self, reach: &Reach) -> Result<(), Error> {
        let space = self.space();
        for held in self.machine.outer.iter().filter(|held| held.space == space) {
            let wanted = match reach {
                Reach::ReadOnly => None,
                Reach::Structural => Some("a command on the whole repository".to_owned()),
                Reach::Models(models) => models
                    .iter()
                    .find(|model| held.models.iter().any(|outer| outer.overlaps(model)))
                    .map(|model| format!("model {model}")),
            };
            if let Some(wanted) = wanted {
                let outer: Vec<String> = held.models.iter().map(ToString::to_string).collect();
                return Err(Error::Nested { outer: outer.join(", "), wanted });
            }
        }
        Ok(())
    }

    /// Whether a command around this one holds the lock shared already. Whoever waits for that one waits for this one too.
    fn outer_shares(&self, name: &LockName) -> bool {
        let space = self.space();
        self.machine.outer.iter().filter(|held| held.space == space).any(|held| match name {
            LockName::Repository => true,
            LockName::Model(model) => {
                held.models.iter().any(|outer| outer.ancestors().any(|it| it == *model))
            }
            LockName::Sync => false,
        })
    }

    /// Takes the plan's locks, does the work, and gives the locks back, the last one first.
    async fn holding<T>(
        &self,
        reach: &Reach,
        plan: &Plan,
        work: impl AsyncFnOnce() -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.refuse_nested(reach)?;
        let deadline = self.deadline();
        let mut leases = Vec::new();
        for lock in &plan.locks {
            leases.push((lock, self.acquire(lock, deadline).await?));
        }
        let result = work().await;
        let count = leases.len();
        let mut reports = Vec::with_capacity(count);
        let mut released = Ok(());
        while let Some((lock, lease)) = leases.pop() {
            reports.push(lock_report(lock, &lease));
            released = lease.release().await.map_err(Error::from).and(released);
        }
        reports.reverse();
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        reports.append(&mut journal.locks);
        journal.locks = reports;
        drop(journal);
        let value = result?;
        released?;
        Ok(value)
    }

    /// Until when to wait for locks that are asked for now.
    fn deadline(&self) -> Instant {
        Instant::now() + self.machine.wait.unwrap_or_else(|| self.repository.config().locks.wait())
    }

    async fn acquire(&self, lock: &Lock, deadline: Instant) -> Result<Lease, Error> {
        let key = lock_key(&lock.name)?;
        let wait = deadline.saturating_duration_since(Instant::now());
        let (who, on_wait) = (&self.machine.identity, self.machine.on_wait.as_ref());
        let lease = if lock.access == Access::Shared && self.outer_shares(&lock.name) {
            self.store.join(&key, who, wait, on_wait)
        } else {
            self.store.acquire(&key, mode(lock.access), who, wait, on_wait)
        };
        tokio::select! {
            lease = lease => Ok(lease?),
            () = self.machine.stop.cancelled() => {
                Err(Error::Interrupted { doing: format!("waiting for the lock `{key}`") })
            }
        }
    }

    /// Does the work under the lock that the extension needs around each push and pull, if it needs one.
    async fn around_sync<T>(
        &self,
        plan: &Plan,
        work: impl AsyncFnOnce() -> Result<T, Error>,
    ) -> Result<T, Error> {
        let Some(lock) = &plan.around_sync else { return work().await };
        let lease = self.acquire(lock, self.deadline()).await?;
        let result = work().await;
        self.journal.lock().unwrap_or_else(PoisonError::into_inner).locks.push(lock_report(lock, &lease));
        lease.release().await?;
        result
    }

    async fn pull_all(&self, reach: &Reach, plan: &Plan, on_conflict: OnConflict) -> Result<Transfer, Error> {
        self.around_sync(plan, async || {
            let mut sum = Transfer::default();
            for call in &plan.calls {
                let started = Instant::now();
                let result = self.pull_one(call, &named(reach), on_conflict).await;
                self.record(Direction::Pull, call, started, result.as_ref());
                sum.add(result?);
            }
            Ok(sum)
        })
        .await
    }

    async fn pull_one(
        &self,
        call: &Call,
        models: &[ModelId],
        on_conflict: OnConflict,
    ) -> Result<Transfer, Error> {
        let cache_folder = self.repository.cache_folder();
        let (cache, extents) = (self.cache.clone(), extents(call));
        let incoming = Arc::new(self.blocking(move || cache.incoming(&extents)).await?);
        let state = self.state_folder(call)?;
        state.doubt().map_err(|source| Error::Folder {
            what: "the state folder",
            path: state.path.clone(),
            source,
        })?;
        let pulled = Pulled {
            scope: call.scope.clone(),
            folder: incoming.folder().to_owned(),
            incoming: incoming.clone(),
            state: state.path.clone(),
        };
        let result = self.extension.pull(&self.setting, &pulled).await;
        result.map_err(|error| Error::from_call(error, Direction::Pull, models))?;
        drop(pulled);
        let incoming = Arc::into_inner(incoming)
            .ok_or_else(|| Error::Internal { problem: "a finished pull is still in use".to_owned() })?;
        let applied = tokio::task::spawn_blocking(move || incoming.apply(on_conflict))
            .await
            .map_err(|error| Error::Internal { problem: error.to_string() })?;
        let applied = applied.map_err(|error| Error::from_pull(error, &cache_folder, models))?;
        state.trust();
        Ok(applied.into())
    }

    async fn push_all(&self, reach: &Reach, plan: &Plan) -> Result<Transfer, Error> {
        let mut due = Vec::new();
        for call in &plan.calls {
            let scan = self.scan(extents(call)).await?;
            if scan.changes.is_empty() {
                self.mark_synced(scan).await?;
            } else {
                due.push((call, scan));
            }
        }
        // Nothing to send costs no call and no lock.
        if due.is_empty() {
            return Ok(Transfer::default());
        }
        self.around_sync(plan, async || {
            let mut sum = Transfer::default();
            for (call, scan) in due {
                let started = Instant::now();
                let result = self.push_one(call, scan, &named(reach)).await;
                self.record(Direction::Push, call, started, result.as_ref());
                sum.add(result?);
            }
            Ok(sum)
        })
        .await
    }

    async fn push_one(&self, call: &Call, scan: Scan, models: &[ModelId]) -> Result<Transfer, Error> {
        let folders = match &call.scope {
            Some(scope) => vec![scope.folder().to_owned()],
            None => self.repository.config().roots.iter().map(ToString::to_string).collect(),
        };
        let state = self.state_folder(call)?;
        let pushed = Pushed {
            scope: call.scope.clone(),
            cache: self.repository.cache_folder(),
            folders,
            changes: scan.changes.as_slice().into(),
            skeleton: state.path.with_extension("skeleton"),
            state: state.path,
        };
        let report = self.extension.push(&self.setting, &pushed).await;
        let report = report.map_err(|error| Error::from_call(error, Direction::Push, models))?;
        self.mark_synced(scan).await?;
        Ok(Transfer {
            files: report.files,
            bytes: report.bytes,
            deletions: report.deletions,
            ..Transfer::default()
        })
    }

    fn record(&self, direction: Direction, call: &Call, started: Instant, result: Result<&Transfer, &Error>) {
        let none = Transfer::default();
        let moved = result.unwrap_or(&none);
        let report = CallReport {
            direction,
            scope: call.scope.clone(),
            files: moved.files,
            bytes: moved.bytes,
            deletions: moved.deletions,
            duration_ms: milliseconds(started.elapsed()),
            error: result.err().map(ToString::to_string),
        };
        self.journal.lock().unwrap_or_else(PoisonError::into_inner).calls.push(report);
    }

    /// The extension's own folder for this remote and scope.
    fn state_folder(&self, call: &Call) -> Result<StateFolder, Error> {
        let name = match &call.scope {
            Some(scope) => Digest::of(scope.as_str().as_bytes()).to_string().chars().take(32).collect(),
            None => "unscoped".to_owned(),
        };
        let cache = self.repository.cache_folder();
        let remote = cache.join(".lockkeeper").join("remotes").join(self.repository.remote());
        let path = remote.join("state").join(name);
        StateFolder::open(path.clone()).map_err(|source| Error::Folder {
            what: "the state folder",
            path,
            source,
        })
    }

    async fn scan(&self, extents: Vec<Extent>) -> Result<Scan, Error> {
        let cache = self.cache.clone();
        self.blocking(move || cache.changes(&extents)).await
    }

    async fn mark_synced(&self, scan: Scan) -> Result<(), Error> {
        let cache = self.cache.clone();
        self.blocking(move || cache.mark_synced(&scan)).await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, CacheError> + Send + 'static,
    ) -> Result<T, Error> {
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|error| Error::Internal { problem: error.to_string() })?
            .map_err(|source| Error::Cache { path: self.repository.cache_folder(), source })
    }

    /// The unpushed changes outside of the plan's models, by path.
    async fn changed_elsewhere(&self, plan: &Plan) -> Result<BTreeMap<CachePath, Option<Digest>>, Error> {
        let covered = |path: &CachePath| covers(plan).any(|scope| scope.contains(path));
        let scan = self.scan(vec![Extent::Everything]).await?;
        let changes = scan.changes.into_iter().map(|change| match change {
            Change::Written { path, digest, .. } => (path, Some(digest)),
            Change::Deleted { path, .. } => (path, None),
        });
        Ok(changes.filter(|(path, _)| !covered(path)).collect())
    }

    /// Fails if files outside of the plan's models changed since, other than those of models that others hold now.
    async fn refuse_strays(
        &self,
        plan: &Plan,
        before: &BTreeMap<CachePath, Option<Digest>>,
    ) -> Result<(), Error> {
        // Asked for before and after looking, since others come and go meanwhile.
        let mut busy = self.held_alone().await?;
        let after = self.changed_elsewhere(plan).await?;
        busy.extend(self.held_alone().await?);
        let is_busy = |path: &CachePath| {
            let below_root = path.as_str().split_once('/').map(|(_, rest)| rest).unwrap_or_default();
            busy.iter()
                .filter_map(|key| key.strip_prefix("model/"))
                .any(|model| below_root.strip_prefix(model).is_some_and(|rest| rest.starts_with('/')))
        };
        let strays =
            after.into_iter().filter(|(path, digest)| before.get(path) != Some(digest) && !is_busy(path));
        let paths: Vec<CachePath> = strays.map(|(path, _)| path).collect();
        if paths.is_empty() { Ok(()) } else { Err(Error::Stray { paths }) }
    }

    /// The keys that somebody holds alone. Who holds an ancestor's lock shared doesn't work on the ancestor.
    async fn held_alone(&self) -> Result<Vec<String>, Error> {
        let holders = self.store.holders().await?.into_iter();
        let alone = holders.filter(|holder| holder.mode == Mode::Exclusive && !holder.waiting);
        Ok(alone.map(|holder| holder.key.to_string()).collect())
    }
}

/// An extension's own folder for one remote and scope.
///
/// What an extension notes there during a pull is about files that it brought. If they were not moved into the cache in the
/// end, the notes are wrong, and the folder is emptied before it is used again.
struct StateFolder {
    path: PathBuf,
    /// Exists from before a pull until its files are in the cache.
    doubt: PathBuf,
}

impl StateFolder {
    fn open(path: PathBuf) -> std::io::Result<Self> {
        let doubt = path.with_extension("doubt");
        if doubt.exists() {
            match std::fs::remove_dir_all(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                _ => std::fs::remove_file(&doubt)?,
            }
        }
        std::fs::create_dir_all(&path)?;
        Ok(Self { path, doubt })
    }

    fn doubt(&self) -> std::io::Result<()> {
        std::fs::write(&self.doubt, b"")
    }

    fn trust(self) {
        // If it stays, the folder is emptied for nothing.
        _ = std::fs::remove_file(self.doubt);
    }
}

impl Transfer {
    fn add(&mut self, other: Self) {
        self.files += other.files;
        self.bytes += other.bytes;
        self.deletions += other.deletions;
        self.kept.extend(other.kept);
        self.settled.extend(other.settled);
    }
}

impl From<Applied> for Transfer {
    fn from(applied: Applied) -> Self {
        Self {
            files: applied.files,
            bytes: applied.bytes,
            deletions: applied.deletions,
            kept: applied.kept,
            settled: applied
                .resolved
                .into_iter()
                .map(|it| Settled { path: it.path, other: it.other })
                .collect(),
        }
    }
}

fn covers(plan: &Plan) -> impl Iterator<Item = &Scope> {
    plan.calls.iter().flat_map(|call| call.covers.iter().flatten())
}

fn extents(call: &Call) -> Vec<Extent> {
    match &call.covers {
        Some(scopes) => scopes.iter().cloned().map(Extent::Scope).collect(),
        None => vec![Extent::Everything],
    }
}

fn named(reach: &Reach) -> Vec<ModelId> {
    match reach {
        Reach::Models(models) => models.iter().cloned().collect(),
        Reach::Structural | Reach::ReadOnly => Vec::new(),
    }
}

fn mode(access: Access) -> Mode {
    match access {
        Access::Shared => Mode::Shared,
        Access::Exclusive => Mode::Exclusive,
    }
}

fn lock_key(name: &LockName) -> Result<LockKey, Error> {
    let text = match name {
        LockName::Repository => "repository".to_owned(),
        LockName::Model(model) => format!("model/{model}"),
        LockName::Sync => "sync".to_owned(),
    };
    LockKey::parse(&text).map_err(|error| Error::Internal { problem: error.to_string() })
}

fn lock_report(lock: &Lock, lease: &Lease) -> LockReport {
    LockReport {
        kind: match lock.name {
            LockName::Repository => "repository",
            LockName::Model(_) => "model",
            LockName::Sync => "sync",
        },
        key: lease.key().clone(),
        mode: lease.mode(),
        wait_ms: milliseconds(lease.waited()),
        hold_ms: milliseconds(lease.held_since().elapsed()),
    }
}
