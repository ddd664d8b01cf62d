//! `lockkeeper.toml`: read once, checked once, with the line and key named in each error.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lockkeeper_names::{ExtensionName, Root};
use lockkeeper_sandbox::{Bytes, FolderAccess, FolderGrant, Grants, HttpOrigin, Limits, TcpTarget};
use serde::Deserialize;

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
    /// Handed to the extension as it is.
    #[serde(default)]
    pub config: BTreeMap<String, Value>,
    /// What the extension may reach.
    #[serde(default)]
    grants: GrantsConfig,
    /// What a call may use.
    #[serde(default)]
    limits: LimitsConfig,
}

/// A value for the extension: text, a number or a truth value; the extension gets its text.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged, expecting = "a text, a number, true or false")]
pub enum Value {
    /// Text.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// Another number.
    Float(f64),
    /// A truth value.
    Truth(bool),
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Float(number) => write!(f, "{number}"),
            Self::Truth(truth) => write!(f, "{truth}"),
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

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct LimitsConfig {
    memory: Option<Parsed<Bytes>>,
    table_elements: Option<u64>,
    instances: Option<u32>,
    stack: Option<Parsed<Bytes>>,
    time: Option<Parsed<Seconds>>,
    output: Option<Parsed<Bytes>>,
    log: Option<Parsed<Bytes>>,
}

/// `[locks]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocksConfig {
    /// Which store keeps the locks.
    #[serde(default)]
    pub store: StoreKind,
    /// The folder of the `file` store. The default is a folder of this user and machine that all repositories with the same remote share.
    pub path: Option<PathBuf>,
    /// How long to wait for a lock.
    #[serde(default)]
    wait: Option<Parsed<Seconds>>,
}

/// The lock stores there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StoreKind {
    /// Kernel locks on files.
    #[default]
    File,
}

/// How long to wait for a lock unless the repository says otherwise.
const WAIT: Duration = Duration::from_secs(60);

impl LocksConfig {
    /// How long to wait for a lock.
    pub fn wait(&self) -> Duration {
        self.wait.as_ref().map_or(WAIT, |wait| wait.0.0)
    }
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
        let parsed = humantime::parse_duration(text);
        parsed
            .map(Seconds)
            .map_err(|_| format!("`{text}` is not a duration; write it like 90s, 500ms, 10m or 2h"))
    }
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
        config.grants(Path::new("")).map_err(invalid)?;
        Ok(config)
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

    /// The limits, with the defaults where the repository sets none.
    pub fn limits(&self) -> Limits {
        let (set, default) = (&self.datastore.limits, Limits::default());
        let bytes = |set: &Option<Parsed<Bytes>>, default| set.as_ref().map_or(default, |bytes| bytes.0);
        Limits {
            memory: bytes(&set.memory, default.memory),
            table_elements: set.table_elements.unwrap_or(default.table_elements),
            instances: set.instances.unwrap_or(default.instances),
            stack: bytes(&set.stack, default.stack),
            time: set.time.as_ref().map_or(default.time, |time| time.0.0),
            output: bytes(&set.output, default.output),
            log: bytes(&set.log, default.log),
        }
    }
}

#[cfg(test)]
mod tests {
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
        assert_eq!(config.limits(), Limits::default());
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
        assert_eq!(config.limits().memory, Bytes(64 << 20));
        assert_eq!(config.locks.wait(), Duration::from_secs(5));
        assert_eq!(config.datastore.config["depth"].to_string(), "3");
    }

    #[test]
    fn each_mistake_is_named_with_its_line_and_key() {
        let datastore = "[datastore]\nextension = \"@lockkeeper/plain\"\n";
        for (text, line, key) in [
            ("roots = [\".ssh\"]\n[datastore]\nextension = \"@a/b\"\n".to_owned(), "line 1", ".ssh"),
            ("[datastore]\nextension = \"plain\"\n".to_owned(), "line 2", "@collective/name"),
            (format!("{datastore}colour = 1\n"), "line 3", "colour"),
            (format!("{datastore}[datastore.config]\nroot = []\n"), "line 4", "a text"),
            (format!("{datastore}[datastore.grants]\nhttp = [\"example.org\"]\n"), "line 4", "example.org"),
            (format!("{datastore}[datastore.limits]\nmemory = \"lots\"\n"), "line 4", "lots"),
            (format!("{datastore}[locks]\nstore = \"paper\"\n"), "line 4", "paper"),
            (format!("{datastore}[locks]\nwait = \"soon\"\n"), "line 4", "soon"),
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
