//! Which files a scope is about, and what it costs.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail so")]

mod common;

use common::{Memory, Repository, WEB, fresh, tree};
use lockkeeper_sdk::Layout;

const OUTER: &str = "data/a/b/";
const INNER: &str = "data/a/b/c/";

#[test]
fn a_sibling_with_a_longer_name_is_not_touched() {
    let remote = Memory::default();
    let files = tree([("data/aws-ec2/web/state.json", "web"), ("data/aws-ec2/web-2/state.json", "web-2")]);
    let mut writer = Repository::with(&files);
    writer.push(&remote, None).unwrap();
    writer.remove("data/aws-ec2/web-2/state.json");
    writer.write("data/aws-ec2/web/state.json", "new");
    writer.push(&remote, Some(WEB)).unwrap();
    let expected = tree([("data/aws-ec2/web/state.json", "new"), ("data/aws-ec2/web-2/state.json", "web-2")]);
    assert_eq!(fresh(&remote), expected);

    let mut reader = Repository::new(Layout::PerScope);
    reader.pull(&remote, Some(WEB)).unwrap();
    assert_eq!(reader.files(), tree([("data/aws-ec2/web/state.json", "new")]));
}

#[test]
fn a_pull_of_the_inner_scope_sees_what_was_pushed_under_the_outer_one() {
    let remote = Memory::default();
    let mut writer = Repository::with(&tree([("data/a/b/one", "1"), ("data/a/b/c/two", "2")]));
    writer.push(&remote, Some(OUTER)).unwrap();
    let mut reader = Repository::new(Layout::PerScope);
    reader.pull(&remote, Some(INNER)).unwrap();
    assert_eq!(reader.files(), tree([("data/a/b/c/two", "2")]));

    reader.write("data/a/b/c/two", "new");
    reader.write("data/a/b/c/three", "3");
    reader.push(&remote, Some(INNER)).unwrap();
    writer.pull(&remote, Some(OUTER)).unwrap();
    let expected = tree([("data/a/b/one", "1"), ("data/a/b/c/two", "new"), ("data/a/b/c/three", "3")]);
    assert_eq!(writer.files(), expected);

    writer.remove("data/a/b/c/three");
    writer.push(&remote, Some(OUTER)).unwrap();
    assert_eq!(reader.pull(&remote, Some(INNER)).unwrap().deletions, 1);
}

#[test]
fn a_path_stays_in_one_shard_whatever_scope_it_is_pushed_under() {
    let remote = Memory::default();
    let path = "data/a/b/c/deep/file";
    let mut writer = Repository::with(&tree([(path, "0")]));
    for (round, scope) in [None, Some(OUTER), Some(INNER), None, Some(INNER)].into_iter().enumerate() {
        writer.push(&remote, scope).unwrap();
        let documents = remote.documents.borrow();
        let listing = documents.values().filter(|(_, bytes)| String::from_utf8_lossy(bytes).contains(path));
        assert_eq!(listing.count(), 1);
        drop(documents);
        writer.write(path, &format!("{round} and more"));
    }
}

#[test]
fn a_model_that_is_pushed_with_everything_else_is_committed_at_once() {
    let remote = Memory::default();
    let files = [("data/t/m/a/one", "1"), ("data/t/m/b/two", "2"), ("data/t/other/three", "3")];
    let typed = [("data/@org/aws/ec2/web/four", "4"), ("data/@org/aws/ec2/db/five", "5")];
    let mut writer = Repository::with(&tree(files));
    typed.into_iter().for_each(|(path, content)| writer.write(path, content));
    writer.push(&remote, None).unwrap();
    // One shard for each model, however its files lie.
    assert_eq!(remote.documents.borrow().len(), 4);
    assert_eq!(fresh(&remote), writer.files());
}

#[test]
fn a_stray_file_above_the_models_does_not_make_one_index_of_them() {
    let remote = Memory::default();
    let mut writer = Repository::with(&tree([("data/stray", "0")]));
    writer.push(&remote, None).unwrap();
    writer.replace(&tree([("data/stray", "0"), ("data/a/web/one", "1"), ("data/a/db/two", "2")]));
    writer.push(&remote, None).unwrap();
    assert_eq!(remote.documents.borrow().len(), 3);
    assert_eq!(fresh(&remote), writer.files());
}

#[test]
fn a_scoped_call_makes_the_same_requests_however_much_the_remote_holds() {
    let costs = [1, 10, 500].map(|models| {
        let remote = Memory::default();
        let mut writer = Repository::new(Layout::PerScope);
        (0..models).for_each(|i| writer.write(&format!("data/aws-ec2/model-{i}/state.json"), "state"));
        writer.write("data/aws-ec2/web/state.json", "state");
        writer.push(&remote, None).unwrap();
        writer.write("data/aws-ec2/web/state.json", "other");
        let cost = |call: &mut dyn FnMut()| {
            remote.requests.set(0);
            call();
            remote.requests.get()
        };
        let push = cost(&mut || assert!(writer.push(&remote, Some(WEB)).is_ok()));
        let mut reader = Repository::new(Layout::PerScope);
        let pull = cost(&mut || assert!(reader.pull(&remote, Some(WEB)).is_ok()));
        (push, pull)
    });
    assert_eq!(costs[0], costs[1]);
    assert_eq!(costs[1], costs[2]);
}
