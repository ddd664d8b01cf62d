//! What is never overwritten.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail so")]

mod common;

use common::{Memory, Repository, WEB, digest, fresh, tree};
use lockkeeper_sdk::{Error, Layout, Result};

const STATE: &str = "data/aws-ec2/web/state.json";
const DOCUMENT: &str = ".lockkeeper/index/data/aws-ec2/web/.shard";

fn two_repositories(remote: &Memory) -> (Repository, Repository) {
    let mut one = Repository::with(&tree([(STATE, "old"), ("data/aws-ec2/web/other", "other")]));
    one.push(remote, None).unwrap();
    let mut two = Repository::new(Layout::PerScope);
    two.pull(remote, None).unwrap();
    (one, two)
}

fn conflict<T>(result: Result<T>) -> Vec<String> {
    match result {
        Err(Error::Conflict(paths)) => paths,
        Err(error) => panic!("not a conflict: {error}"),
        Ok(_) => panic!("no conflict"),
    }
}

#[test]
fn a_file_edited_on_both_sides_is_a_conflict_and_nothing_is_sent() {
    let remote = Memory::default();
    let (mut one, mut two) = two_repositories(&remote);
    one.write(STATE, "one");
    one.push(&remote, Some(WEB)).unwrap();
    two.write(STATE, "two");
    two.write("data/aws-ec2/web/other", "edited");
    two.write("data/aws-ec2/web/new", "new");
    assert_eq!(conflict(two.push(&remote, Some(WEB))), [STATE]);
    assert_eq!(fresh(&remote), one.files());
}

#[test]
fn both_create_a_file() {
    let remote = Memory::default();
    let (mut one, mut two) = two_repositories(&remote);
    one.write("data/aws-ec2/web/new", "same");
    two.write("data/aws-ec2/web/new", "same");
    one.push(&remote, Some(WEB)).unwrap();
    assert_eq!(two.push(&remote, Some(WEB)).unwrap().unchanged, 1);
    one.write("data/aws-ec2/web/newer", "one");
    two.write("data/aws-ec2/web/newer", "two");
    one.push(&remote, Some(WEB)).unwrap();
    assert_eq!(conflict(two.push(&remote, Some(WEB))), ["data/aws-ec2/web/newer"]);
}

#[test]
fn an_edit_against_a_delete_is_a_conflict_either_way() {
    let remote = Memory::default();
    let (mut one, mut two) = two_repositories(&remote);
    one.remove(STATE);
    two.write(STATE, "two");
    one.push(&remote, Some(WEB)).unwrap();
    assert_eq!(conflict(two.push(&remote, Some(WEB))), [STATE]);

    let remote = Memory::default();
    let (mut one, mut two) = two_repositories(&remote);
    one.remove(STATE);
    two.write(STATE, "two");
    two.push(&remote, Some(WEB)).unwrap();
    assert_eq!(conflict(one.push(&remote, Some(WEB))), [STATE]);
}

#[test]
fn a_file_deleted_by_both_is_deleted() {
    let remote = Memory::default();
    let (mut one, mut two) = two_repositories(&remote);
    one.remove(STATE);
    two.remove(STATE);
    assert_eq!(one.push(&remote, Some(WEB)).unwrap().deletions, 1);
    assert_eq!(two.push(&remote, Some(WEB)).unwrap().deletions, 1);
}

#[test]
fn a_stale_copy_does_not_overwrite_newer_content() {
    let remote = Memory::default();
    let (mut one, mut two) = two_repositories(&remote);
    one.write(STATE, "new");
    one.push(&remote, Some(WEB)).unwrap();
    two.write("data/aws-ec2/web/other", "edited");
    two.push(&remote, None).unwrap();
    assert_eq!(fresh(&remote), tree([(STATE, "new"), ("data/aws-ec2/web/other", "edited")]));
}

#[test]
fn a_commit_is_merged_into_what_somebody_else_committed_meanwhile() {
    let remote = Memory::default();
    let (mut one, _) = two_repositories(&remote);
    one.write(STATE, "one");
    remote.before_swap.replace(Some(Box::new(|remote| {
        let mut other = Repository::with(&tree([("data/aws-ec2/web/theirs", "theirs")]));
        other.push(remote, Some(WEB)).unwrap();
    })));
    one.push(&remote, Some(WEB)).unwrap();
    let expected =
        [(STATE, "one"), ("data/aws-ec2/web/other", "other"), ("data/aws-ec2/web/theirs", "theirs")];
    assert_eq!(fresh(&remote), tree(expected));
}

#[test]
fn a_conflict_that_arises_during_the_push_is_found_at_the_commit() {
    for path in [STATE, "data/aws-ec2/web/new"] {
        let remote = Memory::default();
        let (mut one, mut two) = two_repositories(&remote);
        one.write(path, "one");
        two.write(path, "two");
        let theirs = two.files();
        remote.before_swap.replace(Some(Box::new(move |remote| {
            two.push(remote, Some(WEB)).unwrap();
        })));
        assert_eq!(conflict(one.push(&remote, Some(WEB))), [path]);
        assert_eq!(fresh(&remote), theirs);
    }
}

#[test]
fn a_damaged_shard_is_an_error_and_not_an_empty_one() {
    type Edit = fn(String) -> String;
    let damage: [Edit; 7] = [
        |_| String::new(),
        |_| "{}".to_owned(),
        |text| text[..text.len() / 2].to_owned(),
        |text| text.replace("\"scope\":\"data/aws-ec2/web/\"", "\"scope\":\"data/aws-ec2/db/\""),
        |text| text.replace(&digest("old"), "../../escape"),
        |text| text.replace(STATE, "data/aws-ec2/web/../../../../etc/passwd"),
        |text| text.replace(STATE, "data/aws-ec2/db/state.json"),
    ];
    for edit in damage {
        let remote = Memory::default();
        let (mut one, _) = two_repositories(&remote);
        remote.edit(DOCUMENT, edit);
        one.write(STATE, "one");
        for scope in [None, Some(WEB)] {
            assert!(matches!(one.push(&remote, scope), Err(Error::Fatal(_))));
            assert!(matches!(one.pull(&remote, scope), Err(Error::Fatal(_))));
        }
    }
}

#[test]
fn a_shard_of_a_later_version_asks_for_an_upgrade() {
    let remote = Memory::default();
    let (mut one, _) = two_repositories(&remote);
    remote.edit(DOCUMENT, |text| text.replace("\"version\":2", "\"version\":3"));
    let Err(Error::Fatal(failure)) = one.pull(&remote, Some(WEB)) else { panic!("it was read") };
    assert!(failure.message.contains("upgrade"));
    assert_eq!(failure.path.as_deref(), Some(DOCUMENT));
}

#[test]
fn content_that_the_index_does_not_list_is_never_delivered() {
    let remote = Memory::default();
    let (_one, mut two) = two_repositories(&remote);
    remote.objects.borrow_mut().insert(STATE.to_owned(), "bad".into());
    assert_eq!(two.pull(&remote, None).unwrap().files, 0);
    let mut reader = Repository::new(Layout::PerScope);
    assert!(matches!(reader.pull(&remote, None), Err(Error::Retry(_))));
    assert_eq!(reader.files(), tree([]));
}
