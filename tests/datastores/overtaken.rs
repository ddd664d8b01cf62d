//! Somebody else writes the same shard, under no common lock: what was written is merged into, never replaced.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use lockkeeper_remotes::Entry;
use support::datastores::{Kind, Store};
use support::proxy::Proxy;
use support::{Ran, Repository, World, fails, says, world_with_credentials};

const REPORTED: i32 = 69;
/// How MongoDB is asked to replace a shard.
const SWAP: &str = "update lockkeeper.index";

/// Two repositories that don't know of each other's locks: `a` behind the proxy, `b` beside it. Both have synced.
fn strangers<'a>(world: &'a World, store: &Store, proxy: &Proxy) -> (Repository<'a>, Repository<'a>) {
    let own = |name: &str| format!("[locks]\npath = \"../locks-of-{name}\"");
    let a = store.repository_at(world, "a", proxy.address(), &own("a"));
    let b = store.repository_at(world, "b", store.address(), &own("b"));
    a.write("data/kind/model/first", "first");
    a.ok(&["push", "--model", "kind/model"]);
    b.ok(&["pull", "--model", "kind/model"]);
    (a, b)
}

/// Each request of a push in turn waits until somebody else has pushed. Says how often a condition failed.
fn at_each_request(kind: Kind) -> Option<usize> {
    let mut failed = 0;
    let mut commits = Vec::new();
    for number in 0.. {
        let store = Store::new(kind)?;
        let proxy = store.proxy();
        let world = world_with_credentials!();
        let (a, b) = strangers(&world, &store, &proxy);
        a.write("data/kind/model/of-a", "a");
        b.write("data/kind/model/of-b", "b");
        proxy.clear();
        store.clear_log();
        let count = Arc::new(AtomicUsize::new(0));
        let (counted, overtakes) =
            (count.clone(), std::sync::Mutex::new(b.command(&["push", "--model", "kind/model"])));
        proxy.before(move |_| {
            if counted.fetch_add(1, Ordering::SeqCst) == number {
                let ran = Ran::of(&mut overtakes.lock().unwrap());
                assert_eq!(ran.code, 0, "{}", ran.stderr);
            }
        });
        let ran = a.run(&["push", "--model", "kind/model"]);
        assert_eq!(ran.code, 0, "overtaken at request {number}: {}\n{:#?}", ran.stderr, proxy.requests());
        let swaps = proxy.requests().iter().filter(|request| request.starts_with(SWAP)).count();
        if count.load(Ordering::SeqCst) <= number {
            // That was all of them.
            assert!(number > 0, "it made no request");
            // MongoDB says in no status that somebody was faster; then the shard is written once more.
            return Some(failed + commits.into_iter().filter(|commit| *commit > swaps).count());
        }
        commits.push(swaps);
        let log = store.log().unwrap_or_default();
        let overtaken = |entry: &&Entry| entry.status == 412 && entry.key.contains(".shard");
        failed += log.0.iter().filter(overtaken).count();
        let fresh = store.repository(&world, "fresh");
        fresh.ok(&["pull"]);
        let files: Vec<_> = fresh.files("data").into_keys().collect();
        let all = ["data/kind/model/first", "data/kind/model/of-a", "data/kind/model/of-b"];
        assert_eq!(files, all, "overtaken at request {number}: {:#?}", proxy.requests());
    }
    None
}

/// Before each write of a shard, somebody else writes it: the push gives up in the end, and has replaced nothing.
fn over_and_over(kind: Kind, is_commit: impl Fn(&str) -> bool + Send + Sync + 'static) {
    let Some(store) = Store::new(kind) else { return };
    let proxy = store.proxy();
    let world = world_with_credentials!();
    let (a, b) = strangers(&world, &store, &proxy);
    a.write("data/kind/model/of-a", "a");
    proxy.clear();
    let written = Arc::new(AtomicUsize::new(0));
    let (count, folder) = (written.clone(), b.folder.clone());
    let overtakes = std::sync::Mutex::new(b.command(&["push", "--model", "kind/model"]));
    proxy.before(move |request| {
        if is_commit(request) {
            let number = count.fetch_add(1, Ordering::SeqCst);
            assert!(number < 100, "it tries without end");
            std::fs::write(folder.join(format!("data/kind/model/of-b-{number:02}")), "b").unwrap();
            let ran = Ran::of(&mut overtakes.lock().unwrap());
            assert_eq!(ran.code, 0, "{}", ran.stderr);
        }
    });
    let said = fails(&a.run(&["push", "--model", "kind/model"]), REPORTED);
    says(&said, &["others keep writing this shard"]);
    let count = written.load(Ordering::SeqCst);
    assert!((2..=40).contains(&count), "{count}");
    assert_eq!(a.unpushed(), ["data/kind/model/of-a"]);

    proxy.before(|_| ());
    a.ok(&["push", "--model", "kind/model"]);
    let fresh = store.repository(&world, "fresh");
    fresh.ok(&["pull"]);
    assert_eq!(fresh.files("data").len(), 2 + count);
}

#[test]
fn a_push_to_s3_that_is_overtaken_at_any_request_merges() {
    assert!(at_each_request(Kind::S3).unwrap() > 0, "nobody was ever overtaken at the shard");
}

#[test]
fn a_push_to_google_cloud_storage_that_is_overtaken_at_any_request_merges() {
    assert!(at_each_request(Kind::Gcs).unwrap() > 0, "nobody was ever overtaken at the shard");
}

#[test]
fn a_push_to_mongodb_that_is_overtaken_at_any_request_merges() {
    let failed = at_each_request(Kind::Mongo);
    assert!(failed.is_none_or(|failed| failed > 0), "nobody was ever overtaken at the shard");
}

#[test]
fn a_push_to_s3_that_is_overtaken_over_and_over_gives_up_and_replaces_nothing() {
    over_and_over(Kind::S3, |request| request.starts_with("PUT ") && request.contains(".shard"));
}

#[test]
fn a_push_to_google_cloud_storage_that_is_overtaken_over_and_over_gives_up_and_replaces_nothing() {
    // A new object is asked for with generation 0.
    let replaces = |condition: &str| !condition.is_empty() && condition != "0";
    over_and_over(Kind::Gcs, move |request| {
        request.rsplit_once("ifGenerationMatch=").is_some_and(|(_, condition)| replaces(condition))
    });
}

#[test]
fn a_push_to_mongodb_that_is_overtaken_over_and_over_gives_up_and_replaces_nothing() {
    over_and_over(Kind::Mongo, |request| request == SWAP);
}
