use std::borrow::Cow;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use wasmtime::component::{Component, Linker};
use wasmtime::{Config, Engine};

use crate::error::ComponentError;
use crate::extension::Extension;
use crate::file::ComponentFile;
use crate::guest::Guest;
use crate::identity::{ComponentDigest, Identity};
use crate::limits::Limits;
use crate::since_v0_1_0;

/// How often a running guest gives the host a chance to stop it.
const TICK: Duration = Duration::from_millis(10);

/// The engine that extensions run on, and this machine's cache of compiled code.
pub struct Sandbox {
    engine: Engine,
    linker: Linker<Guest>,
    compiled: Option<PathBuf>,
    started: Duration,
    ticker: Arc<()>,
}

/// How long each step of loading an extension took.
#[derive(Debug, Clone, Copy, Default)]
pub struct StartTimes {
    /// Starting the engine.
    pub engine: Duration,
    /// Loading the compiled code, or compiling it.
    pub load: Duration,
    /// Linking it with what the host offers.
    pub link: Duration,
    /// Whether compiled code was found in the cache.
    pub cached: bool,
}

impl Sandbox {
    /// Starts the engine.
    ///
    /// Compiled code is kept in the folder `compiled`, which must belong to this user alone: whoever can write there
    /// can run code as this user. Without a folder, each load compiles.
    pub fn new(limits: &Limits, compiled: Option<PathBuf>) -> Result<Self, ComponentError> {
        let began = Instant::now();
        let failed = |error: wasmtime::Error| ComponentError::Engine { problem: format!("{error:#}") };
        let mut config = Config::new();
        let stack = usize::try_from(limits.stack.0).unwrap_or(usize::MAX / 4);
        config.epoch_interruption(true);
        config.max_wasm_stack(stack);
        config.async_stack_size(stack.saturating_add(1 << 20));
        let engine = Engine::new(&config).map_err(failed)?;

        let linker = linker(&engine).map_err(failed)?;

        let ticker = Arc::new(());
        tick(&engine, Arc::downgrade(&ticker));
        Ok(Self { engine, linker, compiled, started: began.elapsed(), ticker })
    }

    /// Loads an extension: compiles it or finds it compiled, and links it.
    pub fn load(&self, file: &ComponentFile) -> Result<(Extension, StartTimes), ComponentError> {
        let (started, identity) = (Instant::now(), file.identity());
        let compiled = self.compiled.as_deref();
        let (component, cached) = component(&self.engine, compiled, &identity.digest, || file.bytes())?;
        let load = started.elapsed();
        let linked = self.link(&component, identity)?;
        let link = started.elapsed() - load;
        let times = StartTimes { engine: self.started, load, link, cached };
        Ok((Extension::new(self.engine.clone(), self.ticker.clone(), identity.clone(), linked), times))
    }

    fn link(
        &self,
        component: &Component,
        identity: &Identity,
    ) -> Result<since_v0_1_0::Linked, ComponentError> {
        let pre = self.linker.instantiate_pre(component).map_err(unloadable)?;
        since_v0_1_0::Linked::new(pre, identity.exports_capabilities).map_err(unloadable)
    }
}

/// Everything that an extension may import.
pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    let mut tls = wasmtime_wasi_tls::p2::LinkOptions::default();
    tls.tls(true);
    wasmtime_wasi_tls::p2::add_to_linker(&mut linker, &tls)?;
    wasmtime_wasi_config::add_to_linker(&mut linker, |guest: &mut Guest| (&guest.config).into())?;
    since_v0_1_0::add_to_linker(&mut linker)?;
    Ok(linker)
}

/// Finds compiled code for a component, or compiles its bytes and keeps the result; says whether it was found.
pub(crate) fn component<'b>(
    engine: &Engine,
    compiled: Option<&Path>,
    digest: &ComponentDigest,
    bytes: impl FnOnce() -> Result<Cow<'b, [u8]>, ComponentError>,
) -> Result<(Component, bool), ComponentError> {
    let Some(folder) = compiled.filter(|folder| warned_unless_private(folder)) else {
        return Ok((Component::new(engine, bytes()?).map_err(unloadable)?, false));
    };
    let path = folder.join(format!("{}-{}.cwasm", digest.hex(), engine_key(engine)));
    if path.exists() {
        // Safety: the file was written by this function, under a name that says which bytes and which engine
        // it was made for, in a folder that no other user can write to.
        #[expect(unsafe_code, reason = "loading compiled code is what the cache is for")]
        let loaded = unsafe { Component::deserialize_file(engine, &path) };
        match loaded {
            Ok(component) => return Ok((component, true)),
            Err(error) => {
                tracing::warn!(path = %path.display(), "compiled code is unusable, compiling again: {error:#}")
            }
        }
    }
    let component = Component::new(engine, bytes()?).map_err(unloadable)?;
    if let Err(error) = keep(&component, folder, &path) {
        tracing::warn!(path = %path.display(), "can't keep compiled code: {error}");
    }
    Ok((component, false))
}

/// What compiled code depends on besides the component: the runtime's version and settings, and this processor.
fn engine_key(engine: &Engine) -> String {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

pub(crate) fn unloadable(error: wasmtime::Error) -> ComponentError {
    ComponentError::Unloadable { problem: format!("{error:#}") }
}

/// Advances the engine's clock for as long as the sandbox, or an extension that it loaded, lives.
fn tick(engine: &Engine, alive: Weak<()>) {
    let engine = engine.weak();
    thread::spawn(move || {
        while alive.strong_count() > 0 {
            thread::sleep(TICK);
            match engine.upgrade() {
                Some(engine) => engine.increment_epoch(),
                None => return,
            }
        }
    });
}

/// Writes compiled code so that a reader finds all of it or nothing.
fn keep(component: &Component, folder: &Path, path: &Path) -> std::io::Result<()> {
    let code = component.serialize().map_err(|error| std::io::Error::other(error.to_string()))?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(&code)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

fn warned_unless_private(folder: &Path) -> bool {
    let private = is_private(folder);
    if !private {
        tracing::warn!(folder = %folder.display(), "not used for compiled code: others can write to it");
    }
    private
}

/// Whether the folder exists, or can be made, such that only this user can write to it.
#[cfg(unix)]
pub(crate) fn is_private(folder: &Path) -> bool {
    use std::os::unix::fs::{DirBuilderExt, MetadataExt};
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    let mine = rustix::process::geteuid().as_raw();
    made.and_then(|()| std::fs::metadata(folder))
        .is_ok_and(|metadata| metadata.uid() == mine && metadata.mode() & 0o022 == 0)
}

#[cfg(not(unix))]
pub(crate) fn is_private(folder: &Path) -> bool {
    std::fs::create_dir_all(folder).is_ok()
}
