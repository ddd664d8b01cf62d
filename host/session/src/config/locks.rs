//! `[locks]`: which store keeps the locks, and how to get there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lockkeeper_locks::{
    BucketLocks, BucketOptions, EtcdLocks, EtcdOptions, FileLocks, LockError, LockStore, Login,
    PostgresLocks, PostgresOptions, Tls,
};
use lockkeeper_sandbox::{Environment, SecretError};
use serde::Deserialize;

use super::{Parsed, Seconds, SecretConfig, Value};

/// `[locks]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LocksConfig {
    /// Which store keeps the locks.
    #[serde(default)]
    store: StoreKind,
    /// The folder of the `file` store. The default is a folder of this user and machine that all repositories with the same remote share.
    pub path: Option<PathBuf>,
    /// How long to wait for a lock.
    #[serde(default)]
    wait: Option<Parsed<Seconds>>,
    /// How long a lock outlives the last sign of life of its holder.
    lease: Option<Parsed<Seconds>>,
    /// What becomes of the command of a `run` whose lock is lost.
    #[serde(default)]
    pub on_lost: OnLost,
    /// Sets these locks apart from others in the same store. The default is a hash of the extension's name and configuration.
    name: Option<String>,
    /// What is added to all fencing numbers, so that those of a new store are higher than those of the one before.
    #[serde(default)]
    pub(crate) fence_from: u64,
    /// The members of an `etcd`.
    #[serde(default)]
    endpoints: Vec<String>,
    /// Where a `postgres` or a `bucket` is.
    url: Option<String>,
    /// The user of an `etcd`.
    user: Option<String>,
    /// The password of an `etcd` or a `postgres`.
    password: Option<SecretConfig>,
    /// Files in PEM: who vouches for the server, and what vouches for this side.
    ca: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    /// For a `bucket`: endpoint, region, credentials, as the crate `object_store` names them.
    #[serde(default)]
    settings: BTreeMap<String, Value>,
}

/// The lock stores there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum StoreKind {
    /// Kernel locks on files.
    #[default]
    File,
    /// An etcd.
    Etcd,
    /// A PostgreSQL server.
    Postgres,
    /// A bucket of an object store.
    Bucket,
}

/// What becomes of the command of a `run` when its lock is lost. Its files are not pushed in either case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnLost {
    /// It is told to stop, and then ended.
    #[default]
    StopCommand,
    /// It may go on.
    LetItFinish,
}

/// How long to wait for a lock unless the repository says otherwise.
const WAIT: Duration = Duration::from_secs(60);

/// How long a lock outlives its holder unless the repository says otherwise.
const LEASE: Duration = Duration::from_secs(30);

/// The shortest lease: less is shorter than a busy machine or a slow network may pause.
const SHORTEST_LEASE: Duration = Duration::from_secs(2);

/// What is read from the environment for a bucket, if the settings don't have it.
const BUCKET_VARIABLES: [(&str, &str); 10] = [
    ("aws_access_key_id", "AWS_ACCESS_KEY_ID"),
    ("aws_secret_access_key", "AWS_SECRET_ACCESS_KEY"),
    ("aws_session_token", "AWS_SESSION_TOKEN"),
    ("aws_region", "AWS_REGION"),
    ("aws_endpoint", "AWS_ENDPOINT_URL"),
    ("google_application_credentials", "GOOGLE_APPLICATION_CREDENTIALS"),
    ("azure_storage_account_name", "AZURE_STORAGE_ACCOUNT_NAME"),
    ("azure_storage_account_key", "AZURE_STORAGE_ACCOUNT_KEY"),
    ("azure_storage_sas_key", "AZURE_STORAGE_SAS_TOKEN"),
    ("azure_storage_token", "AZURE_STORAGE_TOKEN"),
];

/// Why a store can't be made of what `[locks]` says.
pub(crate) enum StoreProblem {
    /// A secret can't be had.
    Secret { key: String, source: SecretError },
    /// A file can't be read.
    File { path: PathBuf, source: std::io::Error },
    /// The store doesn't take it.
    Store(LockError),
}

impl LocksConfig {
    /// How long to wait for a lock.
    pub fn wait(&self) -> Duration {
        self.wait.as_ref().map_or(WAIT, |wait| wait.0.0)
    }

    fn lease(&self) -> Duration {
        self.lease.as_ref().map_or(LEASE, |lease| lease.0.0)
    }

    /// The files that hold secrets.
    pub(super) fn secret_files(&self) -> impl Iterator<Item = &Path> {
        let settings = self.settings.values().filter_map(|value| match value {
            Value::Secret(secret) => secret.file(),
            _ => None,
        });
        let password = self.password.as_ref().and_then(SecretConfig::file);
        settings.chain(password).chain(self.key.as_deref())
    }

