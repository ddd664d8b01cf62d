//! What a repository last synced, what changed since, and moving a pull into the cache.
//!
//! A [`Cache`] is a folder whose roots are synced. [`Cache::changes`] compares the files of an [`Extent`] with the
//! record of the last sync and returns a [`Scan`]; after a push of its [`Change`]s, [`Cache::mark_synced`]
//! makes them the new base. [`Cache::incoming`] begins a pull: the files arrive in the staging folder of an
//! [`Incoming`], which is then applied to the cache, or dropped and forgotten.
//!
//! The base of a path is the digest of the content that this repository and the remote last agreed on. Every decision
//! compares three digests: the base, the local file's and the remote's. Bytes decide; size and time only
//! spare the hashing where they prove that a file was not touched. File times and permissions are not synced.
//!
//! All state is in `.lockkeeper/` inside the cache, outside every root. Only [`Cache::mark_synced`] and [`Incoming`] write.
//! Nothing here takes locks on models: whoever writes must hold the locks of the extents it passes, from the
//! scan to the mark. Extents that do not overlap may be worked on by several processes at once.
//!
//! ```
//! use lockkeeper_changes::{Cache, Change, Extent};
//! use lockkeeper_names::{ModelId, Root, Scope};
//!
//! let folder = tempfile::tempdir()?;
//! std::fs::create_dir_all(folder.path().join("data/aws-ec2/web"))?;
//! std::fs::write(folder.path().join("data/aws-ec2/web/state.json"), "{}")?;
//!
//! let root = Root::parse("data")?;
//! let web = Extent::Scope(Scope::new(&root, &ModelId::parse("aws-ec2/web")?));
//! let cache = Cache::open(folder.path(), "shared", vec![root])?;
//! let scan = cache.changes(&[web.clone()])?;
//! assert!(matches!(&scan.changes[..], [Change::Written { base: None, .. }]));
//!
//! cache.mark_synced(&scan)?; // once the push has succeeded
//! assert_eq!(cache.changes(&[web])?.changes, []);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod apply;
mod cache;
mod carrier;
mod change;
mod conflicts;
mod crash;
mod decide;
mod error;
mod extent;
mod incoming;
mod interrupted;
mod look;
mod places;
mod plan;
mod records;
mod scan;
mod shelf;
mod staging;
mod stat;
mod sync;
#[cfg(test)]
mod tests;

pub use apply::{Applied, OnConflict};
pub use cache::Cache;
pub use change::{Change, Scan, SkipReason, Skipped};
pub use conflicts::Resolved;
pub use error::{CacheError, PullError};
pub use extent::Extent;
pub use incoming::Incoming;
pub use records::DamagedRecord;
