//! Scopes within scopes: no file is missed and none is listed twice, whoever makes which shard when.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail so")]

mod common;

use std::collections::BTreeMap;

use common::{Faulty, Memory, Moment, Repository, fresh, tree};
use lockkeeper_sdk::Layout;

const OUTER: &str = "data/a/b/";
const INNER: &str = "data/a/b/c/";
const INMOST: &str = "data/a/b/c/d/";
const SCOPES: [Option<&str>; 6] =
    [None, Some(OUTER), Some(INNER), Some(INMOST), Some("data/a/b/e/"), Some("data/a/other/")];

fn below(files: &BTreeMap<String, String>, scope: Option<&str>) -> BTreeMap<String, String> {
    let files = files.iter().filter(|(path, _)| path.starts_with(scope.unwrap_or_default()));
    files.map(|(path, content)| (path.clone(), content.clone())).collect()
}

/// What everyone sees through every scope, with and without memory of the remote.
fn check(remote: &Memory, readers: &mut [Repository], expected: &BTreeMap<String, String>) {
    for scope in SCOPES {
        let mut newcomer = Repository::new(Layout::PerScope);
        newcomer.pull(remote, scope).unwrap();
        assert_eq!(newcomer.files(), below(expected, scope), "{scope:?}");
        for reader in &mut *readers {
            reader.pull(remote, scope).unwrap();
            assert_eq!(below(&reader.files(), scope), below(expected, scope), "{scope:?}");
        }
    }
    let mut listed: Vec<_> = remote.shards().into_iter().flat_map(|shard| shard.files.into_keys()).collect();
    listed.sort();
    assert!(listed.is_sorted_by(|one, other| one < other), "listed twice: {listed:?}");
}

#[test]
fn whichever_order_the_shards_are_made_in() {
    let files = [
        (Some(OUTER), "data/a/b/file"),
        (Some(INNER), "data/a/b/c/file"),
        (Some(INMOST), "data/a/b/c/d/file"),
        (Some("data/a/b/e/"), "data/a/b/e/file"),
        (None, "data/a/b/c/unscoped"),
        (None, "data/a/file"),
    ];
    for first in 0..files.len() {
        for second in 0..files.len() {
            let remote = Memory::default();
            let mut readers = [Repository::new(Layout::PerScope)];
            let mut expected = BTreeMap::new();
            let order = [first, second].into_iter().chain(0..files.len());
            for (step, at) in order.enumerate() {
                let (scope, path) = files[at];
                let mut writer = Repository::new(Layout::PerScope);
                writer.pull(&remote, scope).unwrap();
                for path in [path.to_owned(), format!("{path}-{step}")] {
                    writer.write(&path, &step.to_string());
                    expected.insert(path, step.to_string());
                }
                writer.push(&remote, scope).unwrap();
                check(&remote, &mut readers, &expected);
            }
        }
    }
}

#[test]
fn an_enclosing_scope_sees_what_was_made_below_it_since_it_looked_last() {
    let remote = Memory::default();
    let mut outer = Repository::with(&tree([("data/a/b/file", "1")]));
    outer.push(&remote, Some(OUTER)).unwrap();
    for (scope, path) in
        [(INMOST, "data/a/b/c/d/x"), (INNER, "data/a/b/c/x"), ("data/a/b/e/", "data/a/b/e/x")]
    {
        Repository::with(&tree([(path, "new")])).push(&remote, Some(scope)).unwrap();
        assert_eq!(outer.pull(&remote, Some(OUTER)).unwrap().files, 1);
        outer.write(path, "by the outer one");
        outer.push(&remote, Some(OUTER)).unwrap();
        assert_eq!(fresh(&remote), outer.files());
    }
    // The inmost one was made before the one in between, so both are named by the outer one.
    let shard = remote.shards().into_iter().find(|shard| shard.scope == OUTER).unwrap();
    assert_eq!(shard.links.unwrap().below.len(), 3);
}

