//! What a scoped command costs follows the change, not the store.

use std::collections::BTreeMap;

use bytes::Bytes;
use lockkeeper_remotes::Content;
use support::datastores::{Kind, Store};
use support::proxy::Proxy;
use support::{Repository, memory, world_with_credentials};

const FILES: usize = 100;

/// Requests of one command, by operation.
type Counts = BTreeMap<String, usize>;

/// Makes more models: what was pushed of `kind/0000`, under other names. So the store looks as if each had been pushed.
fn multiply(store: &Store, models: usize) {
    match (store.as_s3(), store.as_gcs()) {
        (Some(s3), _) => copies(s3.objects(), models, |key, content| s3.insert(key, content)),
        (_, Some(gcs)) => copies(gcs.objects(), models, |key, content| gcs.insert(key, content)),
        _ => store.python("multiply.py", &[&models.to_string()]),
    }
}

fn copies(objects: BTreeMap<String, Content>, models: usize, put: impl Fn(&str, Bytes)) {
    let template = objects.into_iter().filter(|(key, _)| key.contains("kind/0000/"));
    let template: Vec<_> = template.map(|(key, content)| (key, content.to_bytes())).collect();
    for model in 1..models {
        let name = format!("kind/{model:04}/");
        for (key, content) in &template {
            // Shards name their own scope; contents don't.
            let content = match std::str::from_utf8(content) {
                Ok(text) if text.contains("kind/0000/") => text.replace("kind/0000/", &name).into(),
                _ => content.clone(),
            };
            put(&key.replace("kind/0000/", &name), content);
        }
    }
}

/// The requests of a command: by the server's own log if it has one, or as a proxy sees them.
fn count(store: &Store, proxy: &Proxy, command: impl FnOnce()) -> Counts {
    store.clear_log();
    proxy.clear();
    command();
    let mut counts = Counts::new();
    match store.log() {
        Some(log) => {
            counts = log.counts().into_iter().map(|(name, count)| (name.to_owned(), count)).collect()
        }
        None => proxy.requests().into_iter().for_each(|name| *counts.entry(name).or_default() += 1),
    }
    counts
}

/// What each command costs in a store of so many models with 100 files each.
fn costs(kind: Kind, models: usize) -> Option<Vec<(&'static str, Counts)>> {
    let store = Store::new(kind)?;
    let proxy = store.proxy();
    let world = world_with_credentials!(in &memory());
    let a = store.repository(&world, "a");
    let b = store.repository_at(&world, "b", proxy.address(), "");
    for file in 0..FILES {
        a.write(&format!("data/kind/0000/file-{file:03}"), format!("content of {file}"));
    }
    a.ok(&["push", "--model", "kind/0000"]);
    multiply(&store, models);
    // That the multiplied ones are as good as pushed ones: somebody pulls one.
    b.ok(&["pull", "--model", "kind/0001"]);
    assert_eq!(b.files("data/kind/0001").len(), FILES);
    assert_eq!(b.read("data/kind/0001/file-007").unwrap(), b"content of 7");
    // What is found out once about the store isn't counted.
    b.write("data/kind/0001/file-006", "changed");
    b.ok(&["push", "--model", "kind/0001"]);

    let model = ["--model", "kind/0001"];
    let run = |repository: &Repository, command: &str| {
        count(&store, &proxy, || drop(repository.ok(&[&[command], &model[..]].concat())))
    };
    let mut costs = Vec::new();
    costs.push(("pull, nothing new", run(&b, "pull")));
    b.write("data/kind/0001/file-007", "changed");
    costs.push(("push of one changed file", run(&b, "push")));
    a.ok(&["pull", "--model", "kind/0001"]);
    a.write("data/kind/0001/file-008", "changed, too");
    a.ok(&["push", "--model", "kind/0001"]);
    costs.push(("pull of one changed file", run(&b, "pull")));
    assert_eq!(b.read("data/kind/0001/file-008").unwrap(), b"changed, too");
    costs.push(("push, nothing to do", run(&b, "push")));
    Some(costs)
}

/// Compares a store of 1,000 files with one of `models` times 100, and with the most requests that a command may take.
fn follow_the_change(kind: Kind, models: usize, most: usize) {
    let Some((small, large)) = costs(kind, 10).zip(costs(kind, models)) else { return };
    println!("{kind:?}: requests of a scoped command, in a store of 1,000 files and of {}", models * FILES);
    for ((what, small), (_, large)) in small.iter().zip(&large) {
        let total = |counts: &Counts| counts.values().sum::<usize>();
        println!("  {what}: {} and {} {large:?}", total(small), total(large));
    }
    assert_eq!(small, large);
    for (what, counts) in large {
        let most = if what.ends_with("nothing to do") { 0 } else { most };
        assert!(counts.values().sum::<usize>() <= most, "{what}: {counts:?}");
    }
}

#[test]
fn a_scoped_command_costs_as_many_requests_in_a_large_s3_as_in_a_small_one() {
    follow_the_change(Kind::S3, 1000, 8);
}

#[test]
fn a_scoped_command_costs_as_many_requests_in_a_large_google_cloud_storage_as_in_a_small_one() {
    follow_the_change(Kind::Gcs, 1000, 8);
}

#[test]
fn a_scoped_command_costs_as_many_requests_in_a_large_mongodb_as_in_a_small_one() {
    follow_the_change(Kind::Mongo, 1000, 20);
}

#[test]
fn new_files_cost_mongodb_requests_by_the_hundred() {
    let cost = |count: usize| {
        let store = Store::new(Kind::Mongo)?;
        let proxy = store.proxy();
        let world = world_with_credentials!(in &memory());
        let a = store.repository_at(&world, "a", proxy.address(), "");
        for file in 0..count {
            a.write(&format!("data/kind/model/file-{file:04}"), format!("content of {file}"));
        }
        let counts = self::count(&store, &proxy, || drop(a.ok(&["push", "--model", "kind/model"])));
        println!("{count} new files: {} requests {counts:?}", counts.values().sum::<usize>());
        let b = store.repository(&world, "b");
        b.ok(&["pull"]);
        assert!(a.files("data") == b.files("data"));
        Some(counts.values().sum::<usize>())
    };
    let Some((few, many)) = cost(1000).zip(cost(2000)) else { return };
    assert!(many <= few + 50, "{few} requests for 1,000 new files, {many} for 2,000");
}
