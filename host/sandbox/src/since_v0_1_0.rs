//! The contract `lockkeeper:datastore@0.1.0`, between its generated bindings and the host's own types.
//!
//! A later version of the contract gets a module of its own beside this one, chosen by what the component exports.

use lockkeeper_changes::Change as HostChange;
use wasmtime::Store;
use wasmtime::component::{HasSelf, InstancePre, Linker, Resource};

use crate::call::{LogLevel, PullReport, PushReport};
use crate::error::{Failure, GuestError, LimitHit};
use crate::guest::{Guest, Work};
use crate::index::{Finding, FindingKind, IndexAction, Indexed};

mod sync_bindings {
    wasmtime::component::bindgen!({
        path: "../../wit",
        inline: "
            package lockkeeper:bindings;
            world syncing {
                import lockkeeper:datastore/digests@0.1.0;
                import lockkeeper:datastore/host@0.1.0;
                export lockkeeper:datastore/sync@0.1.0;
            }
        ",
        world: "lockkeeper:bindings/syncing",
        with: { "lockkeeper:datastore/digests.hasher": blake3::Hasher },
        imports: { default: trappable | tracing },
        exports: { default: async },
    });
}

mod capability_bindings {
    wasmtime::component::bindgen!({
        path: "../../wit",
        inline: "
            package lockkeeper:bindings;
            world promising {
                export lockkeeper:datastore/capabilities@0.1.0;
            }
        ",
        world: "lockkeeper:bindings/promising",
        exports: { default: async },
    });
}

mod index_bindings {
    wasmtime::component::bindgen!({
        path: "../../wit",
        inline: "
            package lockkeeper:bindings;
            world tended {
                import lockkeeper:datastore/index-findings@0.1.0;
                export lockkeeper:datastore/index@0.1.0;
            }
        ",
        world: "lockkeeper:bindings/tended",
        with: { "lockkeeper:datastore/types@0.1.0": super::sync_bindings::lockkeeper::datastore::types },
        imports: { default: trappable | tracing },
        exports: { default: async },
    });
}

use index_bindings::lockkeeper::datastore::index_findings;
use sync_bindings::SyncingPre;
use sync_bindings::exports::lockkeeper::datastore::sync as exported;
use sync_bindings::lockkeeper::datastore::{digests, host, types};

/// A component of this version, linked and ready to be instantiated.
#[derive(Clone)]
pub(crate) struct Linked {
    sync: SyncingPre<Guest>,
    capabilities: Option<capability_bindings::PromisingPre<Guest>>,
    index: Option<index_bindings::TendedPre<Guest>>,
}

/// Offers the host's interface to components of this version.
pub(crate) fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    digests::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?;
    host::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?;
    index_findings::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)
}

/// What a push is asked to do.
pub(crate) struct Options {
    pub(crate) scope: Option<String>,
    pub(crate) written: u64,
    pub(crate) deleted: u64,
    pub(crate) fence: Option<u64>,
}

/// What a call came to, as far as the guest says.
pub(crate) type Answer<T> = wasmtime::Result<Result<T, GuestError>>;

impl Linked {
    pub(crate) fn new(pre: InstancePre<Guest>, exports_capabilities: bool) -> wasmtime::Result<Self> {
        let capabilities =
            exports_capabilities.then(|| capability_bindings::PromisingPre::new(pre.clone())).transpose()?;
        // Absent, or not what this version knows under that name.
        let index = index_bindings::TendedPre::new(pre.clone()).ok();
        Ok(Self { sync: SyncingPre::new(pre)?, capabilities, index })
    }

    /// Whether the guest declares `scoped-sync`; absent if it exports no `capabilities`.
    pub(crate) async fn scoped_sync(&self, store: &mut Store<Guest>) -> wasmtime::Result<Option<bool>> {
        use capability_bindings::exports::lockkeeper::datastore::capabilities::CapabilityFlags;
        let Some(capabilities) = &self.capabilities else { return Ok(None) };
        let instance = capabilities.instantiate_async(&mut *store).await?;
        let flags = instance.lockkeeper_datastore_capabilities().call_capabilities(store).await?;
        Ok(Some(flags.contains(CapabilityFlags::SCOPED_SYNC)))
    }

    /// Whether the guest has an index that can be looked after.
    pub(crate) fn has_index(&self) -> bool {
        self.index.is_some()
    }

