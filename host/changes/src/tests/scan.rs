use std::fs::{self, File, FileTimes};

use super::*;

#[test]
fn a_file_is_new_then_synced_then_changed_then_deleted() {
    let repo = Repo::new();
    repo.write("data/a/b/file", "one");
    assert_eq!(
        repo.scan().changes,
        [Change::Written {
            path: CachePath::parse("data/a/b/file").unwrap(),
            size: 3,
            digest: digest("one"),
            base: None
        }]
    );
    repo.mark();
    assert_eq!(repo.changes(), [""; 0]);
    repo.write("data/a/b/file", "two!");
    assert_eq!(
        repo.scan().changes,
        [Change::Written {
            path: CachePath::parse("data/a/b/file").unwrap(),
            size: 4,
            digest: digest("two!"),
            base: Some(digest("one"))
        }]
    );
    repo.mark();
    repo.remove("data/a/b/file");
    assert_eq!(
        repo.scan().changes,
        [Change::Deleted { path: CachePath::parse("data/a/b/file").unwrap(), base: digest("two!") }]
    );
    repo.mark();
    assert_eq!(repo.changes(), [""; 0]);
}

#[test]
fn an_empty_or_missing_root_has_no_changes() {
    let repo = Repo::new();
    assert_eq!(repo.changes(), [""; 0]);
    fs::create_dir(repo.path("data")).unwrap();
    assert_eq!(repo.changes(), [""; 0]);
}

#[test]
fn only_what_lies_under_the_roots_is_seen() {
    let repo = Repo::new();
    repo.write("elsewhere/file", "");
    repo.write("file", "");
    repo.write("data-2/file", "");
    repo.write("data/file", "");
    repo.write("outputs/file", "");
    assert_eq!(repo.changes(), ["+data/file", "+outputs/file"]);
}

#[test]
fn changes_are_sorted_by_path() {
    let repo = Repo::new();
    for path in ["data/a/b", "data/a.txt", "data/a-b/c", "data/Z", "data/a0"] {
        repo.write(path, "");
    }
    assert_eq!(repo.changes(), ["+data/Z", "+data/a-b/c", "+data/a.txt", "+data/a/b", "+data/a0"]);
}

#[test]
fn an_edit_of_the_same_size_in_the_same_tick_is_a_change() {
    let repo = Repo::on_disk();
    for round in 0..50 {
        repo.write("data/file", &format!("{round:02}"));
        repo.mark();
        let times = fs::metadata(repo.path("data/file")).unwrap().modified().unwrap();
        repo.write("data/file", &format!("{:02}", round + 50));
        File::options().write(true).open(repo.path("data/file")).unwrap().set_modified(times).unwrap();
        assert_eq!(repo.changes(), ["~data/file"], "round {round}");
    }
}

#[test]
fn an_edit_of_the_same_size_right_after_a_pull_is_a_change() {
    for round in 0..20 {
        let repo = Repo::of(&Remote::of(&[("data/file", "old")]));
        let times = fs::metadata(repo.path("data/file")).unwrap().modified().unwrap();
        repo.write("data/file", "new");
        File::options().write(true).open(repo.path("data/file")).unwrap().set_modified(times).unwrap();
        assert_eq!(repo.changes(), ["~data/file"], "round {round}");
    }
}

#[test]
fn a_file_replaced_by_another_of_the_same_size_and_time_is_a_change() {
    let repo = Repo::new();
    repo.write("data/file", "one");
    repo.mark();
    let times = fs::metadata(repo.path("data/file")).unwrap().modified().unwrap();
    repo.write("new", "two");
    File::options().write(true).open(repo.path("new")).unwrap().set_modified(times).unwrap();
    fs::rename(repo.path("new"), repo.path("data/file")).unwrap();
    assert_eq!(repo.changes(), ["~data/file"]);
}

#[test]
fn a_touched_file_is_no_change() {
    let repo = Repo::new();
    repo.write("data/file", "one");
    repo.mark();
    let later = FileTimes::new().set_modified(std::time::SystemTime::UNIX_EPOCH);
    File::options().write(true).open(repo.path("data/file")).unwrap().set_times(later).unwrap();
    assert_eq!(repo.changes(), [""; 0]);
    repo.mark();
    assert_eq!(repo.changes(), [""; 0]);
}

