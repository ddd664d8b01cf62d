//! A bucket is trusted with locks only if its store honours conditions.

use std::time::Duration;

use lockkeeper_locks::{BucketLocks, LockError, LockStore, Mode, Wish};
use lockkeeper_remotes::s3::{self, MemoryS3};
use lockkeeper_remotes::{Conditions, Remote, tcp};
use lockkeeper_test_servers::{LyingS3, moto};

use crate::support::{SHORT, bucket_options, key, me, s3_options};

async fn lock(origin: &str) -> Result<(), LockError> {
    let locks = BucketLocks::new(&bucket_options(origin, "probed", SHORT)).unwrap();
    let lease = locks.acquire(Wish::new(&key("sync"), Mode::Exclusive, &me())).await?;
    lease.release().await
}

/// Expects that a store is refused, and that it was asked for nothing but the probe.
async fn is_refused(remote: impl Remote) {
    let server = tcp::Server::start(remote).await.unwrap();
    for _ in 0..2 {
        let error = lock(&server.origin()).await.unwrap_err();
        assert!(matches!(error, LockError::Untrusted { .. }), "{error:?}");
        assert!(error.to_string().contains("can't be trusted with locks"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_ignores_conditions_is_refused() {
    let options = s3::Options { conditions: Conditions::Ignored, ..s3_options() };
    is_refused(MemoryS3::new(options).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_looks_first_and_then_writes_is_refused() {
    let options = s3::Options { conditions: Conditions::NotAtomic, ..s3_options() };
    is_refused(MemoryS3::new(options).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s3s_fs_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    is_refused(LyingS3::new(folder.path(), Some(("test", "test")))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_is_probed_once_and_trusted_after_that() {
    let remote = MemoryS3::new(s3_options()).unwrap();
    let server = tcp::Server::start(remote.clone()).await.unwrap();
    lock(&server.origin()).await.unwrap();
    let probed = remote.log().0.len();
    remote.clear_log();
    lock(&server.origin()).await.unwrap();
    let trusted = remote.log().0.len();
    assert!(trusted < 10 && trusted < probed, "{probed} requests, then {trusted}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn moto_keeps_locks() {
    let Some(moto) = moto() else { return };
    let origin = format!("http://{}", moto.address());
    let locks = || BucketLocks::new(&bucket_options(&origin, "shared", Duration::from_secs(60))).unwrap();
    let (one, other, sync) = (locks(), locks(), key("sync"));
    let mut before = None;
    for _ in 0..3 {
        let lease = one.acquire(Wish::new(&sync, Mode::Exclusive, &me())).await.unwrap();
        let refused = other.acquire(Wish::new(&sync, Mode::Shared, &me())).await.unwrap_err();
        assert!(matches!(refused, LockError::TimedOut { .. }), "{refused:?}");
        assert!(lease.fence() > before);
        before = lease.fence();
        lease.release().await.unwrap();
    }
}
