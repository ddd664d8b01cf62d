//! What stands behind one guest call: its store's data, built from what the call may reach.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use lockkeeper_changes::{Change, Incoming};
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_config::WasiConfigVariables;
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView};
use wasmtime_wasi_tls::{WasiTlsCtx, WasiTlsCtxBuilder, WasiTlsCtxView, WasiTlsView};

use crate::call::{LogLevel, Pulled, Pushed, Setting};
use crate::denial::Denials;
use crate::grants::FolderAccess;
use crate::index::{Indexed, OnFinding};
use crate::limits::{Limiter, Limits};
use crate::network::{Requests, Tls, allows_socket};
use crate::output::{Budget, Output};
use crate::quiet::Quiet;
use crate::stepped::{Clocks, Files, Sockets, Stepping};

/// What the host's own interface works on, by direction.
pub(crate) enum Work {
    Ask,
    Push { changes: Arc<[Change]>, next: usize },
    Pull { incoming: Arc<dyn Pulling>, deletions: u64 },
    Index { found: OnFinding },
}

/// Says what a pull should bring, and takes in what the remote deleted.
pub trait Pulling: Send + Sync {
    /// Whether to bring the file with this path and digest.
    fn wants(&self, path: &str, digest: &str) -> bool;
    /// Takes in that the remote deleted a file; whether the cache holds it.
    fn delete(&self, path: &str) -> bool;
}

impl Pulling for Incoming {
    fn wants(&self, path: &str, digest: &str) -> bool {
        Self::wants(self, path, digest)
    }

    fn delete(&self, path: &str) -> bool {
        Self::delete(self, path)
    }
}

/// The data of one call's store.
pub(crate) struct Guest {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    requests: Box<dyn WasiHttpHooks + Send>,
    tls: WasiTlsCtx,
    pub(crate) table: ResourceTable,
    pub(crate) config: WasiConfigVariables,
    pub(crate) limiter: Limiter,
    pub(crate) setting: Setting,
    pub(crate) log: Budget,
    pub(crate) work: Work,
    pub(crate) stepping: Stepping,
}

/// A folder that a guest sees.
struct Mount {
    host: PathBuf,
    guest: String,
    perms: FsPerms,
    /// The open folder, if it had to be opened with care.
    dir: Option<Dir>,
}

fn table(limits: &Limits) -> ResourceTable {
    let mut table = ResourceTable::new();
    table.set_max_capacity(limits.resources as usize);
    table
}

impl Guest {
    /// For `capabilities`: no folder, no network.
    pub(crate) fn asked(setting: &Setting, denials: &Denials) -> io::Result<Self> {
        let nothing = Setting { grants: crate::Grants::default(), ..setting.clone() };
        Self::build(&nothing, denials, Vec::new(), Work::Ask)
    }

