//! Where a lock can't be kept, none is given.

use std::fs;

use lockkeeper_locks::{FileLocks, LockError, LockStore, Mode, Wish};

use crate::support::{Folder, key, me};

#[tokio::test]
async fn a_folder_that_can_not_be_made_is_named() {
    let folder = Folder::new();
    let file = folder.dir.path().join("file");
    fs::write(&file, "").unwrap();
    let locks = FileLocks::new(&file);
    let error = locks.acquire(Wish::new(&key("sync"), Mode::Shared, &me())).await.unwrap_err();
    assert!(matches!(&error, LockError::Io { path, .. } if path.starts_with(&file)), "{error}");
    assert!(error.to_string().contains("file/sync/.holders"), "{error}");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_file_system_that_can_not_be_written_is_an_error_also_for_root() {
    let locks = FileLocks::new("/proc/lockkeeper");
    let error = locks.acquire(Wish::new(&key("sync"), Mode::Shared, &me())).await.unwrap_err();
    assert!(matches!(error, LockError::Io { .. }), "{error}");
}

#[tokio::test]
async fn a_lock_that_can_not_be_opened_is_not_given() {
    let folder = Folder::new();
    fs::create_dir_all(folder.dir.path().join("sync/.lock")).unwrap();
    let error = folder.try_lock("sync", Mode::Exclusive).await.unwrap_err();
    assert!(matches!(error, LockError::Io { action: "open", .. }), "{error}");
}

#[tokio::test]
async fn a_lock_whose_record_can_not_be_written_is_given_back() {
    let folder = Folder::new();
    assert!(folder.is_free("sync", Mode::Exclusive).await);
    let records = folder.dir.path().join("sync/.holders");
    fs::remove_dir(&records).unwrap();
    std::os::unix::fs::symlink("/proc", &records).unwrap();
    let error = folder.try_lock("sync", Mode::Exclusive).await.unwrap_err();
    assert!(matches!(error, LockError::Io { .. }), "{error}");
    fs::remove_file(&records).unwrap();
    assert!(folder.is_free("sync", Mode::Exclusive).await);
}

#[tokio::test]
async fn a_release_that_fails_says_why_and_frees_the_lock_all_the_same() {
    let folder = Folder::new();
    let lease = folder.try_lock("sync", Mode::Exclusive).await.unwrap();
    let record = folder.dir.path().join("sync/.holders").join(format!("{}.json", lease.id()));
    fs::remove_file(&record).unwrap();
    fs::create_dir(&record).unwrap();
    assert!(matches!(lease.release().await, Err(LockError::Io { action: "remove", .. })));
    assert!(folder.is_free("sync", Mode::Shared).await);
}
