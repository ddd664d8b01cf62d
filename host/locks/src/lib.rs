//! Shared and exclusive locks behind one seam.
//!
//! A [`LockStore`] is asked with a [`Wish`] for a [`LockKey`] in a [`Mode`], and answers with a [`Lease`]: as long as the lease lives, the
//! lock is held, and dropping it gives the lock back. Whoever holds a lock can be read by everybody as a
//! [`Holder`]. [`FileLocks`] is the store for one machine or one shared file system.
//!
//! Every failure is a [`LockError`], and none of them leaves a lock held. Nobody else's lock is ever taken away,
//! and nothing here reads the environment: who is asking is an [`Identity`] that the caller gives.
//!
//! ```
//! # use std::time::Duration;
//! # use lockkeeper_locks::{FileLocks, Identity, LockKey, LockStore, Mode, Wish};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path().to_owned();
//! let locks = FileLocks::new(folder);
//! let key = LockKey::parse("model/aws-ec2/web")?;
//! let who = Identity { user: "ada".into(), host: "mill".into(), pid: 4711, command: "lockkeeper run".into() };
//!
//! let wish = Wish::new(&key, Mode::Exclusive, &who).within(Duration::from_secs(60));
//! let lease = locks.acquire(wish.telling(&|waiting| eprintln!("{waiting}"))).await?;
//! assert_eq!(locks.holders().await?[0].pid, 4711);
//! lease.release().await?;
//! # Ok(())
//! # }
//! ```

mod bucket;
mod clock;
mod error;
mod etcd;
mod file;
mod holder;
mod keeper;
mod key;
mod patience;
mod postgres;
mod proof;
mod store;
mod tls;

pub use bucket::{BucketLocks, BucketOptions};
pub use error::LockError;
pub use etcd::{EtcdLocks, EtcdOptions};
pub use file::FileLocks;
pub use holder::{Holder, Identity, Waiting};
pub use key::{KeyError, LockKey};
pub use postgres::{PostgresLocks, PostgresOptions};
pub use proof::{Loss, Proof};
pub use store::{BoxFuture, Guard, Lease, LockStore, Mode, OnWait, Released, Wish};
pub use tls::{Login, Tls};