    /// For `push`: the cache read-only.
    pub(crate) fn pushing(setting: &Setting, denials: &Denials, pushed: &Pushed) -> io::Result<Self> {
        // An empty copy of the folders above the mounted ones lets a guest walk down from `/cache`.
        std::fs::create_dir_all(&pushed.skeleton)?;
        let mut mounts = vec![Mount::new(&pushed.skeleton, "/cache", FsPerms::ReadOnly)];
        let cache = Dir::open_ambient_dir(&pushed.cache, ambient_authority())?;
        for below in &pushed.folders {
            let inner = pushed.skeleton.join(below);
            std::fs::create_dir_all(&inner)?;
            let mut mount = Mount::new(&inner, &format!("/cache/{below}"), FsPerms::ReadOnly);
            // From within the cache, so that a symlink on the way can't lead out of it.
            match cache.open_dir(below) {
                Ok(dir) => mount.dir = Some(dir),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    return Err(io::Error::new(
                        error.kind(),
                        format!("folder {below} of the cache: {error}"),
                    ));
                }
            }
            mounts.push(mount);
        }
        mounts.push(Mount::new(&pushed.state, "/state", FsPerms::ReadWrite));
        let work = Work::Push { changes: pushed.changes.clone(), next: 0 };
        Self::build(setting, denials, mounts, work)
    }

    /// For `pull`: an empty cache to fill.
    pub(crate) fn pulling(setting: &Setting, denials: &Denials, pulled: &Pulled) -> io::Result<Self> {
        let mut mounts = Vec::new();
        match &pulled.scope {
            None => mounts.push(Mount::new(&pulled.folder, "/cache", FsPerms::ReadWrite)),
            Some(scope) => {
                let folder = pulled.folder.join(scope.folder());
                std::fs::create_dir_all(&folder)?;
                mounts.push(Mount::new(&pulled.folder, "/cache", FsPerms::ReadOnly));
                mounts.push(Mount::new(&folder, &format!("/cache/{}", scope.folder()), FsPerms::ReadWrite));
            }
        }
        mounts.push(Mount::new(&pulled.state, "/state", FsPerms::ReadWrite));
        let work = Work::Pull { incoming: pulled.incoming.clone(), deletions: 0 };
        Self::build(setting, denials, mounts, work)
    }

    /// For `index`: no cache.
    pub(crate) fn indexing(setting: &Setting, denials: &Denials, indexed: &Indexed) -> io::Result<Self> {
        let mounts = vec![Mount::new(&indexed.state, "/state", FsPerms::ReadWrite)];
        Self::build(setting, denials, mounts, Work::Index { found: indexed.found.clone() })
    }

    fn build(setting: &Setting, denials: &Denials, mut mounts: Vec<Mount>, work: Work) -> io::Result<Self> {
        mounts.extend(setting.grants.folders.iter().map(|grant| {
            let perms = match grant.access {
                FolderAccess::ReadOnly => FsPerms::ReadOnly,
                FolderAccess::ReadWrite => FsPerms::ReadWrite,
            };
            Mount::new(&grant.host, &grant.guest, perms)
        }));

        let mut setting = setting.clone();
        setting.events = Arc::new(Quiet::new(setting.events, setting.secrets.clone()));
        let output = Budget::new("output", setting.limits.output);
        let stream =
            |level, output| Output::new(level, setting.events.clone(), output, setting.secrets.clone());
        let mut wasi = WasiCtxBuilder::new();
        // It has a thread of its own.
        wasi.allow_blocking_current_thread(true);
        wasi.stdout(stream(LogLevel::Info, output.clone()));
        wasi.stderr(stream(LogLevel::Warn, output));
        for mount in mounts {
            mount.open(&mut wasi)?;
        }
        let grants = Arc::new(setting.grants.clone());
        wasi.allow_udp(false);
        // Each address is checked, even without any grant, so that a refusal is known for what it is.
        wasi.allow_tcp(true);
        wasi.allow_ip_name_lookup(grants.names_tcp_hosts());
        let (for_sockets, found) = (grants.clone(), denials.clone());
        wasi.socket_addr_check(move |address, socket_use| {
            Box::pin(allowed(allows_socket(for_sockets.clone(), found.clone(), address, socket_use)))
        });

        Ok(Self {
            wasi: wasi.build(),
            http: WasiHttpCtx::new(),
            requests: Box::new(Requests::new(
                grants,
                denials.clone(),
                setting.network.clone(),
                setting.permit.clone(),
            )),
            tls: WasiTlsCtxBuilder::new().provider(Box::new(Tls(setting.network.trust()))).build(),
            table: table(&setting.limits),
            config: setting.config.iter().cloned().collect(),
            limiter: Limiter::new(setting.limits.clone()),
            log: Budget::new("log", setting.limits.log),
            setting,
            work,
            stepping: Stepping::default(),
        })
    }

    /// For a call that is run step by step: folders in memory, virtual time, and random numbers from a seed.
    pub(crate) fn stepping(setting: &Setting, work: Work, stepping: Stepping) -> Self {
        let output = Budget::new("output", setting.limits.output);
        let mut wasi = WasiCtxBuilder::new();
        let stream =
            |level, output| Output::new(level, setting.events.clone(), output, setting.secrets.clone());
        wasi.stdout(stream(LogLevel::Info, output.clone()));
        wasi.stderr(stream(LogLevel::Warn, output));
        wasi.allow_udp(false);
        wasi.allow_tcp(false);
        wasi.secure_random(stepping.random(1));
        wasi.insecure_random(stepping.random(2));
        wasi.insecure_random_seed(u128::from(stepping.seed));
        Self {
            wasi: wasi.build(),
            http: WasiHttpCtx::new(),
            requests: Box::new(stepping.answers()),
            tls: WasiTlsCtxBuilder::new().provider(Box::new(Tls(setting.network.trust()))).build(),
            table: table(&setting.limits),
            config: setting.config.iter().cloned().collect(),
            limiter: Limiter::new(setting.limits.clone()),
            log: Budget::new("log", setting.limits.log),
            setting: setting.clone(),
            work,
            stepping,
        }
    }

    pub(crate) fn virtual_clocks(&mut self) -> Clocks<'_> {
        let Stepping { clock, gate, .. } = &self.stepping;
        Clocks { clock: clock.clone(), gate: gate.clone(), table: &mut self.table }
    }

    pub(crate) fn granted_sockets(&mut self) -> Sockets<'_> {
        let Stepping { servers, gate, clock, denials, .. } = &self.stepping;
        Sockets {
            servers: servers.clone(),
            gate: gate.clone(),
            clock: clock.clone(),
            denials: denials.clone(),
            table: &mut self.table,
        }
    }

    pub(crate) fn memory_files(&mut self) -> Files<'_> {
        let Stepping { clock, gate, mounts, denials, seed, .. } = &self.stepping;
        Files {
            mounts,
            gate: gate.clone(),
            clock: clock.clone(),
            denials: denials.clone(),
            seed: *seed,
            table: &mut self.table,
        }
    }
}

