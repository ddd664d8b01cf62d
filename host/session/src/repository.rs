use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lockkeeper_changes::Cache;
use lockkeeper_locks::{Identity as LockIdentity, LockStore, Waiting};
use lockkeeper_names::Digest;
use lockkeeper_sandbox::{Environment, Events, Grants, Limits};
use tokio_util::sync::CancellationToken;

use crate::config::{ConfigError, RepositoryConfig, StoreProblem};
use crate::error::Error;
use crate::pins::Pins;
use crate::registry::Registry;
use crate::session::Held;

/// The configuration file of a repository.
pub const CONFIG_FILE: &str = "lockkeeper.toml";

/// The file that pins the extensions of a repository.
pub const LOCK_FILE: &str = "lockkeeper.lock";

/// What the library needs of the machine and the process it is in. It asks neither of them itself.
#[derive(Clone)]
pub struct Machine {
    /// Who takes locks, as others will see it.
    pub identity: LockIdentity,
    /// This user's folder for compiled code; without it each session compiles.
    pub compiled: Option<PathBuf>,
    /// This user's folder for file locks, for repositories that name none.
    pub locks: PathBuf,
    /// How long to wait for a lock, if not as long as the repository says.
    pub wait: Option<Duration>,
    /// Where secrets and credentials come from.
    pub environment: Arc<dyn Environment>,
    /// Hears what extensions say.
    pub events: Arc<dyn Events>,
    /// Hears of long waits for locks.
    pub on_wait: Arc<dyn Fn(&Waiting) + Send + Sync>,
    /// Stops whatever is going on, cleanly.
    pub stop: CancellationToken,
    /// What the commands around this one hold, outermost first.
    pub outer: Vec<Held>,
}

/// A folder with a `lockkeeper.toml`. Opening it loads no extension.
#[derive(Debug, Clone)]
pub struct Repository {
    folder: PathBuf,
    config: RepositoryConfig,
}

impl Repository {
    /// Opens the repository in a folder.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let config = RepositoryConfig::read(&folder.join(CONFIG_FILE))?;
        Ok(Self { folder: folder.to_owned(), config })
    }

    /// The repository's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What `lockkeeper.toml` says.
    pub fn config(&self) -> &RepositoryConfig {
        &self.config
    }

    /// The folder of extensions.
    pub fn registry(&self) -> Registry {
        Registry::new(self.folder.join(&self.config.registry))
    }

    /// The accepted extensions.
    pub fn pins(&self) -> Result<Pins, Error> {
        Ok(Pins::read(&self.folder.join(LOCK_FILE))?)
    }

    /// The local copy of the data.
    pub fn cache(&self) -> Result<Cache, Error> {
        let path = self.cache_folder();
        std::fs::create_dir_all(&path).map_err(|source| Error::Folder {
            what: "the cache",
            path: path.clone(),
            source,
        })?;
        Cache::open(&path, &self.remote(), self.config.roots.clone())
            .map_err(|source| Error::Cache { path, source })
    }

    /// The folder that holds the roots.
    pub fn cache_folder(&self) -> PathBuf {
        self.folder.join(&self.config.cache)
    }

    pub(crate) fn grants(&self) -> Result<Grants, Error> {
        let invalid = |problem| ConfigError::Invalid { path: self.folder.join(CONFIG_FILE), problem };
        Ok(self.config.grants(&self.folder).map_err(invalid)?)
    }

    pub(crate) fn limits(&self) -> Limits {
        self.config.datastore.limits.clone()
    }

    /// The folder of the repository's file locks.
    pub fn locks_folder(&self, machine: &Machine) -> PathBuf {
        match &self.config.locks.path {
            Some(path) => self.folder.join(path),
            None => machine.locks.join(self.remote()),
        }
    }

    /// The repository's lock store.
    pub fn locks(&self, machine: &Machine) -> Result<Arc<dyn LockStore>, Error> {
        let path = || self.folder.join(CONFIG_FILE);
        let folder = self.locks_folder(machine);
        let opened = self.config.locks.open(&self.folder, folder, self.shared_name(), &*machine.environment);
        opened.map_err(|problem| match problem {
            StoreProblem::Secret { key, source } => {
                ConfigError::Secret { path: path(), table: "locks", key, source }.into()
            }
            StoreProblem::File { path: file, source } => {
                let problem = format!("[locks] can't read {}: {source}", file.display());
                ConfigError::Invalid { path: path(), problem }.into()
            }
            StoreProblem::Store(error) => error.into(),
        })
    }

    /// Names the remote for other machines, where the folders behind grants have other paths. Two remotes that differ
    /// only in those get the same name, and then wait for each other without need.
    fn shared_name(&self) -> String {
        let text = self.described();
        Digest::of(text.as_bytes()).to_string().chars().take(32).collect()
    }

    /// The extension and its configuration.
    fn described(&self) -> String {
        let datastore = &self.config.datastore;
        let mut text = format!("{}\n", datastore.extension);
        for (key, value) in &datastore.config {
            // A secret that is changed is another way in to the same remote.
            if let Some(value) = value.plain() {
                text.push_str(&format!("{key:?}={value:?}\n"));
            }
        }
        text
    }

    /// Names the remote, as far as it can be told without running the extension: by the extension, its configuration and
    /// the folders behind its grants. Repositories with the same remote get the same name.
    pub(crate) fn remote(&self) -> String {
        let mut text = self.described();
        for folder in self.config.grants(&self.folder).unwrap_or_default().folders {
            let host = folder.host.canonicalize().unwrap_or(folder.host);
            text.push_str(&format!("{:?}={host:?}\n", folder.guest));
        }
        Digest::of(text.as_bytes()).to_string().chars().take(32).collect()
    }
}
