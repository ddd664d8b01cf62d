use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use lockkeeper_sandbox::Limits;
use serde::Deserialize;

use crate::namespace::PLACEHOLDER;
use crate::store::{Protocol, StoreGrant};
use crate::subject::{FolderGrant, Settings};

/// What is wrong with the file that says what an extension under check is given.
#[derive(Debug, thiserror::Error)]
pub enum CheckConfigError {
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

/// What the extension under check is given, as a file says it.
///
/// ```toml
/// [config]                   # handed to the extension as [datastore.config]
/// root = "/share"
///
/// [remote]
/// folders = ["/share"]       # where it sees its remote; each is an empty folder in memory
/// s3 = [{ origin = "https://s3.test", bucket = "bucket" }]      # or object stores; gcs likewise
/// ```
///
/// `[limits]` is what a call may use, as `[datastore.limits]` in `lockkeeper.toml`.
///
/// A datastore behind TCP is checked against its real server, which should be one that can be thrown away. `{namespace}` becomes the
/// name of a database, or whatever keeps things apart there, that nobody used before:
///
/// ```toml
/// [config]
/// url = "mongodb://127.0.0.1:27017/{namespace}"
///
/// [remote]
/// tcp = ["127.0.0.1:27017"]
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckConfig {
    #[serde(default)]
    config: BTreeMap<String, Value>,
    #[serde(default)]
    remote: Option<Remote>,
    #[serde(default)]
    limits: Limits,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Remote {
    #[serde(default)]
    folders: Vec<String>,
    #[serde(default)]
    s3: Vec<Store>,
    #[serde(default)]
    gcs: Vec<Store>,
    #[serde(default)]
    tcp: Vec<SocketAddr>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Store {
    origin: String,
    bucket: String,
}

/// A value for the extension, which gets its text.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "a text, a whole number, true or false")]
enum Value {
    Text(String),
    Number(i64),
    Truth(bool),
}

impl CheckConfig {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, CheckConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| CheckConfigError::Unreadable { path: path.to_owned(), source })?;
        let invalid = |problem| CheckConfigError::Invalid { path: path.to_owned(), problem };
        let config: Self = toml::from_str(&text).map_err(|error| invalid(error.to_string()))?;
        if config.limits.time != Limits::default().time {
            let problem = "limits.time: time is virtual here, and a call may take half an hour of it";
            return Err(invalid(problem.to_owned()));
        }
        let wrong = config.remote.iter().flat_map(|remote| &remote.folders).find(|folder| !is_place(folder));
        let separate = |value: &Value| matches!(value, Value::Text(text) if text.contains(PLACEHOLDER));
        if config.remote.as_ref().is_some_and(|remote| !remote.tcp.is_empty())
            && !config.config.values().any(separate)
        {
            return Err(invalid(format!(
                "remote.tcp: each run needs a place of its own on a real server. Write `{PLACEHOLDER}` in a value of [config] where the \
                 name of a database, schema or prefix goes, such as url = \"mongodb://127.0.0.1:27017/{PLACEHOLDER}\""
            )));
        }
        match wrong {
            Some(folder) => Err(invalid(format!(
                "remote.folders: `{folder}` is not a plain absolute path outside of /cache and /state, such as `/remote`"
            ))),
            None => Ok(config),
        }
    }

    /// What to give the extension, and what of that was assumed, a sentence each.
    pub fn settings(self) -> (Settings, Vec<String>) {
        let text = |value| match value {
            Value::Text(text) => text,
            Value::Number(number) => number.to_string(),
            Value::Truth(truth) => truth.to_string(),
        };
        let config = self.config.into_iter().map(|(key, value)| (key, text(value))).collect();
        let settings = Settings { config, limits: self.limits, ..Settings::folder() };
        match self.remote {
            Some(remote) => {
                let grant = |guest| FolderGrant { guest, writable: true };
                let store =
                    |protocol| move |Store { origin, bucket }| StoreGrant { protocol, origin, bucket };
                let s3 = remote.s3.into_iter().map(store(Protocol::S3));
                let stores = s3.chain(remote.gcs.into_iter().map(store(Protocol::Gcs))).collect();
                (
                    Settings {
                        folders: remote.folders.into_iter().map(grant).collect(),
                        stores,
                        servers: remote.tcp,
                        ..settings
                    },
                    Vec::new(),
                )
            }
            None => (
                settings,
                vec!["a folder as the remote, seen at /remote (the file has no [remote])".to_owned()],
            ),
        }
    }
}

fn is_place(folder: &str) -> bool {
    let inner = folder.strip_prefix('/').unwrap_or_default();
    let plain = |segment: &str| !matches!(segment, "" | "." | "..") && !segment.contains('\0');
    inner.split('/').all(plain) && !matches!(inner.split('/').next(), Some("cache" | "state"))
}

#[cfg(test)]
mod tests {
    use lockkeeper_sandbox::Bytes;

