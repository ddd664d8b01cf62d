//! `lockkeeper.toml`: read once, checked once, with the line and key named in each error.

mod auth;
mod locks;

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use lockkeeper_names::{ExtensionName, Root};
use lockkeeper_sandbox::{
    Environment, FolderAccess, FolderGrant, Grants, HttpOrigin, Limits, Scheme, Secret, SecretError, Secrets,
    TcpTarget, parse_duration,
};
use serde::Deserialize;

use self::auth::AuthConfig;
pub use self::auth::SecretConfig;
pub(crate) use self::locks::StoreProblem;
pub use self::locks::{LocksConfig, OnLost};

/// What is wrong with a `lockkeeper.toml`.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// There is none.
    #[error("there is no {} (run `lockkeeper init` to make one)", .path.display())]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// It can't be read.
    #[error("can't read {}: {source}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It doesn't say what it should.
    #[error("{}: {problem}", .path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The line, the key and what is wrong there.
        problem: String,
    },
    /// A secret that it names can't be had.
    #[error("{}: `{key}` in [{table}]: {source}", .path.display())]
    Secret {
        /// The file.
        path: PathBuf,
        /// The table that the key is in.
        table: &'static str,
        /// The key.
        key: String,
        /// Why not.
        source: SecretError,
    },
}

/// The content of a `lockkeeper.toml`. Paths are as written, relative to the repository.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RepositoryConfig {
    /// The folder with the extensions.
    #[serde(default = "default_registry")]
    pub registry: PathBuf,
    /// The folder that holds the roots.
    #[serde(default = "default_cache")]
    pub cache: PathBuf,
    /// The folders of the cache that are synced.
    #[serde(default = "default_roots")]
    pub roots: Vec<Root>,
    /// The extension and what it gets.
    pub datastore: DatastoreConfig,
    /// Where locks are kept.
    #[serde(default)]
    pub locks: LocksConfig,
}

/// `[datastore]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatastoreConfig {
    /// The extension's name.
    pub extension: ExtensionName,
    /// Handed to the extension as it is, secrets as their text.
    #[serde(default)]
    pub config: BTreeMap<String, Value>,
    /// How requests to granted origins are authenticated.
    #[serde(default)]
    auth: AuthConfig,
    /// What the extension may reach.
    #[serde(default)]
    grants: GrantsConfig,
    /// What a call may use.
    #[serde(default)]
    pub limits: Limits,
}

/// A value for the extension: text, a number, a truth value, or a secret; the extension gets its text.
#[derive(Debug, Clone, Deserialize)]
#[serde(
    untagged,
    expecting = "a text, a number, true, false, or a secret: { env = \"NAME\" } or { file = \"PATH\" }"
)]
pub enum Value {
    /// Text.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// Another number.
    Float(f64),
    /// A truth value.
    Truth(bool),
    /// Something to read elsewhere, and never to be shown.
    Secret(SecretConfig),
}

impl Value {
    /// The text, unless it is a secret.
    pub fn plain(&self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text.clone()),
            Self::Integer(number) => Some(number.to_string()),
            Self::Float(number) => Some(number.to_string()),
            Self::Truth(truth) => Some(truth.to_string()),
            Self::Secret(_) => None,
        }
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct GrantsConfig {
    #[serde(default)]
    folders: Vec<FolderConfig>,
    #[serde(default)]
    http: Vec<Parsed<HttpOrigin>>,
    #[serde(default)]
    tcp: Vec<Parsed<TcpTarget>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct FolderConfig {
    host: PathBuf,
    guest: String,
    access: AccessConfig,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum AccessConfig {
    ReadOnly,
    ReadWrite,
}

/// A value that is written as text and checked while reading, so that its error names the line.
#[derive(Debug, Clone)]
struct Parsed<T>(T);

impl<'de, T> Deserialize<'de> for Parsed<T>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Parsed).map_err(serde::de::Error::custom)
    }
}

/// A duration, written like `90s`, `500ms`, `10m` or `2h`.
#[derive(Debug, Clone, Copy)]
struct Seconds(Duration);

impl std::str::FromStr for Seconds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse_duration(text).map(Seconds)
    }
}

/// A path without `.` and `..`, as far as its text tells.
fn lexical(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => _ = plain.pop(),
            other => plain.push(other),
        }
    }
    plain
}

fn default_registry() -> PathBuf {
    "extensions".into()
}

