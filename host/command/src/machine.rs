//! What the library needs of this machine and process, read from the environment.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use etcetera::BaseStrategy;
use lockkeeper_host::{CancellationToken, Environment, Held, LockIdentity, Machine};

use crate::ui::Ui;

/// Tells commands inside of a `run` which locks it holds: [`Held`] texts, outermost first, separated by `;`.
pub(crate) const HELD: &str = "LOCKKEEPER_HELD";

/// Where compiled code goes instead of the user's cache folder.
const CACHE: &str = "LOCKKEEPER_CACHE_DIR";

/// Where file locks go instead of the user's state folder.
const STATE: &str = "LOCKKEEPER_STATE_DIR";

/// Gathers what the library needs.
pub(crate) fn machine(ui: &Ui, stop: CancellationToken, wait: Option<Duration>) -> anyhow::Result<Machine> {
    let (compiled, locks) = folders()?;
    let waiting = ui.clone();
    Ok(Machine {
        identity: LockIdentity {
            user: whoami::username().unwrap_or_else(|_| "unknown".to_owned()),
            host: whoami::hostname().unwrap_or_else(|_| "unknown".to_owned()),
            pid: std::process::id(),
            command: command_line(),
        },
        compiled: Some(compiled),
        locks,
        wait,
        environment: Arc::new(ThisProcess),
        events: Arc::new(ui.clone()),
        on_wait: Arc::new(move |wait| waiting.note(&wait.to_string())),
        stop,
        outer: outer()?,
    })
}

/// The environment of this process. What of it is read is up to `lockkeeper.toml`.
struct ThisProcess;

impl Environment for ThisProcess {
    fn variable(&self, name: &str) -> Option<OsString> {
        std::env::var_os(name)
    }

    fn home(&self) -> Option<PathBuf> {
        etcetera::home_dir().ok()
    }

    /// The system's, or what `SSL_CERT_FILE` and `SSL_CERT_DIR` name in their place.
    fn authorities(&self) -> Result<Vec<Vec<u8>>, String> {
        let found = rustls_native_certs::load_native_certs();
        let named = ["SSL_CERT_FILE", "SSL_CERT_DIR"]
            .into_iter()
            .find_map(|name| Some((name, std::env::var_os(name).filter(|value| !value.is_empty())?)));
        match (named, found.errors.first()) {
            // Somebody chose whom to trust: nobody else is trusted instead.
            (Some((name, path)), error) if found.certs.is_empty() => {
                let problem = error.map_or_else(|| "no certificate in it".to_owned(), ToString::to_string);
                Err(format!("{name} names {}: {problem}", path.to_string_lossy()))
            }
            _ => Ok(found.certs.iter().map(|certificate| certificate.to_vec()).collect()),
        }
    }
}

/// The folders for compiled code and for locks.
fn folders() -> anyhow::Result<(PathBuf, PathBuf)> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = etcetera::choose_base_strategy();
    let named = |name: &str, folder: Option<PathBuf>| {
        folder.with_context(|| format!("there is no home folder; set {name} to a folder of this user"))
    };
    let cache = base.as_ref().ok().map(|base| base.cache_dir().join("lockkeeper"));
    let state =
        base.as_ref().ok().map(|base| base.state_dir().unwrap_or_else(|| base.data_dir()).join("lockkeeper"));
    Ok((
        named(CACHE, set(CACHE).or(cache))?.join("compiled"),
        named(STATE, set(STATE).or(state))?.join("locks"),
    ))
}

fn outer() -> anyhow::Result<Vec<Held>> {
    let text = std::env::var(HELD).unwrap_or_default();
    let each = text.split(';').filter(|one| !one.is_empty());
    each.map(|one| one.parse().map_err(|error| anyhow::anyhow!("{HELD}: {error}"))).collect()
}

/// The command line as others will see it in `locks list`, cut where it gets long.
fn command_line() -> String {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut line = format!("lockkeeper {}", arguments.join(" "));
    if let Some((index, _)) = line.char_indices().nth(200) {
        line.truncate(index);
        line.push('…');
    }
    line
}
