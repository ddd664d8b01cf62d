//! Pushes that are cut off at every request in turn.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail so")]

mod common;

use std::collections::BTreeMap;

use common::{Faulty, Memory, Moment, Repository, fresh, tree};
use lockkeeper_sdk::folder::Folder;
use lockkeeper_sdk::{Error, Remote};
use tempfile::TempDir;

const SCOPE: &str = "data/a/b/";

fn old() -> BTreeMap<String, String> {
    tree([
        ("data/a/b/deleted", "deleted"),
        ("data/a/b/edited", "old"),
        ("data/a/b/file", "becomes a folder"),
        ("data/a/b/folder/file", "becomes a file"),
        ("data/a/b/kept", "kept"),
        ("data/a/b/same-1", "1"),
        ("data/a/b/same-2", "2"),
    ])
}

fn new() -> BTreeMap<String, String> {
    tree([
        ("data/a/b/edited", "new"),
        ("data/a/b/file/within", "in the folder"),
        ("data/a/b/folder", "a file"),
        ("data/a/b/kept", "kept"),
        ("data/a/b/new", "new"),
        ("data/a/b/same-1", "same"),
        ("data/a/b/same-2", "same"),
    ])
}

/// Runs `check` with a remote that was left by a push killed at each of its requests.
fn at_every_crash<R: Remote>(remote: impl Fn() -> R, atomic_rename: bool, check: impl Fn(&R, Repository)) {
    for moment in [Moment::Before, Moment::After] {
        for at in 0.. {
            let remote = remote();
            let mut writer = Repository::with(&old());
            writer.push(&remote, Some(SCOPE)).unwrap();
            writer.replace(&new());
            let finished =
                writer.push(&Faulty::dying(&remote, atomic_rename, at, moment), Some(SCOPE)).is_ok();
            check(&remote, writer);
            if finished {
                assert!(at > 15, "the push made only {at} requests");
                break;
            }
        }
    }
}

fn sees_old_or_new(remote: &impl Remote) {
    let seen = fresh(remote);
    assert!(seen == old() || seen == new(), "a reader saw a mix: {seen:#?}");
}

fn the_same_push_again(remote: &impl Remote, mut writer: Repository) {
    sees_old_or_new(remote);
    writer.push(remote, Some(SCOPE)).unwrap();
    assert_eq!(fresh(remote), new());
}

fn is_settled(remote: &Memory) -> bool {
    let settled = r#""unfinished":{"publish":{},"delete":[]}"#;
    remote.documents.borrow().values().all(|(_, bytes)| String::from_utf8_lossy(bytes).contains(settled))
}

#[test]
fn a_reader_sees_old_or_new_and_the_same_push_again_converges() {
    at_every_crash(Memory::default, false, |remote, writer| {
        the_same_push_again(remote, writer);
        assert!(is_settled(remote));
        assert_eq!(
            *remote.objects.borrow(),
            new().into_iter().map(|(path, text)| (path, text.into())).collect()
        );
    });
}

#[test]
fn the_same_holds_for_a_folder() {
    let folders = std::cell::RefCell::new(Vec::new());
    let open = || {
        let folder = TempDir::new().unwrap();
        let remote = Folder::open(folder.path()).unwrap();
        folders.borrow_mut().push(folder);
        remote
    };
    at_every_crash(open, true, the_same_push_again);
}

#[test]
fn somebody_else_can_go_on_where_a_push_was_cut_off() {
    at_every_crash(Memory::default, false, |remote, _| {
        let mut other = Repository::with(&BTreeMap::new());
        other.pull(remote, Some(SCOPE)).unwrap();
        other.write("data/a/b/theirs", "theirs");
        other.write("data/a/b/edited", "by them");
        other.push(remote, Some(SCOPE)).unwrap();
        assert_eq!(fresh(remote), other.files());
    });
}

#[test]
fn a_push_with_nothing_to_send_finishes_what_was_cut_off() {
    at_every_crash(Memory::default, false, |remote, _| {
        let before = fresh(remote);
        Repository::with(&BTreeMap::new()).push(remote, Some(SCOPE)).unwrap();
        assert!(is_settled(remote));
        assert_eq!(fresh(remote), before);
    });
}

#[test]
fn a_push_that_is_cut_off_again_and_again_still_converges() {
    at_every_crash(Memory::default, false, |remote, mut writer| {
        for at in 0.. {
            let faulty = Faulty::dying(remote, false, at, Moment::After);
            let finished = writer.push(&faulty, Some(SCOPE)).is_ok();
            sees_old_or_new(remote);
            if finished {
                break;
            }
        }
        assert_eq!(fresh(remote), new());
    });
}

#[test]
fn a_request_that_fails_once_is_tried_again() {
    for moment in [Moment::Before, Moment::After] {
        for at in 0..60 {
            let remote = Memory::default();
            let mut writer = Repository::with(&old());
            writer.push(&remote, Some(SCOPE)).unwrap();
            writer.replace(&new());
            let faulty = Faulty::once(&remote, at, moment, Error::retry("throttled"));
            writer.push(&faulty, Some(SCOPE)).unwrap();
            assert_eq!(fresh(&remote), new());
        }
    }
}

#[test]
fn a_request_that_fails_is_never_taken_for_an_empty_remote() {
    let remote = Memory::default();
    Repository::with(&old()).push(&remote, Some(SCOPE)).unwrap();
    for at in 0.. {
        let mut reader = Repository::with(&BTreeMap::new());
        let error = Error::reauthenticate("expired");
        let faulty = Faulty::once(&remote, at, Moment::Before, error.clone());
        match reader.pull(&faulty, Some(SCOPE)) {
            Ok(_) => {
                assert_eq!(reader.files(), old());
                assert!(at > old().len());
                break;
            }
            Err(Error::Reauthenticate(_)) => assert_eq!(reader.files(), BTreeMap::new()),
            Err(other) => panic!("{other}"),
        }
    }
}
