//! The remote in a folder.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail so")]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::thread;

use common::{Repository, WEB, fresh, tree};
use lockkeeper_sdk::folder::Folder;
use lockkeeper_sdk::{Body, Document, DocumentRead, Error, Layout, PutNew, Remote, Swap, Token};
use pollster::block_on;
use tempfile::TempDir;

const DOCUMENT: &str = ".lockkeeper/index/data/a/b/.shard";

fn folder() -> (TempDir, Folder) {
    let root = TempDir::new().unwrap();
    let remote = Folder::open(root.path()).unwrap();
    (root, remote)
}

fn document(remote: &Folder) -> Option<Document> {
    match block_on(remote.read_document(DOCUMENT, None)).unwrap() {
        DocumentRead::Changed(document) => Some(document),
        DocumentRead::Absent => None,
        DocumentRead::Unchanged => panic!("no version was named"),
    }
}

fn swap(remote: &Folder, expected: Option<&Token>, bytes: &[u8]) -> Swap {
    block_on(remote.swap_document(DOCUMENT, expected, bytes)).unwrap()
}

#[test]
fn what_is_pushed_is_pulled_and_nothing_is_left_over() {
    let (root, remote) = folder();
    let mut writer =
        Repository::with(&tree([("data/aws-ec2/web/state.json", "one"), ("data/aws-ec2/db/x", "")]));
    writer.push(&remote, None).unwrap();
    writer.write("data/aws-ec2/web/state.json", "two");
    writer.remove("data/aws-ec2/db/x");
    writer.push(&remote, None).unwrap();
    assert_eq!(fresh(&remote), writer.files());
    assert_eq!(fs::read_to_string(root.path().join("data/aws-ec2/web/state.json")).unwrap(), "two");
    assert!(!root.path().join("data/aws-ec2/db").exists());
    assert_eq!(fs::read_dir(root.path().join(".lockkeeper/tmp")).unwrap().count(), 0);
}

#[test]
fn a_root_that_is_not_there_is_a_mistake_in_the_configuration() {
    let root = TempDir::new().unwrap();
    let Err(Error::Config(failure)) = Folder::open(root.path().join("missing")) else {
        panic!("it was opened")
    };
    assert!(failure.message.contains("`root`") && failure.message.contains("grant"));
}

#[test]
fn a_file_where_the_index_should_be_is_an_error() {
    let (root, remote) = folder();
    fs::create_dir_all(root.path().join(".lockkeeper/index/data/aws-ec2/web/.shard/00000001.json")).unwrap();
    let mut repository = Repository::new(Layout::PerScope);
    assert!(repository.pull(&remote, Some(WEB)).is_err());
    assert!(repository.pull(&remote, None).is_err());
}

#[test]
fn of_many_who_create_an_object_one_succeeds() {
    let (root, _) = folder();
    let create = |i: usize| {
        let content = format!("content {i}");
        block_on(Folder::open(root.path()).unwrap().put_new("data/x", Body::of(content))).unwrap()
    };
    let created = thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|i| scope.spawn(move || create(i))).collect();
        threads
            .into_iter()
            .filter_map(|thread| thread.join().ok())
            .filter(|put| *put == PutNew::Created)
            .count()
    });
    assert_eq!(created, 1);
}

#[test]
fn no_swap_of_a_document_is_lost() {
    const WRITERS: usize = 4;
    const ROUNDS: usize = 40;
    let (root, remote) = folder();
    let append = |line: String| {
        let remote = Folder::open(root.path()).unwrap();
        loop {
            let (mut bytes, token) =
                document(&remote).map_or((Vec::new(), None), |found| (found.bytes, Some(found.token)));
            bytes.extend_from_slice(line.as_bytes());
            if let Swap::Swapped(_) = swap(&remote, token.as_ref(), &bytes) {
                return;
            }
        }
    };
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            scope.spawn(move || (0..ROUNDS).for_each(|round| append(format!("{writer} {round}\n"))));
        }
    });
    let text = String::from_utf8(document(&remote).unwrap().bytes).unwrap();
    let lines: BTreeSet<_> = text.lines().collect();
    assert_eq!(lines.len(), WRITERS * ROUNDS);
    assert!(fs::read_dir(root.path().join(DOCUMENT)).unwrap().count() < 12);
}

#[test]
fn a_late_swap_does_not_win_however_late_it_is() {
    let (_root, remote) = folder();
    let mut tokens = vec![None];
    for round in 0..30 {
        let swapped = swap(&remote, tokens.last().unwrap().as_ref(), round.to_string().as_bytes());
        let Swap::Swapped(token) = swapped else { panic!("nobody else writes") };
        for late in &tokens {
            assert_eq!(swap(&remote, late.as_ref(), b"late"), Swap::Mismatch);
        }
        tokens.push(Some(token));
        assert_eq!(document(&remote).unwrap().bytes, round.to_string().as_bytes());
    }
}

#[test]
fn two_models_are_pushed_at_the_same_time() {
    let (root, remote) = folder();
    thread::scope(|scope| {
        for model in 0..4 {
            let root = root.path();
            scope.spawn(move || {
                let remote = Folder::open(root).unwrap();
                let mut writer = Repository::new(Layout::PerScope);
                for round in 0..10 {
                    writer.write(&format!("data/type/model-{model}/file-{}", round % 3), &round.to_string());
                    writer.push(&remote, Some(&format!("data/type/model-{model}/"))).unwrap();
                }
            });
        }
    });
    assert_eq!(fresh(&remote).len(), 12);
}

#[test]
fn odd_names_are_pushed_and_pulled() {
    let files = tree([
        ("data/aws-ec2/web/.hidden/file", "1"),
        ("data/aws-ec2/web/.shard/file", "2"),
        ("data/aws-ec2/web/.shard/.shard/.shard", "3"),
        ("data/aws-ec2/web/.../..shard", "4"),
        ("data/aws-ec2/web/back\\slash", "5"),
        ("data/aws-ec2/web/line\nbreak", "6"),
        ("data/.hidden", "7"),
        (".data/.type/.id/state.json", "8"),
    ]);
    let (_root, remote) = folder();
    let mut writer = Repository::new(Layout::PerScope);
    // One at a time, the deepest first, so that each gets a shard of its own.
    for (path, content) in files.iter().rev() {
        writer.write(path, content);
        writer.push(&remote, None).unwrap();
        assert_eq!(fresh(&remote), writer.files());
    }
    let mut reader = Repository::new(Layout::PerScope);
    reader.pull(&remote, Some(WEB)).unwrap();
    reader.pull(&remote, Some(".data/.type/.id/")).unwrap();
    assert_eq!(reader.files().len(), 7);
}
