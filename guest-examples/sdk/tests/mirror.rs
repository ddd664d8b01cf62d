//! What a repository remembers of the index, and what that saves.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail so")]

mod common;

use std::fs;
use std::path::Path;

use common::{Memory, Repository, WEB, fresh, tree};
use lockkeeper_sdk::Layout;

const STATE: &str = "data/aws-ec2/web/state.json";

/// A remote with so many scopes, one of which has so many files.
fn store(scopes: usize, files: usize) -> (Memory, Repository) {
    let remote = Memory::default();
    let mut writer = Repository::new(Layout::PerScope);
    (0..scopes).for_each(|i| writer.write(&format!("data/aws-ec2/model-{i}/state.json"), "state"));
    (0..files).for_each(|i| writer.write(&format!("{WEB}file-{i}"), "file"));
    writer.write(STATE, "state");
    writer.push(&remote, None).unwrap();
    (remote, writer)
}

#[test]
fn what_a_scoped_call_costs_does_not_depend_on_what_the_remote_holds() {
    let costs = [(10, 10), (10_000, 10), (10, 10_000)].map(|(scopes, files)| {
        let (remote, mut writer) = store(scopes, files);
        writer.push(&remote, Some(WEB)).unwrap();
        let idle_push = remote.cost(|| assert_eq!(writer.push(&remote, Some(WEB)).unwrap().files, 0));
        assert_eq!(remote.unchanged.get(), 1);
        writer.pull(&remote, Some(WEB)).unwrap();
        let idle_pull = remote.cost(|| assert_eq!(writer.pull(&remote, Some(WEB)).unwrap().files, 0));
        assert_eq!(remote.unchanged.get(), 1);

        writer.write(STATE, "edited");
        let edited = remote.cost(|| assert_eq!(writer.push(&remote, Some(WEB)).unwrap().files, 1));
        writer.write("data/aws-ec2/web/new", "new");
        let created = remote.cost(|| assert_eq!(writer.push(&remote, Some(WEB)).unwrap().files, 1));
        writer.remove("data/aws-ec2/web/new");
        let deleted = remote.cost(|| assert_eq!(writer.push(&remote, Some(WEB)).unwrap().deletions, 1));

        let mut other = Repository::new(Layout::PerScope);
        other.pull(&remote, Some(WEB)).unwrap();
        writer.write(STATE, "edited again");
        writer.push(&remote, Some(WEB)).unwrap();
        let brought = remote.cost(|| assert_eq!(other.pull(&remote, Some(WEB)).unwrap().files, 1));
        let first = remote.cost(|| {
            Repository::new(Layout::PerScope).push(&remote, Some(WEB)).unwrap();
        });
        println!(
            "{scopes} scopes, {files} files: idle push {idle_push}, idle pull {idle_pull}, edited {edited}, \
             created {created}, deleted {deleted}, brought {brought}, without memory {first}"
        );
        [idle_push, idle_pull, edited, created, deleted, brought, first]
    });
    // An edit: read, stage, commit, publish, note that it is done.
    assert_eq!(costs[0], [1, 1, 5, 3, 4, 2, 1]);
    assert_eq!(costs[0], costs[1]);
    assert_eq!(costs[0], costs[2]);
}

#[test]
fn a_new_scope_costs_the_same_however_many_there_are() {
    let costs = [10, 1_000].map(|scopes| {
        let (remote, mut writer) = store(scopes, 10);
        writer.write("data/aws-ec2/new/state.json", "new");
        remote.cost(|| assert_eq!(writer.push(&remote, Some("data/aws-ec2/new/")).unwrap().files, 1))
    });
    assert_eq!(costs[0], costs[1]);
}

#[test]
fn a_full_pull_reads_only_the_shards_that_changed() {
    let (remote, mut writer) = store(100, 10);
    let mut reader = Repository::new(Layout::PerScope);
    reader.pull(&remote, None).unwrap();
    assert_eq!(remote.cost(|| assert_eq!(reader.pull(&remote, None).unwrap().files, 0)), 1);
    writer.write("data/aws-ec2/model-7/state.json", "edited");
    writer.push(&remote, Some("data/aws-ec2/model-7/")).unwrap();
    // The listing, the shard, the file.
    assert_eq!(remote.cost(|| assert_eq!(reader.pull(&remote, None).unwrap().files, 1)), 3);
    assert_eq!(reader.files(), writer.files());
}