    /// Finds what is missing or out of place.
    pub(super) fn check(&self) -> Result<(), String> {
        let kind = match self.store {
            StoreKind::File => "file",
            StoreKind::Etcd => "etcd",
            StoreKind::Postgres => "postgres",
            StoreKind::Bucket => "bucket",
        };
        let network = self.store != StoreKind::File;
        let (etcd, postgres) = (self.store == StoreKind::Etcd, self.store == StoreKind::Postgres);
        for (key, given, fits) in [
            ("path", self.path.is_some(), !network),
            ("lease", self.lease.is_some(), network),
            ("name", self.name.is_some(), network),
            ("fence-from", self.fence_from > 0, network),
            ("endpoints", !self.endpoints.is_empty(), etcd),
            ("url", self.url.is_some(), network && !etcd),
            ("user", self.user.is_some(), etcd),
            ("password", self.password.is_some(), etcd || postgres),
            ("ca", self.ca.is_some(), network),
            ("certificate", self.certificate.is_some(), network),
            ("key", self.key.is_some(), network),
            ("settings", !self.settings.is_empty(), self.store == StoreKind::Bucket),
        ] {
            if given && !fits {
                return Err(format!("`{key}` means nothing to the store \"{kind}\""));
            }
        }
        if etcd && self.endpoints.is_empty() {
            return Err("the store \"etcd\" needs `endpoints = [\"https://host:2379\"]`".to_owned());
        }
        if network && !etcd && self.url.is_none() {
            let example = if postgres { "postgres://user@host/database" } else { "s3://bucket/prefix" };
            return Err(format!("the store \"{kind}\" needs `url = \"{example}\"`"));
        }
        if self.certificate.is_some() != self.key.is_some() {
            return Err("`certificate` and `key` go together".to_owned());
        }
        if self.user.is_some() != self.password.is_some() && etcd {
            return Err("`user` and `password` go together".to_owned());
        }
        if self.lease() < SHORTEST_LEASE {
            return Err(format!("`lease` is at least {SHORTEST_LEASE:?}"));
        }
        if self.name.as_ref().is_some_and(|name| !is_name(name)) {
            return Err(
                "`name` is made of letters, digits, `-`, `_` and `.`, and doesn't begin with `.`".to_owned()
            );
        }
        Ok(())
    }

    /// Makes the store. `folder` is that of the file store, `name` the default for what sets these locks apart.
    pub(crate) fn open(
        &self,
        repository: &Path,
        folder: PathBuf,
        name: String,
        environment: &dyn Environment,
    ) -> Result<Arc<dyn LockStore>, StoreProblem> {
        let secret = |key: &str, secret: &SecretConfig| {
            let read = secret.within(repository).read(environment);
            let text = read.map(|secret| secret.reveal().to_owned());
            text.map_err(|source| StoreProblem::Secret { key: key.to_owned(), source })
        };
        let file = |path: &Option<PathBuf>| {
            let path = path.as_ref().map(|path| repository.join(path));
            let read =
                path.map(|path| std::fs::read(&path).map_err(|source| StoreProblem::File { path, source }));
            read.transpose()
        };
        let (lease, space) = (self.lease(), self.name.clone().unwrap_or(name));
        let tls =
            Tls { authority: file(&self.ca)?, identity: file(&self.certificate)?.zip(file(&self.key)?) };
        let password = self.password.as_ref().map(|it| secret("password", it)).transpose()?;
        let url = self.url.clone().unwrap_or_default();
        Ok(match self.store {
            StoreKind::File => Arc::new(FileLocks::new(folder)),
            StoreKind::Etcd => Arc::new(EtcdLocks::new(EtcdOptions {
                endpoints: self.endpoints.clone(),
                prefix: format!("lockkeeper/{space}/"),
                lease,
                login: self.user.clone().zip(password).map(|(user, password)| Login { user, password }),
                tls,
            })),
            StoreKind::Postgres => {
                let options = PostgresOptions { url, space, lease, password, tls };
                Arc::new(PostgresLocks::new(options).map_err(StoreProblem::Store)?)
            }
            StoreKind::Bucket => {
                let mut settings = Vec::new();
                for (key, value) in &self.settings {
                    let text = match value {
                        Value::Secret(it) => secret(key, it)?,
                        value => value.plain().unwrap_or_default(),
                    };
                    settings.push((key.clone(), text));
                }
                for (key, variable) in BUCKET_VARIABLES {
                    // Those of another kind of store mean nothing to this one.
                    let fits = match url.split(':').next() {
                        Some("s3") => key.starts_with("aws"),
                        Some("gs") => key.starts_with("google"),
                        _ => key.starts_with("azure"),
                    };
                    if fits
                        && !self.settings.contains_key(key)
                        && let Some(value) =
                            environment.variable(variable).and_then(|it| it.into_string().ok())
                    {
                        settings.push((key.to_owned(), value));
                    }
                }
                let options = BucketOptions { url, settings, space, lease, tls };
                Arc::new(BucketLocks::new(&options).map_err(StoreProblem::Store)?)
            }
        })
    }
}

fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || ['-', '_', '.'].contains(&c);
    !name.is_empty() && !name.starts_with('.') && name.len() <= 64 && name.chars().all(fits)
}
