//! What a push sends and a pull brings.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail so")]

mod common;

use common::{Memory, Repository, WEB, fresh, tree};
use lockkeeper_sdk::{Error, Layout};

#[test]
fn what_is_pushed_is_pulled() {
    let files = tree([
        ("data/aws-ec2/web/state.json", "state"),
        ("data/aws-ec2/web/empty", ""),
        ("data/aws-ec2/web/deep/er/odd name ü.json", "odd"),
        ("outputs/aws-ec2/web/log", "log"),
    ]);
    let remote = Memory::default();
    let report = Repository::with(&files).push(&remote, None).unwrap();
    assert_eq!((report.files, report.bytes), (4, 11));
    assert_eq!(fresh(&remote), files);
    assert_eq!(remote.objects.borrow()["data/aws-ec2/web/state.json"], "state");
}

#[test]
fn one_index_for_everything_works_the_same() {
    let remote = Memory::default();
    let mut writer = Repository::new(Layout::Single);
    writer.write("data/aws-ec2/web/state.json", "one");
    writer.write("data/aws-ec2/db/state.json", "one");
    writer.push(&remote, None).unwrap();
    writer.write("data/aws-ec2/web/state.json", "two");
    writer.push(&remote, None).unwrap();

    let mut reader = Repository::new(Layout::Single);
    reader.pull(&remote, None).unwrap();
    assert_eq!(reader.files(), writer.files());
    assert_eq!(remote.documents.borrow().keys().collect::<Vec<_>>(), [".lockkeeper/index/.shard"]);
}

#[test]
fn the_two_layouts_refuse_each_others_remotes() {
    for (first, second) in [(Layout::Single, Layout::PerScope), (Layout::PerScope, Layout::Single)] {
        let remote = Memory::default();
        let mut repository = Repository::new(first);
        repository.write("data/aws-ec2/web/state.json", "one");
        repository.push(&remote, None).unwrap();
        for scope in [None, Some(WEB)] {
            assert!(matches!(Repository::new(second).pull(&remote, scope), Err(Error::Config(_))));
            assert!(matches!(Repository::new(second).push(&remote, scope), Err(Error::Config(_))));
        }
    }
}

#[test]
fn the_same_path_can_be_pushed_again_and_again() {
    let remote = Memory::default();
    let mut writer = Repository::new(Layout::PerScope);
    for content in ["one", "two", "six", ""] {
        writer.write("data/aws-ec2/web/state.json", content);
        assert_eq!(writer.push(&remote, Some(WEB)).unwrap().files, 1);
        assert_eq!(fresh(&remote), writer.files());
    }
    assert!(remote.objects.borrow().keys().all(|key| !key.starts_with(".lockkeeper/staged/")));
}

#[test]
fn an_edit_of_the_same_size_is_pulled() {
    let remote = Memory::default();
    let mut writer = Repository::with(&tree([("data/aws-ec2/web/state.json", "one")]));
    writer.push(&remote, None).unwrap();
    let mut reader = Repository::new(Layout::PerScope);
    reader.pull(&remote, Some(WEB)).unwrap();
    writer.write("data/aws-ec2/web/state.json", "two");
    writer.push(&remote, Some(WEB)).unwrap();
    assert_eq!(reader.pull(&remote, Some(WEB)).unwrap().files, 1);
    assert_eq!(reader.files(), writer.files());
    assert_eq!(reader.pull(&remote, Some(WEB)).unwrap().files, 0);
}

#[test]
fn files_with_the_same_content_are_replaced_together() {
    let remote = Memory::default();
    let mut writer = Repository::with(&tree([("data/a/b/one", "1"), ("data/a/b/two", "2")]));
    writer.push(&remote, None).unwrap();
    writer.replace(&tree([("data/a/b/one", ""), ("data/a/b/two", "")]));
    writer.push(&remote, None).unwrap();
    assert_eq!(fresh(&remote), writer.files());
}