fn default_cache() -> PathBuf {
    ".".into()
}

fn default_roots() -> Vec<Root> {
    Root::parse("data").into_iter().collect()
}

impl RepositoryConfig {
    /// Reads and checks a repository's configuration.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(ConfigError::Missing { path: path.to_owned() });
            }
            Err(source) => return Err(ConfigError::Unreadable { path: path.to_owned(), source }),
        };
        let invalid = |problem| ConfigError::Invalid { path: path.to_owned(), problem };
        let config: Self =
            toml::from_str(&text).map_err(|error| invalid(error.to_string().trim_end().to_owned()))?;
        if config.roots.is_empty() {
            return Err(invalid("`roots` names no folder, so there is nothing to sync".to_owned()));
        }
        config.locks.check().map_err(|problem| invalid(format!("[locks] {problem}")))?;
        let grants = config.grants(Path::new("")).map_err(invalid)?;
        if let Err((place, problem)) = config.datastore.auth.check(&grants.http) {
            let line = text.bytes().take(place).filter(|byte| *byte == b'\n').count() + 1;
            return Err(invalid(format!("line {line}: [datastore.auth] {problem}")));
        }
        let repository = path.parent().unwrap_or(Path::new(""));
        if let Some(file) = config.synced_secret(repository) {
            return Err(invalid(format!(
                "the secret in `{}` would be synced to the remote, since it lies below one of the `roots`; keep it elsewhere",
                file.display()
            )));
        }
        Ok(config)
    }

    /// A file with a secret that lies where everything is synced.
    fn synced_secret(&self, repository: &Path) -> Option<&Path> {
        let values = self.datastore.config.values().filter_map(|value| match value {
            Value::Secret(secret) => secret.file(),
            _ => None,
        });
        let place = |path: &Path| lexical(&repository.join(path));
        let roots: Vec<_> = self.roots.iter().map(|root| place(&self.cache.join(root.to_string()))).collect();
        let mut files = values.chain(self.datastore.auth.files()).chain(self.locks.secret_files());
        files.find(|file| roots.iter().any(|root| place(file).starts_with(root)))
    }

    /// How requests to granted origins are authenticated, with files relative to the repository made absolute.
    pub fn auth(&self, repository: &Path) -> Vec<(HttpOrigin, Scheme)> {
        self.datastore.auth.bindings(repository)
    }

    /// The values for the extension, and those of them that are secret.
    pub fn values(
        &self,
        repository: &Path,
        environment: &dyn Environment,
    ) -> Result<(Vec<(String, String)>, Secrets), ConfigError> {
        let (mut values, mut secrets) = (Vec::new(), Vec::<Secret>::new());
        for (key, value) in &self.datastore.config {
            let text = match value {
                Value::Secret(secret) => {
                    let secret = secret.within(repository).read(environment).map_err(|source| {
                        ConfigError::Secret {
                            path: repository.join(crate::CONFIG_FILE),
                            table: "datastore.config",
                            key: key.clone(),
                            source,
                        }
                    })?;
                    let text = secret.reveal().to_owned();
                    secrets.push(secret);
                    text
                }
                value => value.plain().unwrap_or_default(),
            };
            values.push((key.clone(), text));
        }
        Ok((values, Secrets::new(&secrets)))
    }

    /// The grants, with folders relative to the repository made absolute.
    pub fn grants(&self, repository: &Path) -> Result<Grants, String> {
        let grants = &self.datastore.grants;
        let mut folders: Vec<FolderGrant> = Vec::new();
        for folder in &grants.folders {
            let access = match folder.access {
                AccessConfig::ReadOnly => FolderAccess::ReadOnly,
                AccessConfig::ReadWrite => FolderAccess::ReadWrite,
            };
            let grant = FolderGrant::new(repository.join(&folder.host), &folder.guest, access)
                .map_err(|error| format!("[datastore.grants] folders: guest {error}"))?;
            if folders.iter().any(|other| other.guest == grant.guest) {
                return Err(format!("[datastore.grants] folders: guest `{}` is granted twice", grant.guest));
            }
            folders.push(grant);
        }
        Ok(Grants {
            folders,
            http: grants.http.iter().map(|origin| origin.0.clone()).collect(),
            tcp: grants.tcp.iter().map(|target| target.0.clone()).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use lockkeeper_sandbox::{Bytes, NoEnvironment, SecretSource};

    use super::*;

    fn read(text: &str) -> Result<RepositoryConfig, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lockkeeper.toml");
        std::fs::write(&path, text).unwrap();
        RepositoryConfig::read(&path).map_err(|error| error.to_string())
    }

    #[test]
    fn little_is_needed() {
        let config = read("[datastore]\nextension = \"@lockkeeper/plain\"\n").unwrap();
        assert_eq!(config.roots, [Root::parse("data").unwrap()]);
        assert_eq!(config.locks.wait(), Duration::from_secs(60));
        assert_eq!(config.datastore.limits, Limits::default());
    }

    #[test]
    fn everything_can_be_said() {
        let config = read(
            r#"
            registry = "ext"
            cache = "cache"
            roots = ["data", "outputs"]
            [datastore]
            extension = "@lockkeeper/filesystem"
            [datastore.config]
            root = "/remote"
            depth = 3
            [datastore.grants]
            folders = [{ host = "../remote", guest = "/remote", access = "read-write" }]
            http = ["https://example.org"]
            tcp = ["db.internal:27017"]
            [datastore.limits]
            memory = "64MiB"
            time = "90s"
            [locks]
            store = "file"
            path = "/var/locks"
            wait = "5s"
            "#,
        )
        .unwrap();
        assert_eq!(config.grants(Path::new("/repo")).unwrap().folders[0].host, Path::new("/repo/../remote"));
        assert_eq!(config.datastore.limits.memory, Bytes(64 << 20));
        assert_eq!(config.locks.wait(), Duration::from_secs(5));
        assert_eq!(config.datastore.config["depth"].plain().unwrap(), "3");
    }

    #[test]
    fn schemes_and_secrets_can_be_said() {
        let config = read(
            r#"
            [datastore]
            extension = "@lockkeeper/plain"
            [datastore.config]
            password = { env = "PASSWORD" }
            token = { file = "secrets/token" }
            [datastore.grants]
            http = ["https://a", "https://b", "https://c", "https://d"]
            [datastore.auth]
            "https://a:443" = { scheme = "aws-sigv4", region = "auto", service = "s3", profile = "work" }
            "https://b" = { scheme = "google" }
            "https://c" = { scheme = "bearer", env = "TOKEN" }
            "https://d" = { scheme = "basic", user = "me", file = "secrets/password" }
            "#,
        )
        .unwrap();
        let auth = config.auth(Path::new("/repo"));
        let (origins, schemes): (Vec<_>, Vec<_>) = auth.into_iter().unzip();
        assert_eq!(origins, config.grants(Path::new("")).unwrap().http);
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            schemes,
            [
                Scheme::AwsSigV4 { region: some("auto"), service: some("s3"), profile: some("work") },
                Scheme::Google,
                Scheme::Bearer { token: SecretSource::Variable("TOKEN".to_owned()) },
                Scheme::Basic {
                    user: "me".to_owned(),
                    password: SecretSource::File("/repo/secrets/password".into())
                },
            ]
        );
        let error = config.values(Path::new("/repo"), &NoEnvironment).unwrap_err().to_string();
        assert_eq!(
            error,
            "/repo/lockkeeper.toml: `password` in [datastore.config]: environment variable PASSWORD is not set"
        );
    }

    #[test]
    fn each_lock_store_can_be_said() {
        let datastore = "[datastore]\nextension = \"@lockkeeper/plain\"\n";
        for (locks, kind, place) in [
            ("", "file", "/locks"),
            (
                "[locks]\nstore = \"etcd\"\nendpoints = [\"http://one:2379\", \"http://two:2379\"]\nname = \"team\"\n\
                 lease = \"10s\"\non-lost = \"let-it-finish\"",
                "etcd",
                "http://one:2379, http://two:2379, below lockkeeper/team/",
            ),
            (
                "[locks]\nstore = \"postgres\"\nurl = \"postgres://me@db/locks\"\nname = \"team\"",
                "postgres",
                "db:5432/locks, as team",
            ),
            (
                "[locks]\nstore = \"bucket\"\nurl = \"s3://bucket/locks\"\nname = \"team\"\n\
                 settings = { aws_region = \"auto\" }",
                "bucket",
                "s3://bucket/locks/team",
            ),
        ] {
            let config = read(&format!("{datastore}{locks}\n")).unwrap();
            let store = config.locks.open(Path::new("/"), "/locks".into(), "hash".to_owned(), &NoEnvironment);
            let Ok(store) = store else { panic!("{locks}") };
            assert_eq!((store.kind(), store.place().as_str()), (kind, place));
        }
    }

    #[test]
    fn a_secret_is_not_kept_where_everything_is_synced() {
        for file in ["data/kind/one/key", "./other/../data/key"] {
            for table in [
                "[datastore.config]\nkey = ",
                "[datastore.grants]\nhttp = [\"https://a\"]\n[datastore.auth]\n\"https://a\" = ",
            ] {
                let scheme = if table.contains("auth") { "scheme = \"bearer\", " } else { "" };
                let text =
                    format!("[datastore]\nextension = \"@a/b\"\n{table}{{ {scheme}file = \"{file}\" }}\n");
                assert!(read(&text).unwrap_err().contains("would be synced"), "{text}");
                assert!(read(&text.replace("data/", "data-2/")).is_ok(), "{text}");
            }
        }
    }

    #[test]
    fn each_mistake_is_named_with_its_line_and_key() {
        let datastore = "[datastore]\nextension = \"@lockkeeper/plain\"\n";
        let auth = |line: &str| {
            format!("{datastore}[datastore.grants]\nhttp = [\"https://a\"]\n[datastore.auth]\n{line}\n")
        };
        for (text, line, key) in [
            ("roots = [\".ssh\"]\n[datastore]\nextension = \"@a/b\"\n".to_owned(), "line 1", ".ssh"),
            ("[datastore]\nextension = \"plain\"\n".to_owned(), "line 2", "@collective/name"),
            (format!("{datastore}colour = 1\n"), "line 3", "colour"),
            (format!("{datastore}[datastore.config]\nroot = []\n"), "line 4", "a text"),
            (format!("{datastore}[datastore.grants]\nhttp = [\"example.org\"]\n"), "line 4", "example.org"),
            (auth("\"https://b\" = { scheme = \"google\" }"), "line 6", "http = [\"https://b\"]"),
            (auth("\"a\" = { scheme = \"google\" }"), "line 6", "`a` is not an origin"),
            (auth("\"https://a\" = { scheme = \"magic\" }"), "line 6", "magic"),
            (
                auth("\"https://a\" = { scheme = \"google\", region = \"x\" }"),
                "line 6",
                "`google` takes no `region`",
            ),
            (auth("\"https://a\" = { scheme = \"bearer\" }"), "line 6", "`env`"),
            (
                auth("\"https://a\" = { scheme = \"bearer\", env = \"A\", file = \"b\" }"),
                "line 6",
                "one of the two",
            ),
            (auth("\"https://a\" = { scheme = \"basic\", env = \"A\" }"), "line 6", "needs a `user`"),
            (
                auth("\"https://a\" = { scheme = \"google\" }\n\"https://a:443\" = { scheme = \"google\" }"),
                "line 7",
                "` twice",
            ),
            (
                format!("{datastore}[datastore.config]\nkey = {{ env = \"A\", colour = 1 }}\n"),
                "line 4",
                "a secret",
            ),
            (format!("{datastore}[datastore.limits]\nmemory = \"lots\"\n"), "line 4", "lots"),
            (format!("{datastore}[locks]\nstore = \"paper\"\n"), "line 4", "paper"),
            (format!("{datastore}[locks]\nwait = \"soon\"\n"), "line 4", "soon"),
            (format!("{datastore}[locks]\nstore = \"etcd\"\n"), "[locks]", "`endpoints"),
            (format!("{datastore}[locks]\nstore = \"bucket\"\n"), "[locks]", "s3://"),
            (format!("{datastore}[locks]\nurl = \"postgres://db\"\n"), "[locks]", "`url` means nothing"),
            (
                format!(
                    "{datastore}[locks]\nstore = \"postgres\"\nurl = \"postgres://db\"\nlease = \"1s\"\n"
                ),
                "[locks]",
                "`lease` is at least 2s",
            ),
            ("this is not toml".to_owned(), "line 1", "="),
        ] {
            let error = read(&text).unwrap_err();
            assert!(error.contains(line) && error.contains(key), "{error}");
        }
        let twice = format!(
            "{datastore}[datastore.grants]\nfolders = [{{ host = \"a\", guest = \"/cache\", access = \"read-only\" }}]\n"
        );
        assert!(read(&twice).unwrap_err().contains("/cache"));
        assert!(read(&format!("roots = []\n{datastore}")).unwrap_err().contains("roots"));
    }
}
