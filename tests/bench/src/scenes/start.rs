//! From the start of a process to the first instruction of a guest, with warm caches.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use lockkeeper_sandbox::{
    ComponentDigest, ComponentFile, Events, Grants, Limits, LogLevel, Network, Sandbox, Secrets, Setting,
};
use wasmtime::component::{Component, Linker};
use wasmtime::{Config, Engine, Store};

use crate::contest::{Spread, milliseconds, ratio, take_turns};
use crate::figure::{Bar, Figure, Report, number};
use crate::process::took;

struct Silent;

impl Events for Silent {
    fn log(&self, _level: LogLevel, _message: &str) {}
    fn progress(&self, _files: u64, _bytes: u64, _total_bytes: Option<u64>) {}
}

/// As the host starts a guest: see that it is the one that was pinned, find its compiled code, link, instantiate.
pub fn ours(guest: &Path, pinned: &str, compiled: &Path) -> Result<()> {
    let pinned: ComponentDigest = serde_json::from_value(pinned.into())?;
    let file = ComponentFile::accepted(guest, &pinned, Some(compiled))?;
    let limits = Limits::default();
    let sandbox = Sandbox::new(&limits, Some(compiled.into()))?;
    let (extension, _) = sandbox.load(&file)?;
    let setting = Setting {
        config: Vec::new(),
        secrets: Secrets::default(),
        network: Network::default(),
        grants: Grants::default(),
        limits,
        events: Arc::new(Silent),
        permit: Arc::new(()),
        stop: tokio_util::sync::CancellationToken::new(),
    };
    runtime()?.block_on(extension.instantiate(&setting))?;
    Ok(())
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()
}

/// As `wasmtime run --allow-precompiled` starts one, and with even less behind its imports: no check of what it is, and nothing that
/// any import does.
pub fn theirs(precompiled: &Path) -> Result<()> {
    start_precompiled(precompiled).map_err(unwrapped)
}

/// The runtime's errors aren't those of the standard library.
fn unwrapped(error: wasmtime::Error) -> anyhow::Error {
    anyhow::anyhow!("{error:#}")
}

fn start_precompiled(precompiled: &Path) -> wasmtime::Result<()> {
    let engine = engine()?;
    // Safety: `precompile` made it a moment ago.
    #[expect(unsafe_code, reason = "what is compared with does it")]
    let component = unsafe { Component::deserialize_file(&engine, precompiled) }?;
    let mut linker = Linker::new(&engine);
    linker.define_unknown_imports_as_traps(&component)?;
    let mut store = Store::new(&engine, ());
    store.set_epoch_deadline(1);
    runtime()?.block_on(linker.instantiate_async(&mut store, &component))?;
    Ok(())
}

fn engine() -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    // The command has a timeout as well.
    config.epoch_interruption(true);
    Engine::new(&config)
}

fn precompile(guest: &Path, to: &Path) -> Result<()> {
    let code = engine().and_then(|engine| engine.precompile_component(&std::fs::read(guest)?));
    Ok(std::fs::write(to, code.map_err(unwrapped)?)?)
}

/// A guest, built if it isn't there.
fn guest(name: &str) -> Result<PathBuf> {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guest-examples");
    let guest = examples.join(format!("../target/guests/{name}.wasm"));
    if !guest.exists() {
        let built = Command::new("bash").arg(examples.join(name).join("build.sh")).output()?;
        ensure!(built.status.success(), "{name}: {}", String::from_utf8_lossy(&built.stderr));
    }
    guest.canonicalize().with_context(|| format!("{}", guest.display()))
}

/// Compares with the runtime's own way to run a component.
pub fn measure(space: &Path, report: &mut Report) -> Result<()> {
    let compiled = space.join("compiled");
    let this = std::env::current_exe()?;
    for (name, what) in [("plain", "Rust"), ("javascript", "JavaScript"), ("python", "Python")] {
        let guest = guest(name)?;
        let precompiled = space.join(format!("{name}.cwasm"));
        precompile(&guest, &precompiled)?;
        let mut ours = Command::new(&this);
        let pinned = ComponentDigest::of(&std::fs::read(&guest)?).to_string();
        ours.arg("--start").arg(&guest).arg(pinned).arg(&compiled);
        let mut theirs = Command::new(&this);
        theirs.arg("--start-precompiled").arg(&precompiled);
        let samples = take_turns(
            20,
            &mut [&mut |_| Ok(milliseconds(took(&ours)?.time)), &mut |_| {
                Ok(milliseconds(took(&theirs)?.time))
            }],
        )?;
        let [ours, theirs] = samples.as_slice() else { continue };
        let size = std::fs::metadata(&guest)?.len() as f64 / 1e6;
        report.add(Figure {
            what: format!("start of a guest in {what}, {} MB, warm", number(size)),
            against: "wasmtime run, precompiled".into(),
            value: ratio(ours, theirs),
            unit: "",
            bar: Bar::AtMost(1.2),
            detail: format!(
                "{} and {} ms",
                number(Spread::of(ours.iter().copied()).median),
                number(Spread::of(theirs.iter().copied()).median)
            ),
        });
    }
    Ok(())
}
