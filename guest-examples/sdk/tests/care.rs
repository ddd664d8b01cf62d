//! Showing the index, checking it, and making lost parts of it anew.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail so")]

mod common;

use std::collections::BTreeMap;

use common::{Faulty, Memory, Moment, Repository, WEB, fresh, tree};
use lockkeeper_sdk::{Error, FindingKind, Layout};

const STATE: &str = "data/aws-ec2/web/state.json";
const SHARD: &str = ".lockkeeper/index/data/aws-ec2/web/.shard";
const DB: &str = "data/aws-ec2/db/state.json";

/// A remote, who wrote it, and somebody who holds a file that was deleted since.
fn store(layout: Layout) -> (Memory, Repository, Repository) {
    let remote = Memory::default();
    let mut writer = Repository::new(layout);
    let files =
        [(STATE, "state"), ("data/aws-ec2/web/old", "old"), ("data/aws-ec2/web/other", "other"), (DB, "db")];
    files.into_iter().for_each(|(path, content)| writer.write(path, content));
    writer.push(&remote, None).unwrap();
    let mut holder = Repository::new(layout);
    holder.pull(&remote, None).unwrap();
    writer.remove("data/aws-ec2/web/old");
    writer.push(&remote, None).unwrap();
    (remote, writer, holder)
}

fn found(kind: FindingKind, paths: &[&str]) -> Vec<(FindingKind, String)> {
    paths.iter().map(|path| (kind, (*path).to_owned())).collect()
}

#[test]
fn what_is_listed_is_shown_with_what_was_deleted() {
    for layout in [Layout::PerScope, Layout::Single] {
        let (remote, writer, _) = store(layout);
        let shown = writer.show(&remote, Some(WEB).filter(|_| layout == Layout::PerScope));
        let shown: Vec<_> = shown.into_iter().filter(|(_, path)| path.starts_with(WEB)).collect();
        assert_eq!(shown[0], (FindingKind::Deleted, "data/aws-ec2/web/old".to_owned()));
        assert_eq!(shown[1..], found(FindingKind::Listed, &["data/aws-ec2/web/other", STATE]));
        assert_eq!(writer.show(&remote, None).len(), 4);
    }
}

#[test]
fn what_the_remote_does_not_hold_as_listed_is_found() {
    for layout in [Layout::PerScope, Layout::Single] {
        let (remote, writer, _) = store(layout);
        assert_eq!(writer.verify(&remote, None), []);
        remote.objects.borrow_mut().remove(STATE);
        remote.objects.borrow_mut().insert(DB.to_owned(), "xx".into());
        let expected = [found(FindingKind::Different, &[DB]), found(FindingKind::Missing, &[STATE])].concat();
        assert_eq!(writer.verify(&remote, None), expected);
        if layout == Layout::PerScope {
            assert_eq!(writer.verify(&remote, Some(WEB)), found(FindingKind::Missing, &[STATE]));
        }
    }
}

#[test]
fn lost_and_damaged_shards_are_found() {
    let (remote, writer, _) = store(Layout::PerScope);
    remote.edit(SHARD, |text| text[..text.len() / 2].to_owned());
    remote.documents.borrow_mut().remove(".lockkeeper/index/data/aws-ec2/db/.shard");
    let expected = [
        found(FindingKind::Damaged, &[SHARD]),
        found(FindingKind::Unlisted, &[DB, "data/aws-ec2/web/other", STATE]),
    ];
    assert_eq!(writer.verify(&remote, None), expected.concat());
}

#[test]
fn a_lost_shard_is_made_anew_from_the_objects() {
    for scope in [None, Some(WEB)] {
        let (remote, mut writer, _) = store(Layout::PerScope);
        remote.documents.borrow_mut().remove(SHARD);
        assert_eq!(fresh(&remote), tree([(DB, "db")]));
        let recovered = writer.rebuild(&remote, scope).unwrap();
        assert_eq!(recovered, found(FindingKind::Recovered, &["data/aws-ec2/web/other", STATE]));
        assert_eq!(fresh(&remote), writer.files());
        assert_eq!(writer.verify(&remote, None), []);
        assert_eq!(writer.rebuild(&remote, scope).unwrap(), []);
        writer.write(STATE, "edited");
        writer.push(&remote, Some(WEB)).unwrap();
        assert_eq!(fresh(&remote), writer.files());
    }
}

#[test]
fn a_damaged_shard_is_made_anew_and_what_it_says_of_deleted_files_is_kept() {
    type Edit = fn(String) -> String;
    let damages: [Edit; 4] = [
        |text| text[..text.len() - 1].to_owned(),
        |text| text[..text.find("\"unfinished\"").unwrap()].to_owned(),
        |text| text.replace("\"scope\":\"data/aws-ec2/web/\"", "\"scope\":\"data/aws-ec2/db/\""),
        |text| text.replacen("data/aws-ec2/web/other", "data/../etc/passwd", 1),
    ];
    for damage in damages {
        for scope in [None, Some(WEB)] {
            let (remote, writer, mut holder) = store(Layout::PerScope);
            remote.edit(SHARD, damage);
            assert!(holder.pull(&remote, scope).is_err());
            writer.rebuild(&remote, scope).unwrap();
            assert_eq!(holder.pull(&remote, scope).unwrap().deletions, 1);
            assert_eq!(holder.files(), writer.files());
            assert_eq!(fresh(&remote), writer.files());
            assert_eq!(writer.verify(&remote, None), []);
        }
    }
}