/// Runs a check as a task of its own, since the runtime wants a future that threads can share.
async fn allowed(check: impl Future<Output = bool> + Send + 'static) -> bool {
    tokio::spawn(check).await.unwrap_or(false)
}

impl Mount {
    fn new(host: &Path, guest: &str, perms: FsPerms) -> Self {
        Self { host: host.to_owned(), guest: guest.to_owned(), perms, dir: None }
    }

    /// Opens the folder once, through its handle, so that it can't be swapped for a symlink in between.
    fn open(self, wasi: &mut WasiCtxBuilder) -> io::Result<()> {
        let (host, guest) = (&self.host, &self.guest);
        let named = |error: io::Error| {
            io::Error::new(
                error.kind(),
                format!("folder {} (`{guest}` in the guest): {error}", host.display()),
            )
        };
        let dir = match self.dir {
            Some(dir) => dir,
            None => Dir::open_ambient_dir(&self.host, ambient_authority()).map_err(named)?,
        };
        wasi.preopened_dir(handle_path(&dir, host), guest, self.perms)
            .map_err(|error| named(io::Error::other(error.to_string())))?;
        Ok(())
    }
}

/// A path that leads to the very folder that the handle holds.
#[cfg(target_os = "linux")]
fn handle_path(dir: &Dir, _host: &Path) -> PathBuf {
    use std::os::fd::AsRawFd;
    PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd()))
}

#[cfg(not(target_os = "linux"))]
fn handle_path(_dir: &Dir, host: &Path) -> PathBuf {
    host.to_owned()
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for Guest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: &mut *self.requests }
    }
}

impl WasiTlsView for Guest {
    fn tls(&mut self) -> WasiTlsCtxView<'_> {
        WasiTlsCtxView { ctx: &mut self.tls, table: &mut self.table }
    }
}
