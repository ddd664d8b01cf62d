//! Dividing the one index of everything.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail so")]

mod common;

use std::collections::BTreeMap;

use common::{Faulty, Memory, Moment, Repository, fresh, tree};
use lockkeeper_sdk::{Error, Layout, Result};

const ROOT: &str = ".lockkeeper/index/.shard";
const OLD: &str = "data/a/b/deleted";

fn files() -> BTreeMap<String, String> {
    tree([
        ("data/stray", "0"),
        ("data/a/b/1", "1"),
        ("data/a/b/c/2", "2"),
        ("data/@org/aws/ec2/web/3", "3"),
        ("data/@org/aws/ec2/web/sub/4", "4"),
        ("outputs/a/b/5", "5"),
    ])
}

/// A remote with one index for everything, who wrote it, and somebody who holds a file that was deleted since.
fn old_remote() -> (Memory, Repository, Repository) {
    let remote = Memory::default();
    let mut writer = Repository::new(Layout::Single);
    files().iter().for_each(|(path, content)| writer.write(path, content));
    writer.write(OLD, "deleted");
    writer.push(&remote, None).unwrap();
    let mut holder = Repository::new(Layout::Single);
    holder.pull(&remote, None).unwrap();
    writer.remove(OLD);
    writer.push(&remote, None).unwrap();
    (remote, writer, holder)
}

fn refused<T: std::fmt::Debug>(result: Result<T>) -> String {
    match result {
        Err(Error::Config(failure)) => failure.message,
        other => panic!("{other:?}"),
    }
}

#[test]
fn everything_is_found_again_by_everyone_who_keeps_one_index_for_each_scope() {
    let (remote, _, _) = old_remote();
    let keeper = Repository::new(Layout::PerScope);
    assert!(
        refused(Repository::new(Layout::PerScope).pull(&remote, None)).contains("lockkeeper index convert")
    );
    assert_eq!(keeper.convert(&remote).unwrap().len(), 4);
    assert_eq!(fresh(&remote), files());
    assert_eq!(keeper.verify(&remote, None), []);
    for scope in ["data/a/b/", "data/a/b/c/", "data/@org/aws/ec2/web/", "outputs/a/b/"] {
        let mut reader = Repository::new(Layout::PerScope);
        reader.pull(&remote, Some(scope)).unwrap();
        let below: BTreeMap<_, _> = files().into_iter().filter(|(path, _)| path.starts_with(scope)).collect();
        assert_eq!(reader.files(), below);
    }
    // A file that was deleted before is deleted still.
    let mut holder = Repository::new(Layout::PerScope);
    holder.write(OLD, "deleted");
    assert_eq!(holder.pull(&remote, Some("data/a/b/")).unwrap().deletions, 1);
    assert_eq!(keeper.convert(&remote).unwrap(), []);
    assert_eq!(fresh(&remote), files());
}

#[test]
fn whoever_keeps_one_index_for_everything_is_refused_from_the_first_step_on_whatever_it_remembers() {
    for moment in [Moment::Before, Moment::After] {
        for at in 0.. {
            let (remote, mut writer, mut holder) = old_remote();
            let keeper = Repository::new(Layout::PerScope);
            let version = remote.documents.borrow()[ROOT].0;
            let finished = keeper.convert(&Faulty::dying(&remote, false, at, moment)).is_ok();
            if remote.documents.borrow()[ROOT].0 == version {
                holder.pull(&remote, None).unwrap();
                assert_eq!(holder.files(), files());
            } else {
                writer.write("data/a/b/1", "edited");
                for message in [
                    refused(writer.push(&remote, None)),
                    refused(writer.pull(&remote, None)),
                    refused(holder.pull(&remote, None)),
                    refused(Repository::new(Layout::Single).pull(&remote, None)),
                ] {
                    assert!(message.contains("one for each scope"), "{message}");
                }
                // Clients that were built before this version existed refuse every other version than 1.
                let text = String::from_utf8(remote.documents.borrow()[ROOT].1.clone()).unwrap();
                assert!(text.contains("\"version\":2"), "{text}");
            }
            keeper.convert(&remote).unwrap();
            assert_eq!(fresh(&remote), files());
            assert_eq!(keeper.verify(&remote, None), []);
            if finished {
                assert!(at > 6, "it made only {at} requests");
                break;
            }
        }
    }
}

#[test]
fn nobody_else_gets_in_before_the_index_is_divided() {
    for at in 0.. {
        let (remote, _, _) = old_remote();
        let keeper = Repository::new(Layout::PerScope);
        let finished = keeper.convert(&Faulty::dying(&remote, false, at, Moment::After)).is_ok();
        let mut newcomer = Repository::with(&tree([("data/new/model/x", "new")]));
        let pushed = newcomer.push(&remote, Some("data/new/model/"));
        let root = String::from_utf8(remote.documents.borrow()[ROOT].1.clone()).unwrap();
        if root.contains("\"conversion\":\"done\"") {
            pushed.unwrap();
        } else {
            assert!(refused(pushed).contains("lockkeeper index convert"));
            assert!(refused(Repository::new(Layout::PerScope).pull(&remote, None)).contains("convert"));
        }
        if finished {
            break;
        }
    }
}

#[test]
fn what_a_push_left_undone_is_done_first() {
    for at in 0..12 {
        let (remote, mut writer, _) = old_remote();
        writer.write("data/a/b/1", "edited");
        writer.remove("data/stray");
        _ = writer.push(&Faulty::dying(&remote, false, at, Moment::After), None);
        let mut reader = Repository::new(Layout::Single);
        reader.pull(&remote, None).unwrap();
        let keeper = Repository::new(Layout::PerScope);
        keeper.convert(&remote).unwrap();
        assert_eq!(fresh(&remote), reader.files());
        assert_eq!(keeper.verify(&remote, None), []);
    }
}

#[test]
fn what_was_changed_after_a_conversion_was_cut_off_is_not_undone() {
    for at in 0.. {
        let (remote, _, _) = old_remote();
        let keeper = Repository::new(Layout::PerScope);
        let finished = keeper.convert(&Faulty::dying(&remote, false, at, Moment::After)).is_ok();
        let mut other = Repository::new(Layout::PerScope);
        let mut expected = files();
        if other.pull(&remote, Some("data/a/b/")).is_ok() {
            other.write("data/a/b/1", "edited");
            other.remove("data/a/b/c/2");
            other.push(&remote, Some("data/a/b/")).unwrap();
            expected.insert("data/a/b/1".to_owned(), "edited".to_owned());
            expected.remove("data/a/b/c/2");
        }
        keeper.convert(&remote).unwrap();
        assert_eq!(fresh(&remote), expected);
        if finished {
            break;
        }
    }
}

#[test]
fn an_extension_that_keeps_one_index_for_everything_does_not_lock_itself_out() {
    let (remote, mut writer, _) = old_remote();
    assert!(refused(writer.convert(&remote)).contains("`scoped-sync`"));
    writer.push(&remote, None).unwrap();
}
