//! One command at work: what it loads, the locks it holds, the calls it makes.

mod held;
mod holds;
mod index;
mod locking;
mod state;
mod strict;
mod sync;
mod transfer;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use lockkeeper_changes::{Cache, OnConflict};
use lockkeeper_locks::LockStore;
use lockkeeper_names::ModelId;
use lockkeeper_policy::{Capabilities, Plan, Reach, plan};
use lockkeeper_sandbox::{
    ComponentError, ComponentFile, Declared, Extension, Grants, Identity, Limits, Network, Sandbox, Secrets,
    Setting, StartTimes,
};

pub use self::held::Held;
use self::holds::Holds;
pub use self::holds::LostLock;
pub use self::transfer::Transfer;
use crate::error::Error;
use crate::registry::RegistryError;
use crate::report::{CallReport, ExtensionReport, LockReport};
use crate::repository::{Machine, Repository};

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
    holds: Holds,
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
        let found = repository.registry().find(name, &mut pins, machine.compiled.as_deref())?;
        let component = |source| Error::Component { path: found.path().to_owned(), source };
        let sandbox = Sandbox::new(&repository.limits(), machine.compiled.clone()).map_err(component)?;
        let loaded = sandbox.load(&found).map_err(|source| match source {
            // Since it was looked at.
            ComponentError::NotAccepted { .. } => {
                RegistryError::no_extension(name, found.path().to_owned(), source).into()
            }
            source => component(source),
        });
        let (extension, start) = loaded?;
        let (folder, environment) = (repository.folder(), &machine.environment);
        let (config, secrets) = repository.config().values(folder, &**environment)?;
        let grants = repository.grants()?;
        let auth = repository.config().auth(folder);
        let holds = Holds::default();
        let setting = Setting {
            config,
            secrets,
            network: Network::new(&grants, auth, environment.clone()),
            grants,
            limits: repository.limits(),
            events: machine.events.clone(),
            stop: machine.stop.clone(),
            permit: Arc::new(holds.clone()),
        };
        let declared = extension.capabilities(&setting).await;
        Ok(Self {
            cache: repository.cache()?,
            store: repository.locks(&machine)?,
            holds,
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
    pub async fn inspect(path: &Path, machine: &Machine) -> Result<(Identity, Declared), Error> {
        let component = |source| Error::Component { path: path.to_owned(), source };
        let file = ComponentFile::read(path).map_err(component)?;
        let limits = Limits::default();
        let sandbox = Sandbox::new(&limits, machine.compiled.clone()).map_err(component)?;
        let (extension, _) = sandbox.load(&file).map_err(component)?;
        let setting = Setting {
            config: Vec::new(),
            secrets: Secrets::default(),
            network: Network::default(),
            grants: Grants::default(),
            limits,
            events: machine.events.clone(),
            stop: machine.stop.clone(),
            permit: Arc::new(()),
        };
        let declared = extension.capabilities(&setting).await;
        Ok((file.identity().clone(), declared))
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
            self.refuse_lost()?;
            let before = if strict { Some(self.changed_elsewhere(&plan).await?) } else { None };
            let held = Held { space: self.space(), models: models.iter().cloned().collect() };
            let value = work(held).await;
            let pushed = async {
                if self.machine.stop.is_cancelled() {
                    return Err(Error::Interrupted {
                        doing: "the command ran; its files were not pushed".to_owned(),
                    });
                }
                self.refuse_lost()?;
                let pushed = self.push_all(&reach, &plan).await?;
                if let Some(before) = before {
                    self.refuse_strays(&plan, &before).await?;
                }
                Ok(Transfer { kept: pulled.kept, ..pushed })
            };
            let pushed = pushed.await;
            // Whatever failed, failed for that.
            let pushed = pushed.map_err(|error| self.holds.lost().map_or(error, Error::from));
            Ok((value, pushed))
        })
        .await
    }

    /// Comes back when a lock is lost that this session holds. Until then, `run`'s work may go on.
    pub async fn lost(&self) -> LostLock {
        self.holds.until_lost().await
    }

    pub(super) fn refuse_lost(&self) -> Result<(), Error> {
        self.holds.lost().map_or(Ok(()), |lost| Err(lost.into()))
    }

    fn plan(&self, reach: &Reach) -> Plan {
        let capabilities = Capabilities { scoped_sync: self.declared.scoped_sync() };
        plan(reach, &self.repository.config().roots, capabilities)
    }
}