    pub(crate) async fn index(&self, store: &mut Store<Guest>, indexed: &Indexed) -> Answer<()> {
        let index = self.index.as_ref().ok_or_else(|| wasmtime::format_err!("it exports no index"))?;
        let instance = index.instantiate_async(&mut *store).await?;
        let index = instance.lockkeeper_datastore_index();
        let scope = indexed.scope.as_ref().map(ToString::to_string);
        let (scope, fence) = (scope.as_deref(), indexed.fence);
        let answer = match indexed.action {
            IndexAction::Show => index.call_show(&mut *store, scope).await?,
            IndexAction::Verify => index.call_verify(&mut *store, scope).await?,
            IndexAction::Rebuild => index.call_rebuild(&mut *store, scope, fence).await?,
            IndexAction::Convert => index.call_convert(&mut *store, fence).await?,
        };
        let limit = store.data().setting.limits.output;
        Ok(match answer {
            Ok(()) => Ok(()),
            Err(error) => Err(guest_error(error, limit)?),
        })
    }

    /// Instantiates the guest and does nothing more.
    pub(crate) async fn instantiate(&self, store: &mut Store<Guest>) -> wasmtime::Result<()> {
        self.sync.instantiate_async(store).await.map(drop)
    }

    pub(crate) async fn push(&self, store: &mut Store<Guest>, options: Options) -> Answer<PushReport> {
        let instance = self.sync.instantiate_async(&mut *store).await?;
        let Options { scope, written, deleted, fence } = options;
        let changes = Some(types::ChangeCount { written, deleted });
        let options = exported::PushOptions { scope, changes, fence };
        let answer = instance.lockkeeper_datastore_sync().call_push(&mut *store, &options).await?;
        let limit = store.data().setting.limits.output;
        Ok(match answer {
            Ok(report) => Ok(PushReport {
                files: report.files,
                unchanged: report.unchanged,
                bytes: report.bytes,
                deletions: report.deletions,
            }),
            Err(error) => Err(guest_error(error, limit)?),
        })
    }

    pub(crate) async fn pull(&self, store: &mut Store<Guest>, scope: Option<String>) -> Answer<PullReport> {
        let instance = self.sync.instantiate_async(&mut *store).await?;
        let options = exported::PullOptions { scope };
        let answer = instance.lockkeeper_datastore_sync().call_pull(&mut *store, &options).await?;
        let limit = store.data().setting.limits.output;
        Ok(match answer {
            Ok(report) => {
                Ok(PullReport { files: report.files, bytes: report.bytes, deletions: report.deletions })
            }
            Err(error) => Err(guest_error(error, limit)?),
        })
    }
}

/// The longest error message that is shown.
const LONGEST_MESSAGE: usize = 16 * 1024;

/// Turns a guest's error into the host's, or into a limit that its text exceeds.
fn guest_error(error: types::Error, limit: crate::Bytes) -> wasmtime::Result<GuestError> {
    let failure = |failure: types::Failure| -> wasmtime::Result<Failure> {
        let texts = [Some(&failure.message), failure.path.as_ref(), failure.request_id.as_ref()];
        within(texts.into_iter().flatten(), limit)?;
        let mut message = failure.message;
        if message.len() > LONGEST_MESSAGE {
            message.truncate(message.floor_char_boundary(LONGEST_MESSAGE));
            message.push('…');
        }
        let (path, status, request_id) = (failure.path, failure.status, failure.request_id);
        Ok(Failure { message, path, status, request_id })
    };
    Ok(match error {
        types::Error::Retry(it) => GuestError::Retry(failure(it)?),
        types::Error::Reauthenticate(it) => GuestError::Reauthenticate(failure(it)?),
        types::Error::Config(it) => GuestError::Config(failure(it)?),
        types::Error::Fatal(it) => GuestError::Fatal(failure(it)?),
        types::Error::Conflict(paths) => {
            // Paths that are in conflict may be many; they are the host's own, given back.
            within(paths.iter(), crate::Bytes(limit.0.saturating_mul(64)))?;
            GuestError::Conflict(paths)
        }
        types::Error::Fenced(fence) => GuestError::Fenced(fence),
    })
}

fn within<'a>(texts: impl Iterator<Item = &'a String>, limit: crate::Bytes) -> wasmtime::Result<()> {
    let length: u64 = texts.map(|text| text.len() as u64).sum();
    if length > limit.0 {
        return Err(LimitHit { option: "output", limit: limit.to_string() }.into());
    }
    Ok(())
}