#[test]
fn a_delete_reaches_everyone_and_only_where_it_was_named() {
    let remote = Memory::default();
    let mut writer = Repository::with(&tree([("data/a/b/one", "1"), ("data/a/b/two", "2")]));
    writer.push(&remote, None).unwrap();
    let mut reader = Repository::new(Layout::PerScope);
    reader.pull(&remote, None).unwrap();
    writer.remove("data/a/b/one");
    assert_eq!(writer.push(&remote, Some("data/a/b/")).unwrap().deletions, 1);
    assert!(!remote.objects.borrow().contains_key("data/a/b/one"));
    assert_eq!(reader.pull(&remote, None).unwrap().deletions, 1);
    assert_eq!(reader.files(), tree([("data/a/b/two", "2")]));
}

#[test]
fn an_empty_cache_deletes_nothing() {
    let remote = Memory::default();
    let files = tree([("data/a/b/one", "1"), ("data/a/c/two", "2")]);
    Repository::with(&files).push(&remote, None).unwrap();
    let mut empty = Repository::new(Layout::PerScope);
    empty.push(&remote, None).unwrap();
    empty.push_blindly(&remote, None).unwrap();
    empty.push(&remote, Some("data/a/b/")).unwrap();
    assert_eq!(fresh(&remote), files);
}

#[test]
fn a_deleted_file_can_be_created_again() {
    let remote = Memory::default();
    let mut writer = Repository::with(&tree([("data/a/b/one", "1")]));
    writer.push(&remote, None).unwrap();
    writer.remove("data/a/b/one");
    writer.push(&remote, None).unwrap();
    writer.write("data/a/b/one", "again");
    writer.push(&remote, None).unwrap();
    assert_eq!(fresh(&remote), writer.files());
}

#[test]
fn a_file_becomes_a_folder_and_a_folder_a_file() {
    let remote = Memory::default();
    let mut writer = Repository::with(&tree([("data/a/b/one", "1"), ("data/a/b/two/x", "2")]));
    writer.push(&remote, None).unwrap();
    let after = tree([("data/a/b/one/x", "1"), ("data/a/b/two", "2")]);
    writer.replace(&after);
    writer.push(&remote, None).unwrap();
    assert_eq!(fresh(&remote), after);
}

#[test]
fn a_push_that_does_not_know_what_changed_sends_what_the_remote_lacks() {
    let remote = Memory::default();
    Repository::with(&tree([("data/a/b/one", "1")])).push(&remote, None).unwrap();
    let writer = Repository::with(&tree([("data/a/b/one", "1"), ("data/a/b/two", "2")]));
    let report = writer.push_blindly(&remote, Some("data/a/b/")).unwrap();
    assert_eq!((report.files, report.unchanged, report.deletions), (1, 1, 0));
    assert_eq!(fresh(&remote), writer.files());

    writer.write("data/a/b/one", "other");
    let conflict = Err(Error::Conflict(vec!["data/a/b/one".to_owned()]));
    assert_eq!(writer.push_blindly(&remote, None), conflict);
}

#[test]
fn a_file_that_changes_during_the_push_is_not_committed() {
    for (then, now) in [("one", "two"), ("one", "longer"), ("one", ""), ("", "more")] {
        let remote = Memory::default();
        let writer = Repository::with(&tree([("data/a/b/one", then)]));
        let pushed = writer.push_after(&remote, |writer| writer.write("data/a/b/one", now));
        assert!(matches!(pushed, Err(Error::Retry(_))));
        assert_eq!(fresh(&remote), tree([]));
    }
}

#[test]
fn ten_thousand_changes_arrive() {
    let remote = Memory::default();
    let mut writer = Repository::new(Layout::PerScope);
    (0..10_000).for_each(|i| writer.write(&format!("data/type/model-{}/file-{i}", i % 10), &i.to_string()));
    assert_eq!(writer.push(&remote, None).unwrap().files, 10_000);
    assert_eq!(remote.documents.borrow().len(), 10);
    assert_eq!(fresh(&remote), writer.files());
}
