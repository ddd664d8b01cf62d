//! Pushes under a lock that was lost.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail so")]

mod common;

use common::{Faulty, Memory, Repository, WEB, fresh, tree};
use lockkeeper_sdk::Error;

const STATE: &str = "data/aws-ec2/web/state.json";

fn under(fence: u64, path: &str, content: &str) -> Repository {
    let mut repository = Repository::with(&tree([(path, content)]));
    repository.fence = Some(fence);
    repository
}

#[test]
fn a_push_under_an_earlier_lock_changes_nothing() {
    for (early, late) in [(WEB, WEB), ("", WEB), (WEB, ""), ("data/aws-ec2/web/blue/", WEB)] {
        let scope = |scope: &'static str| Some(scope).filter(|scope| !scope.is_empty());
        let remote = Memory::default();
        under(2, STATE, "late").push(&remote, scope(late)).unwrap();
        let before = remote.objects.borrow().clone();
        let mut early_one = under(1, "data/aws-ec2/web/blue/file", "early");
        assert_eq!(early_one.push(&remote, scope(early)), Err(Error::Fenced(2)), "{early} after {late}");
        assert_eq!(*remote.objects.borrow(), before);
        early_one.fence = Some(3);
        early_one.push(&remote, scope(early)).unwrap();
        assert_eq!(fresh(&remote).len(), 2);
    }
}

#[test]
fn a_lock_that_is_lost_during_the_push_is_found_at_the_commit() {
    let remote = Memory::default();
    under(1, STATE, "first").push(&remote, Some(WEB)).unwrap();
    for at in 0.. {
        let mut early = under(2 * at + 2, "data/aws-ec2/web/early", &at.to_string());
        early.pull(&remote, Some(WEB)).unwrap();
        early.write("data/aws-ec2/web/early", &format!("again {at}"));
        let mut late = under(2 * at + 3, STATE, "late");
        late.pull(&remote, Some(WEB)).unwrap();
        late.write(STATE, &format!("late {at}"));
        let overtaken = Faulty::overtaken(&remote, at as usize, || {
            late.push(&remote, Some(WEB)).unwrap();
        });
        let pushed = early.push(&overtaken, Some(WEB));
        let seen = fresh(&remote);
        if overtaken.not_overtaken() {
            assert!(at > 2);
            break;
        }
        assert_eq!(seen[STATE], format!("late {at}"));
        match pushed {
            Err(Error::Fenced(fence)) => assert_eq!(fence, 2 * at + 3),
            Err(other) => panic!("{other}"),
            // It had committed before the lock was lost.
            Ok(_) => assert_eq!(seen["data/aws-ec2/web/early"], format!("again {at}")),
        }
    }
}

#[test]
fn scopes_side_by_side_do_not_fence_each_other() {
    let remote = Memory::default();
    under(1, "data/aws-ec2/web/x", "x").push(&remote, Some(WEB)).unwrap();
    under(9, "data/aws-ec2/web/blue/x", "x").push(&remote, Some("data/aws-ec2/web/blue/")).unwrap();
    under(8, "data/aws-ec2/web/red/x", "x").push(&remote, Some("data/aws-ec2/web/red/")).unwrap();
    under(7, "data/aws-ec2/db/x", "x").push(&remote, Some("data/aws-ec2/db/")).unwrap();
    assert_eq!(fresh(&remote).len(), 4);
}