#[test]
fn an_edit_undone_is_no_change() {
    let repo = Repo::new();
    repo.write("data/file", "one");
    repo.mark();
    repo.write("data/file", "two");
    repo.write("data/file", "one");
    assert_eq!(repo.changes(), [""; 0]);
}

#[test]
fn what_is_written_between_scan_and_mark_is_the_next_change() {
    let repo = Repo::new();
    repo.write("data/file", "one");
    repo.write("data/gone", "one");
    let scan = repo.scan();
    repo.write("data/file", "two");
    repo.remove("data/gone");
    repo.cache.mark_synced(&scan).unwrap();
    let scan = repo.scan();
    assert_eq!(short(&scan), ["~data/file", "-data/gone"]);
    assert!(matches!(&scan.changes[0], Change::Written { base, .. } if *base == Some(digest("one"))));
    repo.write("data/gone", "again");
    repo.cache.mark_synced(&scan).unwrap();
    assert_eq!(repo.changes(), ["+data/gone"]);
}

#[test]
fn a_failed_push_leaves_everything_marked() {
    let repo = Repo::new();
    repo.write("data/file", "one");
    let first = repo.scan();
    drop(first);
    assert_eq!(repo.changes(), ["+data/file"]);
}

#[test]
fn a_file_that_became_a_folder_and_back_is_followed() {
    let repo = Repo::new();
    repo.write("data/a", "file");
    repo.mark();
    repo.remove("data/a");
    repo.write("data/a/b", "below");
    assert_eq!(repo.changes(), ["-data/a", "+data/a/b"]);
    repo.mark();
    fs::remove_dir_all(repo.path("data/a")).unwrap();
    repo.write("data/a", "file");
    assert_eq!(repo.changes(), ["+data/a", "-data/a/b"]);
}

#[test]
fn a_scope_does_not_see_its_siblings() {
    let repo = Repo::new();
    for path in
        ["data/ec2/web/a", "data/ec2/web-2/a", "data/ec2/web.txt", "data/ec2/we/a", "data/ec2/web/deep/er"]
    {
        repo.write(path, "");
    }
    let web = repo.cache.changes(&[scope("ec2/web")]).unwrap();
    assert_eq!(short(&web), ["+data/ec2/web/a", "+data/ec2/web/deep/er"]);
    repo.cache.mark_synced(&web).unwrap();
    assert_eq!(repo.changes(), ["+data/ec2/we/a", "+data/ec2/web-2/a", "+data/ec2/web.txt"]);
}

#[test]
fn a_nested_scope_counts_once() {
    let repo = Repo::new();
    repo.write("data/a/b/c/file", "");
    let scan = repo.cache.changes(&[scope("a/b/c"), scope("a/b"), scope("a/b")]).unwrap();
    assert_eq!(short(&scan), ["+data/a/b/c/file"]);
}

#[test]
fn a_model_that_is_gone_is_deleted_file_by_file() {
    let repo = Repo::new();
    repo.write("data/a/b/file", "");
    repo.write("data/a/b/deep/file", "");
    repo.mark();
    fs::remove_dir_all(repo.path("data")).unwrap();
    assert_eq!(
        short(&repo.cache.changes(&[scope("a/b")]).unwrap()),
        ["-data/a/b/deep/file", "-data/a/b/file"]
    );
    assert_eq!(repo.changes(), ["-data/a/b/deep/file", "-data/a/b/file"]);
}

#[test]
fn ten_thousand_files_in_one_scope_are_followed() {
    let repo = Repo::new();
    for n in 0..10_000 {
        repo.write(&format!("data/a/b/{}/{n}", n % 10), "");
    }
    let scan = repo.cache.changes(&[scope("a/b")]).unwrap();
    assert_eq!(scan.changes.len(), 10_000);
    repo.cache.mark_synced(&scan).unwrap();
    assert_eq!(repo.changes(), [""; 0]);
    fs::remove_dir_all(repo.path("data")).unwrap();
    assert_eq!(repo.changes().len(), 10_000);
    repo.mark();
    assert!(repo.state("remotes/shared/synced").is_empty());
}
