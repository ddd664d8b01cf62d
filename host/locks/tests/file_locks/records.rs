//! Who holds a lock can be read, also where the records are not what they should be.

use std::fs::{self, File};

use lockkeeper_locks::{FileLocks, LockStore, Mode};

use crate::support::{Folder, me};

#[tokio::test]
async fn listing_a_folder_that_is_not_there_makes_none() {
    let folder = Folder::new();
    let dir = folder.dir.path().join("locks");
    assert_eq!(FileLocks::new(&dir).holders().await.unwrap(), []);
    assert!(!dir.exists());
}

#[tokio::test]
async fn garbage_that_a_live_process_holds_is_an_unknown_holder() {
    let folder = Folder::new();
    let lease = folder.try_lock("repository", Mode::Shared).await.unwrap();
    let records = folder.dir.path().join("repository/.holders");
    fs::write(records.join("0000badc0de0.json"), "no JSON").unwrap();
    let live = File::open(records.join("0000badc0de0.json")).unwrap();
    live.try_lock().unwrap();
    let holders = folder.holders().await;
    let mut seen: Vec<(&str, u32, &str)> = holders.iter().map(|h| (&*h.id, h.pid, &*h.user)).collect();
    seen.sort_by_key(|(_, pid, _)| *pid);
    assert_eq!(seen, [("0000badc0de0", 0, "unknown"), (lease.id(), me().pid, "ada")]);
}

#[tokio::test]
async fn what_a_record_says_of_its_key_and_id_is_not_believed() {
    let folder = Folder::new();
    let lease = folder.try_lock("sync", Mode::Exclusive).await.unwrap();
    let record = folder.dir.path().join("sync/.holders").join(format!("{}.json", lease.id()));
    let text = fs::read_to_string(&record).unwrap();
    fs::write(&record, text.replace("\"sync\"", "\"other\"").replace(lease.id(), "000000000bad")).unwrap();
    let [holder] = &folder.holders().await[..] else { panic!() };
    assert_eq!((&holder.key, &*holder.id), (lease.key(), lease.id()));
}

#[tokio::test]
async fn what_is_left_of_an_unfinished_record_is_cleared_away_by_the_next_exclusive_lock() {
    let folder = Folder::new();
    assert!(folder.is_free("sync", Mode::Exclusive).await);
    let unfinished = folder.dir.path().join("sync/.holders/000000000123.unfinished");
    fs::write(&unfinished, "{").unwrap();
    assert_eq!(folder.holders().await, []);
    assert!(folder.is_free("sync", Mode::Shared).await);
    assert!(unfinished.exists());
    assert!(folder.is_free("sync", Mode::Exclusive).await);
    assert!(!unfinished.exists());
}

#[tokio::test]
async fn what_is_not_of_the_store_is_left_alone_and_not_listed() {
    let folder = Folder::new();
    drop(folder.try_lock("sync", Mode::Exclusive).await.unwrap());
    let foreign = ["notes.json", "sync/notes.json", "sync/.holders/package.json", "sync/.holders/notes"];
    for name in foreign {
        fs::write(folder.dir.path().join(name), "mine").unwrap();
    }
    let _lease = folder.try_lock("sync", Mode::Exclusive).await.unwrap();
    assert_eq!(folder.holders().await.len(), 1);
    for name in foreign {
        assert_eq!(fs::read_to_string(folder.dir.path().join(name)).unwrap(), "mine");
    }
}
