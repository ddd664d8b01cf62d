//! Many requests at once.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail so")]

mod common;

use std::time::Duration;

use common::{Faulty, Memory, Moment, Repository, WEB, fresh, tree};
use lockkeeper_sdk::{Error, Layout};

#[test]
fn as_many_requests_run_at_once_as_the_remote_takes_and_no_more() {
    for in_flight in [1, 2, 16] {
        let remote = Memory::concurrent(in_flight);
        let mut writer = Repository::new(Layout::PerScope);
        (0..200).for_each(|i| writer.write(&format!("data/a/model-{}/file-{i}", i % 10), &i.to_string()));
        let mut reader = Repository::new(Layout::PerScope);
        let busy = |call: &mut dyn FnMut()| {
            remote.most_busy.set(0);
            call();
            let most = remote.most_busy.get();
            assert!(most <= in_flight && most > in_flight / 2, "{most} of {in_flight}");
        };
        for scope in [None, Some("data/a/model-3/"), None] {
            busy(&mut || assert!(writer.push(&remote, scope).unwrap().files > 0));
            busy(&mut || assert!(reader.pull(&remote, scope).unwrap().files > 0));
            assert_eq!(fresh(&remote), reader.files());
            (0..200).for_each(|i| writer.write(&format!("data/a/model-{}/file-{i}", i % 10), "edited"));
            (0..10).for_each(|i| writer.write(&format!("data/a/model-3/{scope:?}-{i}"), "new"));
        }
    }
}

#[test]
fn a_push_of_many_at_once_that_is_cut_off_converges() {
    let old = tree([("data/a/b/1", "1"), ("data/a/b/2", "2"), ("data/a/c/3", "3"), ("data/a/d", "file")]);
    let new = tree([("data/a/b/1", "new"), ("data/a/c/4", "4"), ("data/a/c/5", "5"), ("data/a/d/6", "6")]);
    for moment in [Moment::Before, Moment::After] {
        for at in 0.. {
            let remote = Memory::concurrent(3);
            let mut writer = Repository::with(&old);
            writer.push(&remote, None).unwrap();
            writer.replace(&new);
            let finished = writer.push(&Faulty::dying(&remote, false, at, moment), None).is_ok();
            let seen = fresh(&remote);
            for scope in ["data/a/b/", "data/a/c/"] {
                let of = |files: &std::collections::BTreeMap<String, String>| {
                    let files = files.iter().filter(|(path, _)| path.starts_with(scope));
                    files.map(|(path, content)| (path.clone(), content.clone())).collect::<Vec<_>>()
                };
                assert!(of(&seen) == of(&old) || of(&seen) == of(&new), "a mix in {scope}: {seen:?}");
            }
            writer.push(&remote, None).unwrap();
            assert_eq!(fresh(&remote), new);
            if finished {
                assert!(at > 15, "the push made only {at} requests");
                break;
            }
        }
    }
}

#[test]
fn a_remote_is_given_the_time_that_it_asks_for() {
    let remote = Memory::default();
    let mut writer = Repository::with(&tree([("data/aws-ec2/web/state.json", "1")]));
    let asked = Duration::from_secs(17);
    let busy = Error::retry("slow down").with_status(503).after(asked);
    writer.push(&Faulty::once(&remote, 2, Moment::Before, busy), Some(WEB)).unwrap();
    assert_eq!(*writer.pauses.borrow(), [asked]);
    assert_eq!(fresh(&remote), writer.files());

    writer.write("data/aws-ec2/web/state.json", "2");
    writer.pauses.take();
    let closed = Error::retry("come back tomorrow").after(Duration::from_secs(86_400));
    let pushed = writer.push(&Faulty::once(&remote, 2, Moment::Before, closed.clone()), Some(WEB));
    let Err(Error::Retry(failure)) = pushed else { panic!("it was tried again: {pushed:?}") };
    assert_eq!(failure.message, "come back tomorrow");
    assert_eq!(*writer.pauses.borrow(), []);
}