impl types::Host for Guest {}

impl host::Host for Guest {
    fn log(&mut self, level: host::Level, message: String) -> wasmtime::Result<()> {
        self.log.take(message.len().saturating_add(1))?;
        let level = match level {
            host::Level::Debug => LogLevel::Debug,
            host::Level::Info => LogLevel::Info,
            host::Level::Warn => LogLevel::Warn,
            host::Level::Error => LogLevel::Error,
        };
        self.setting.events.log(level, &message);
        Ok(())
    }

    fn progress(&mut self, update: host::ProgressUpdate) -> wasmtime::Result<()> {
        self.setting.events.progress(update.files, update.bytes, update.total_bytes);
        Ok(())
    }

    fn cancelled(&mut self) -> wasmtime::Result<bool> {
        Ok(self.setting.stop.is_cancelled())
    }

    fn next_changes(&mut self, max: u32) -> wasmtime::Result<Vec<types::Change>> {
        let Work::Push { changes, next } = &mut self.work else { return Ok(Vec::new()) };
        let page: Vec<_> =
            changes.iter().skip(*next).take(max.min(LARGEST_PAGE) as usize).map(guest_change).collect();
        *next += page.len();
        Ok(page)
    }

    fn wants(&mut self, path: String, digest: String) -> wasmtime::Result<bool> {
        Ok(matches!(&self.work, Work::Pull { incoming, .. } if incoming.wants(&path, &digest)))
    }

    fn delete(&mut self, path: String) -> wasmtime::Result<bool> {
        let Work::Pull { incoming, deletions } = &mut self.work else { return Ok(false) };
        let held = incoming.delete(&path);
        *deletions += u64::from(held);
        Ok(held)
    }
}

impl digests::Host for Guest {}

impl digests::HostHasher for Guest {
    fn new(&mut self) -> wasmtime::Result<Resource<blake3::Hasher>> {
        Ok(self.table.push(blake3::Hasher::new())?)
    }

    fn update(&mut self, hasher: Resource<blake3::Hasher>, piece: Vec<u8>) -> wasmtime::Result<()> {
        self.table.get_mut(&hasher)?.update(&piece);
        Ok(())
    }

    fn digest(&mut self, hasher: Resource<blake3::Hasher>) -> wasmtime::Result<String> {
        Ok(self.table.get(&hasher)?.finalize().to_hex().to_string())
    }

    fn drop(&mut self, hasher: Resource<blake3::Hasher>) -> wasmtime::Result<()> {
        self.table.delete(hasher)?;
        Ok(())
    }
}

impl index_findings::Host for Guest {
    fn found(&mut self, finding: index_findings::Finding) -> wasmtime::Result<()> {
        use index_findings::FindingKind as Kind;
        let Work::Index { found } = &self.work else { return Ok(()) };
        let index_findings::Finding { kind, mut path, mut digest, size, mut note } = finding;
        let texts = [Some(&path), digest.as_ref(), note.as_ref()];
        within(texts.into_iter().flatten(), self.setting.limits.output)?;
        for text in [Some(&mut path), digest.as_mut(), note.as_mut()].into_iter().flatten() {
            self.setting.secrets.hide_string(text);
        }
        let kind = match kind {
            Kind::Listed => FindingKind::Listed,
            Kind::Deleted => FindingKind::Deleted,
            Kind::Missing => FindingKind::Missing,
            Kind::Different => FindingKind::Different,
            Kind::Damaged => FindingKind::Damaged,
            Kind::Unlisted => FindingKind::Unlisted,
            Kind::Recovered => FindingKind::Recovered,
            Kind::Converted => FindingKind::Converted,
        };
        found(Finding { kind, path, digest, size, note });
        Ok(())
    }
}

/// The most changes that are handed out at once, whatever the guest asks for.
const LARGEST_PAGE: u32 = 65_536;

fn guest_change(change: &HostChange) -> types::Change {
    match change {
        HostChange::Written { path, size, digest, base, .. } => types::Change::Written(types::WrittenFile {
            path: path.to_string(),
            size: *size,
            digest: digest.to_string(),
            base: base.map(|base| base.to_string()),
        }),
        HostChange::Deleted { path, base } => {
            types::Change::Deleted(types::DeletedFile { path: path.to_string(), base: base.to_string() })
        }
    }
}