#[test]
fn one_index_for_everything_is_made_anew_as_well() {
    let (remote, mut writer, mut holder) = store(Layout::Single);
    remote.edit(".lockkeeper/index/.shard", |text| text[..text.len() - 1].to_owned());
    assert_eq!(writer.rebuild(&remote, None).unwrap().len(), 3);
    assert_eq!(holder.pull(&remote, None).unwrap().deletions, 1);
    assert_eq!(holder.files(), writer.files());
    writer.write(STATE, "edited");
    writer.push(&remote, None).unwrap();
    assert_eq!(writer.verify(&remote, None), []);
}

#[test]
fn whatever_a_push_left_when_it_was_cut_off_verify_and_rebuild_know_it() {
    let old = tree([("data/a/b/1", "1"), ("data/a/b/2", "2"), ("data/a/b/3", "3")]);
    let new = tree([("data/a/b/1", "new"), ("data/a/b/3", "3"), ("data/a/b/4", "4")]);
    let shard = ".lockkeeper/index/data/a/b/.shard";
    for moment in [Moment::Before, Moment::After] {
        for at in 0.. {
            let remote = Memory::default();
            let mut writer = Repository::with(&old);
            writer.push(&remote, None).unwrap();
            writer.replace(&new);
            let finished = writer.push(&Faulty::dying(&remote, false, at, moment), None).is_ok();
            assert_eq!(writer.verify(&remote, None), []);
            let seen = fresh(&remote);
            // Readable but for one thing, so that everything of it can be taken over.
            remote.edit(shard, |text| text.replace("\"scope\":\"data/a/b/\"", "\"scope\":\"data/a/c/\""));
            writer.rebuild(&remote, None).unwrap();
            let rebuilt = fresh(&remote);
            let added: BTreeMap<_, _> =
                rebuilt.iter().filter(|(path, _)| !seen.contains_key(*path)).collect();
            assert!(
                seen.iter().all(|(path, content)| rebuilt.get(path) == Some(content)),
                "{seen:?} {rebuilt:?}"
            );
            // What was sent and not committed is an object like any other now.
            assert!(added.iter().all(|(path, content)| new.get(*path) == Some(*content)), "{added:?}");
            assert_eq!(writer.verify(&remote, None), []);
            writer.push(&remote, None).unwrap();
            assert_eq!(fresh(&remote), new);
            if finished {
                break;
            }
        }
    }
}

#[test]
fn a_shard_that_is_written_meanwhile_is_not_overwritten() {
    let (remote, writer, _) = store(Layout::PerScope);
    remote.documents.borrow_mut().remove(SHARD);
    remote.before_swap.replace(Some(Box::new(|remote| {
        Repository::with(&tree([("data/aws-ec2/web/theirs", "theirs")])).push(remote, Some(WEB)).unwrap();
    })));
    writer.rebuild(&remote, Some(WEB)).unwrap();
    assert_eq!(fresh(&remote), tree([(DB, "db"), ("data/aws-ec2/web/theirs", "theirs")]));
}

#[test]
fn a_model_is_not_made_anew_while_a_shard_above_it_is_damaged() {
    let (remote, writer, _) = store(Layout::PerScope);
    Repository::with(&tree([("data/stray", "stray")])).push(&remote, None).unwrap();
    remote.edit(".lockkeeper/index/data/.shard", |text| text[1..].to_owned());
    let Err(Error::Fatal(failure)) = writer.rebuild(&remote, Some(WEB)) else { panic!("it was made anew") };
    assert!(failure.message.contains("lockkeeper index rebuild"), "{failure:?}");
    writer.rebuild(&remote, None).unwrap();
    assert_eq!(fresh(&remote).len(), 4);
}

#[test]
fn a_later_version_is_no_damage() {
    let (remote, writer, _) = store(Layout::PerScope);
    remote.edit(SHARD, |text| text.replace("\"version\":2", "\"version\":3"));
    let Err(Error::Fatal(failure)) = writer.rebuild(&remote, Some(WEB)) else { panic!("it was made anew") };
    assert!(failure.message.contains("upgrade"));
}

#[test]
fn a_rebuild_under_an_earlier_lock_changes_nothing() {
    let (remote, mut writer, _) = store(Layout::PerScope);
    writer.fence = Some(2);
    writer.write(STATE, "edited");
    writer.push(&remote, Some(WEB)).unwrap();
    remote.edit(SHARD, |text| {
        text.replace("\"scope\":\"data/aws-ec2/web/\"", "\"scope\":\"data/aws-ec2/db/\"")
    });
    let mut early = Repository::new(Layout::PerScope);
    early.fence = Some(1);
    assert_eq!(early.rebuild(&remote, Some(WEB)), Err(Error::Fenced(2)));
    writer.rebuild(&remote, Some(WEB)).unwrap();
    assert_eq!(fresh(&remote), writer.files());
}
