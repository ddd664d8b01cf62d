//! Exporting a datastore as a component.

use std::marker::PhantomData;
use std::path::Path;
use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use serde::de::DeserializeOwned;

use crate::bindings::exports::lockkeeper::datastore::capabilities::{self, CapabilityFlags};
use crate::bindings::exports::lockkeeper::datastore::{index, sync};
use crate::bindings::lockkeeper::datastore::types;
use crate::bindings::lockkeeper::datastore::{host, index_findings};
use crate::bindings::wasi::config::store;
use crate::{
    Change, Error, Finding, Host, Layout, Level, ProgressUpdate, PullOptions, PullReport, PushOptions,
    PushReport, Remote, Result, config,
};

/// An extension: a remote and how it is configured.
pub trait Datastore {
    /// The values of `[datastore.config]`.
    type Config: DeserializeOwned;
    /// The remote they lead to.
    type Remote: Remote;

    /// How the index is divided. With one shard for each scope, the extension declares `scoped-sync`.
    const LAYOUT: Layout = Layout::PerScope;

    /// Opens the remote. Called once for each push and pull.
    fn open(config: Self::Config) -> Result<Self::Remote>;
}

/// Exports a [`Datastore`] as the component that this crate is compiled to.
#[macro_export]
macro_rules! export {
    ($datastore:ty) => {
        type LockkeeperComponent = $crate::Component<$datastore>;
        $crate::bindings::export!(LockkeeperComponent with_types_in $crate::bindings);
    };
}

/// The component that [`export!`] makes of a datastore.
pub struct Component<D>(PhantomData<D>);

impl<D: Datastore> sync::Guest for Component<D> {
    fn push(options: PushOptions) -> Result<PushReport, types::Error> {
        run(async { crate::push(&ComponentHost, &open::<D>()?, D::LAYOUT, &options).await })
    }

    fn pull(options: PullOptions) -> Result<PullReport, types::Error> {
        run(async { crate::pull(&ComponentHost, &open::<D>()?, D::LAYOUT, &options).await })
    }
}

impl<D: Datastore> capabilities::Guest for Component<D> {
    fn capabilities() -> CapabilityFlags {
        match D::LAYOUT {
            Layout::PerScope => CapabilityFlags::SCOPED_SYNC,
            Layout::Single => CapabilityFlags::empty(),
        }
    }
}

impl<D: Datastore> index::Guest for Component<D> {
    fn show(scope: Option<String>) -> Result<(), types::Error> {
        run(async { crate::show(&ComponentHost, &open::<D>()?, D::LAYOUT, scope.as_deref()).await })
    }

    fn verify(scope: Option<String>) -> Result<(), types::Error> {
        run(async { crate::verify(&ComponentHost, &open::<D>()?, D::LAYOUT, scope.as_deref()).await })
    }

    fn rebuild(scope: Option<String>, fence: Option<u64>) -> Result<(), types::Error> {
        run(async { crate::rebuild(&ComponentHost, &open::<D>()?, D::LAYOUT, scope.as_deref(), fence).await })
    }

    fn convert(fence: Option<u64>) -> Result<(), types::Error> {
        run(async { crate::convert(&ComponentHost, &open::<D>()?, D::LAYOUT, fence).await })
    }
}

/// Runs a call to its end.
fn run<T>(call: impl Future<Output = Result<T>>) -> Result<T, types::Error> {
    wstd::runtime::block_on(call).map_err(Into::into)
}

fn open<D: Datastore>() -> Result<D::Remote> {
    let values =
        store::get_all().map_err(|error| Error::fatal(format!("can't read the configuration: {error:?}")))?;
    D::open(config::parse(values)?)
}

/// The host of the contract.
struct ComponentHost;

impl Host for ComponentHost {
    fn cache(&self) -> &Path {
        Path::new("/cache")
    }

    fn state(&self) -> &Path {
        Path::new("/state")
    }

    fn next_changes(&self, max: u32) -> Vec<Change> {
        host::next_changes(max)
    }

    fn wants(&self, path: &str, digest: &str) -> bool {
        host::wants(path, digest)
    }

    fn delete(&self, path: &str) -> bool {
        host::delete(path)
    }

    fn found(&self, finding: Finding) {
        index_findings::found(&finding);
    }

    fn log(&self, level: Level, message: &str) {
        host::log(level, message);
    }

    fn progress(&self, update: ProgressUpdate) {
        host::progress(update);
    }

    fn cancelled(&self) -> bool {
        host::cancelled()
    }

    fn pause(&self, time: Duration) -> LocalBoxFuture<'static, ()> {
        Box::pin(async move {
            wstd::task::sleep(time.into()).await;
        })
    }
}