#[test]
fn two_scopes_side_by_side_that_are_made_at_once_are_both_named() {
    let remote = Memory::default();
    let mut outer = Repository::with(&tree([("data/a/b/file", "1")]));
    outer.push(&remote, Some(OUTER)).unwrap();
    let mut one = Repository::with(&tree([("data/a/b/c/x", "one")]));
    remote.before_swap.replace(Some(Box::new(|remote| {
        let mut other = Repository::with(&tree([("data/a/b/e/x", "other")]));
        other.push(remote, Some("data/a/b/e/")).unwrap();
    })));
    one.push(&remote, Some(INNER)).unwrap();
    assert_eq!(outer.pull(&remote, Some(OUTER)).unwrap().files, 2);
    assert_eq!(outer.files(), fresh(&remote));
}

#[test]
fn a_new_scope_that_is_cut_off_at_any_request_is_found_once_it_is_there() {
    for moment in [Moment::Before, Moment::After] {
        for at in 0.. {
            let remote = Memory::default();
            let mut outer = Repository::with(&tree([("data/a/b/file", "1"), ("data/a/b/c/old", "1")]));
            outer.push(&remote, Some(OUTER)).unwrap();
            let mut inner = Repository::new(Layout::PerScope);
            inner.pull(&remote, Some(INNER)).unwrap();
            inner.write("data/a/b/c/old", "edited");
            inner.write("data/a/b/c/new", "new");
            let finished = inner.push(&Faulty::dying(&remote, false, at, moment), Some(INNER)).is_ok();
            let seen = fresh(&remote);
            outer.pull(&remote, Some(OUTER)).unwrap();
            assert_eq!(outer.files(), seen);
            // Somebody else makes one below it meanwhile.
            let mut inmost = Repository::with(&tree([("data/a/b/c/d/x", "inmost")]));
            inmost.push(&remote, Some(INMOST)).unwrap();
            inner.push(&remote, Some(INNER)).unwrap();
            let expected = tree([
                ("data/a/b/file", "1"),
                ("data/a/b/c/old", "edited"),
                ("data/a/b/c/new", "new"),
                ("data/a/b/c/d/x", "inmost"),
            ]);
            check(&remote, &mut [outer, inner, inmost], &expected);
            if finished {
                assert!(at > 6, "the push made only {at} requests");
                break;
            }
        }
    }
}

#[test]
fn whatever_happens_in_whatever_order() {
    let paths = [
        "data/a/b/1",
        "data/a/b/c/2",
        "data/a/b/c/d/3",
        "data/a/b/e/4",
        "data/a/other/5",
        "data/a/6",
        "data/a/b/c/d/e/7",
    ];
    for seed in 0..12 {
        let mut random = fastrand::Rng::with_seed(seed);
        let remote = Memory::concurrent(1 + seed as usize % 3);
        let mut repositories = [(); 3].map(|()| Repository::new(Layout::PerScope));
        let mut expected = BTreeMap::new();
        for step in 0..25 {
            let scope = SCOPES[random.usize(..SCOPES.len())];
            let who = random.usize(..repositories.len());
            let repository = &mut repositories[who];
            repository.pull(&remote, scope).unwrap();
            let mut next = below(&expected, scope);
            for _ in 0..random.usize(..4) {
                let path = paths[random.usize(..paths.len())];
                if !path.starts_with(scope.unwrap_or_default()) {
                    continue;
                }
                let path = format!("{path}-{}", random.usize(..3));
                if random.bool() {
                    repository.write(&path, &format!("{seed} {step}"));
                    next.insert(path, format!("{seed} {step}"));
                } else if next.remove(&path).is_some() {
                    repository.remove(&path);
                }
            }
            if random.u8(..4) == 0 {
                // Cut off somewhere, and then repeated.
                let moment = if random.bool() { Moment::Before } else { Moment::After };
                let faulty = Faulty::dying(&remote, random.bool(), random.usize(..12), moment);
                let _ = repository.push(&faulty, scope);
            }
            repository.push(&remote, scope).unwrap();
            expected.retain(|path, _| !path.starts_with(scope.unwrap_or_default()));
            expected.extend(next);
            if random.u8(..8) == 0 {
                repositories[who] = Repository::new(Layout::PerScope);
            }
            assert_eq!(fresh(&remote), expected, "seed {seed}, step {step}, {scope:?}");
        }
        check(&remote, &mut repositories, &expected);
    }
}