    use super::*;

    fn read(text: &str) -> Result<CheckConfig, CheckConfigError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        CheckConfig::read(file.path())
    }

    #[test]
    fn values_reach_the_extension_as_text() {
        let (settings, assumed) =
            read("[config]\nroot = '/share'\nparts = 4\n[remote]\nfolders = ['/share']").unwrap().settings();
        let config =
            [("parts", "4"), ("root", "/share")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(settings.config, config);
        assert_eq!(settings.folders[0].guest, "/share");
        assert!(assumed.is_empty());
    }

    #[test]
    fn an_object_store_takes_the_place_of_the_folder() {
        let text = "[remote]\ns3 = [{ origin = 'https://s3.test', bucket = 'b' }]";
        let (settings, assumed) = read(text).unwrap().settings();
        let store = StoreGrant {
            protocol: Protocol::S3,
            origin: "https://s3.test".to_owned(),
            bucket: "b".to_owned(),
        };
        assert_eq!((settings.folders, settings.stores), (Vec::new(), vec![store]));
        assert!(assumed.is_empty());
    }

    #[test]
    fn limits_are_those_of_a_repository() {
        let (settings, _) = read("[limits]\nmemory = '64MiB'\ntable-elements = 7").unwrap().settings();
        let expected = Limits { memory: Bytes(64 << 20), table_elements: 7, ..Limits::default() };
        assert_eq!(settings.limits, expected);
        assert!(read("[limits]\nmemory = 'lots'").unwrap_err().to_string().contains("lots"));
        assert!(read("[limits]\ntime = '1m'").unwrap_err().to_string().contains("time"));
    }

    #[test]
    fn a_real_server_needs_a_namespace_for_each_run() {
        let tcp = "[remote]\ntcp = ['127.0.0.1:27017']\n";
        let error = read(&format!("{tcp}[config]\nurl = 'mongodb://127.0.0.1:27017/db'")).unwrap_err();
        assert!(error.to_string().contains("{namespace}"), "{error}");
        let right = read(&format!("{tcp}[config]\nurl = 'mongodb://127.0.0.1:27017/{{namespace}}'")).unwrap();
        assert_eq!(right.settings().0.servers, ["127.0.0.1:27017".parse().unwrap()]);
        let error = read("[remote]\ntcp = ['localhost:27017']").unwrap_err().to_string();
        assert!(error.contains("localhost:27017") || error.contains("socket address"), "{error}");
    }

    #[test]
    fn what_is_not_said_is_assumed_and_named() {
        let (settings, assumed) = read("").unwrap().settings();
        assert_eq!(settings.folders[0].guest, "/remote");
        assert_eq!(assumed.len(), 1);
    }

    #[test]
    fn a_place_that_is_the_hosts_is_refused_and_a_wrong_key_is_named() {
        for folder in ["remote", "/cache", "/state/x", "/a/../b", "/"] {
            let error = read(&format!("[remote]\nfolders = ['{folder}']")).unwrap_err().to_string();
            assert!(error.contains(folder), "{error}");
        }
        assert!(read("[confg]").unwrap_err().to_string().contains("confg"));
    }
}
