//! Builds a lockkeeper datastore extension from a remote.
//!
//! Implement [`Remote`] for what you store files in and [`Datastore`] for how it is configured, then
//! [`export!`] it. The SDK brings what every remote needs alike: an index that is committed by
//! compare-and-swap, conflicts, deletes that are named and never guessed, pushes that survive a crash at any
//! instant, retries, checked digests, many requests at once, and a mirror of the index that makes a call with nothing to do one request.
//!
//! ```no_run
//! use lockkeeper_sdk::{Datastore, Result, folder::Folder};
//!
//! #[derive(serde::Deserialize)]
//! #[serde(deny_unknown_fields)]
//! struct Config {
//!     root: String,
//! }
//!
//! struct Filesystem;
//!
//! impl Datastore for Filesystem {
//!     type Config = Config;
//!     type Remote = Folder;
//!
//!     fn open(config: Config) -> Result<Folder> {
//!         Folder::open(config.root)
//!     }
//! }
//!
//! lockkeeper_sdk::export!(Filesystem);
//! ```
//!
//! # What the remote holds
//!
//! | key | what |
//! |---|---|
//! | `data/aws-ec2/web/state.json` | a file of the cache, under its own path |
//! | `.lockkeeper/index/data/aws-ec2/web/.shard` | the document that lists the files of one scope, see [`shard`] |
//! | `.lockkeeper/staged/…` | new bytes of a file, until the commit that names them |
//!
//! A file is what the index says: an object that no shard lists is not part of the data.
//!
//! # What a push does
//!
//! It reads the shards that may list the changed files, finishes what earlier pushes left undone there, and judges each change. Then
//! all uploads, then new shards are named in those above them, then each shard is committed by compare-and-swap, then staged objects are
//! moved to their path and deleted ones removed. Within each step, as many requests run at once as the remote takes. Cut off anywhere, a reader sees
//! old or new, and the same push again converges.

#[allow(missing_docs, unsafe_code, clippy::all, reason = "generated from the WIT")]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "indexed-datastore",
        pub_export_macro: true,
        default_bindings_module: "lockkeeper_sdk::bindings",
        additional_derives: [PartialEq],
        generate_all,
    });
}

mod around;
mod body;
mod care;
mod component;
mod config;
mod error;
pub mod folder;
mod hasher;
mod host;
mod index;
mod mirror;
mod pages;
mod path;
mod progress;
mod pull;
mod push;
mod remote;
mod requests;
mod retry;
mod settle;
pub mod shard;
mod shards;
mod verdict;
mod walk;

pub use bindings::lockkeeper::datastore::host::{Level, ProgressUpdate};
pub use bindings::lockkeeper::datastore::index_findings::{Finding, FindingKind};
pub use bindings::lockkeeper::datastore::types::{
    Change, ChangeCount, DeletedFile, PullOptions, PullReport, PushOptions, PushReport, WrittenFile,
};
pub use body::Body;
pub use bytes::Bytes;
pub use care::{convert, rebuild, show, verify};
pub use component::{Component, Datastore};
pub use error::{Error, Failure, Result};
pub use host::Host;
pub use index::Layout;
pub use pages::{Page, pages};
pub use pull::pull;
pub use push::push;
pub use remote::{Document, DocumentRead, Listed, Object, PutNew, Remote, Stored, Swap, Token};