#[test]
fn a_file_that_the_host_wants_is_brought_though_the_remote_did_not_change() {
    let (remote, mut writer) = store(1, 3);
    for scope in [Some(WEB), None] {
        writer.pull(&remote, scope).unwrap();
        writer.remove(STATE);
        assert_eq!(writer.pull(&remote, scope).unwrap().files, 1);
    }
}

/// Everything that can be wrong with a folder that may be gone at any time.
fn at_every_damage(check: impl Fn(&Memory, &mut Repository, &mut Repository)) {
    type Damage = fn(&Path);
    let damages: [Damage; 6] = [
        |_| {},
        |file| fs::remove_file(file).unwrap(),
        |file| fs::write(file, "").unwrap(),
        |file| {
            let content = fs::read(file).unwrap();
            fs::write(file, &content[..content.len() / 2]).unwrap();
        },
        |file| {
            let content = fs::read_to_string(file).unwrap();
            fs::write(file, content.replace("state.json", "other.json")).unwrap();
        },
        |file| {
            fs::remove_file(file).unwrap();
            fs::create_dir_all(file.join("in the way")).unwrap();
        },
    ];
    for damage in damages {
        for scope in [Some(WEB), None] {
            let (remote, mut writer) = store(2, 3);
            let mut other = Repository::new(Layout::PerScope);
            other.pull(&remote, scope).unwrap();
            let mirrored = fs::read_dir(other.state(scope).join("mirror")).unwrap();
            mirrored.for_each(|file| damage(&file.unwrap().path()));
            check(&remote, &mut writer, &mut other);
        }
    }
}

#[test]
fn a_damaged_or_missing_mirror_is_as_good_as_none() {
    at_every_damage(|remote, writer, other| {
        for scope in [Some(WEB), None] {
            assert_eq!(other.pull(remote, scope).unwrap().deletions, 0);
            other.write(STATE, "by the other");
            other.push(remote, scope).unwrap();
            writer.pull(remote, scope).unwrap();
            assert_eq!(other.files()[STATE], writer.files()[STATE]);
        }
        assert_eq!(fresh(remote), writer.files());
    });
}

#[test]
fn an_old_mirror_hides_nothing() {
    at_every_damage(|remote, writer, other| {
        writer.write(STATE, "edited");
        writer.remove("data/aws-ec2/web/file-1");
        writer.write("data/aws-ec2/web/new", "new");
        writer.push(remote, Some(WEB)).unwrap();
        other.write("data/aws-ec2/web/file-2", "by the other");
        other.push(remote, Some(WEB)).unwrap();
        other.pull(remote, None).unwrap();
        let mut expected = writer.files();
        expected.insert("data/aws-ec2/web/file-2".to_owned(), "by the other".to_owned());
        assert_eq!(other.files(), expected);
        assert_eq!(fresh(remote), expected);
    });
}

#[test]
fn a_mirror_of_another_remote_under_the_same_name_hides_nothing() {
    // As after the remote was emptied and filled anew.
    let folder = tempfile::TempDir::new().unwrap();
    let open = |name: &str| {
        fs::create_dir_all(folder.path().join(name)).unwrap();
        lockkeeper_sdk::folder::Folder::open(folder.path().join(name)).unwrap()
    };
    let mut reader = Repository::new(Layout::PerScope);
    Repository::with(&tree([(STATE, "old"), ("data/aws-ec2/web/old", "old")]))
        .push(&open("old"), None)
        .unwrap();
    reader.pull(&open("old"), Some(WEB)).unwrap();

    let expected = tree([(STATE, "new"), ("data/aws-ec2/web/other", "new")]);
    Repository::with(&expected).push(&open("new"), None).unwrap();
    fs::remove_dir_all(folder.path().join("old")).unwrap();
    fs::rename(folder.path().join("new"), folder.path().join("old")).unwrap();
    assert_eq!(reader.pull(&open("old"), Some(WEB)).unwrap().files, 2);
    assert_eq!(fresh(&open("old")), expected);
}

#[test]
fn ten_thousand_changes_in_one_scope_and_then_one_more() {
    let (remote, mut writer) = store(1, 10_000);
    let mut other = Repository::new(Layout::PerScope);
    other.pull(&remote, Some(WEB)).unwrap();
    (0..10_000).for_each(|i| writer.write(&format!("{WEB}file-{i}"), &format!("edited {i}")));
    assert_eq!(writer.push(&remote, Some(WEB)).unwrap().files, 10_000);
    writer.write(STATE, "edited");
    assert_eq!(writer.push(&remote, Some(WEB)).unwrap().files, 1);
    assert_eq!(other.pull(&remote, Some(WEB)).unwrap().files, 10_001);
    assert_eq!(fresh(&remote), writer.files());
}
