use std::cell::Cell;
use std::fs;
use std::rc::Rc;

use super::*;
use crate::crash::injected;

/// Work of every kind on both sides, with a conflict if asked for.
fn setting(conflict: bool) -> (Repo, Remote) {
    let old =
        ["data/a/b/1", "data/a/b/2", "data/a/b/deep/er/3", "data/f", "data/g/h", "outputs/4", "data/kept"];
    let mut remote = Remote::of(&old.map(|path| (path, "old")));
    let repo = Repo::of(&remote);
    remote.write("data/a/b/1", "new");
    remote.write("data/a/b/5", "new");
    remote.write("data/same", "same");
    remote.delete("data/a/b/2");
    remote.delete("data/a/b/deep/er/3");
    remote.delete("data/f");
    remote.write("data/f/g", "new");
    remote.delete("data/g/h");
    remote.write("data/g", "new");
    remote.write("outputs/4", "new");
    repo.write("data/kept", "mine");
    repo.write("data/mine", "mine");
    repo.write("data/same", "same");
    if conflict {
        repo.write("data/a/b/1", "mine");
        repo.write("data/a/b/2", "mine");
        repo.write("data/a/b/5", "mine");
        repo.remove("outputs/4");
    }
    (repo, remote)
}

/// Runs the test with a pull that was killed before each of its steps in turn.
fn killed_everywhere(conflict: bool, on_conflict: OnConflict, test: impl Fn(&Repo, &mut Remote, usize)) {
    for step in 0..200 {
        let (repo, mut remote) = setting(conflict);
        let pulled = injected::after(step, || repo.pull(&remote, on_conflict));
        let finished = pulled.is_ok();
        test(&repo, &mut remote, step);
        if finished {
            assert!(step > 10, "only {step} steps");
            return;
        }
    }
    panic!("the pull never finished");
}

#[test]
fn killed_at_any_step_the_next_pull_converges() {
    killed_everywhere(false, OnConflict::Stop, |repo, remote, step| {
        repo.pull(remote, OnConflict::Stop).unwrap();
        let mut expected = remote.files.clone();
        expected.extend(Remote::of(&[("data/kept", "mine"), ("data/mine", "mine")]).files);
        assert_eq!(repo.tree(), expected, "killed at step {step}");
        assert_eq!(repo.changes(), ["~data/kept", "+data/mine"], "killed at step {step}");
        assert!(repo.scan().interrupted.is_empty());
        assert!(repo.state("incoming").keys().all(|path| path == "incoming/lock"));
    });
}

#[test]
fn killed_at_any_step_a_push_loses_nothing_of_the_remote() {
    killed_everywhere(false, OnConflict::Stop, |repo, remote, step| {
        let mut expected = remote.files.clone();
        expected.extend(Remote::of(&[("data/kept", "mine"), ("data/mine", "mine")]).files);
        repo.push(remote).unwrap();
        assert_eq!(remote.files, expected, "killed at step {step}");
    });
}

#[test]
fn killed_at_any_step_what_the_remote_took_back_is_not_brought_back() {
    let (repo, _) = setting(false);
    let original = repo.tree().into_iter().filter(|(_, text)| text == "old");
    let mut original = Remote { files: original.collect(), deleted: Vec::new() };
    original.write("data/kept", "old");
    for path in ["data/f/g", "data/a/b/5", "data/g"] {
        original.delete(path);
    }
    killed_everywhere(false, OnConflict::Stop, |repo, remote, step| {
        // Once its record says that both sides agree on it, it is not pushed again.
        let agreed = !repo.changes().contains(&"+data/same".to_owned());
        *remote = original.clone();
        repo.push(remote).unwrap();
        let mut expected = original.files.clone();
        let mine = Remote::of(&[("data/kept", "mine"), ("data/mine", "mine"), ("data/same", "same")]).files;
        expected.extend(mine);
        if agreed {
            expected.remove("data/same");
        }
        assert_eq!(remote.files, expected, "killed at step {step}");
        repo.pull(remote, OnConflict::Stop).unwrap();
        expected.insert("data/same".to_owned(), "same".to_owned());
        assert_eq!(repo.tree(), expected, "killed at step {step}");
    });
}

#[test]
fn killed_at_any_step_what_the_remote_took_back_is_pulled_back() {
    let original = Remote { files: setting(false).0.tree(), deleted: Vec::new() };
    killed_everywhere(false, OnConflict::Stop, |repo, remote, step| {
        let finished = repo.scan().interrupted.is_empty() && repo.tree().contains_key("data/f/g");
        if finished {
            return;
        }
        // As if nobody had ever deleted or changed anything there: there is not even word of the deletions.
        *remote = original.clone();
        for path in ["data/f/g", "data/a/b/5", "data/g", "data/mine", "data/same"] {
            remote.files.remove(path);
            remote.deleted.push(path.to_owned());
        }
        remote.write("data/kept", "old");
        let expected = remote.files.clone();
        repo.pull(remote, OnConflict::Stop).unwrap();
        repo.push(remote).unwrap();
        let unchanged = expected.iter().filter(|(path, _)| *path != "data/kept");
        for (path, text) in unchanged {
            assert_eq!(remote.files.get(path), Some(text), "{path} killed at step {step}");
        }
    });
}

#[test]
fn a_user_who_writes_while_a_pull_is_applied_loses_nothing() {
    for path in ["data/a/b/1", "data/a/b/2", "data/a/b/5", "outputs/4", "data/kept"] {
        for step in 0..200 {
            let (repo, remote) = setting(false);
            let (file, wrote) = (repo.path(path), Rc::new(Cell::new(false)));
            let write = {
                let wrote = wrote.clone();
                move |now| {
                    if now == step && fs::create_dir_all(file.parent().unwrap()).is_ok() {
                        fs::write(&file, "late").unwrap();
                        wrote.set(true);
                    }
                }
            };
            let pulled = injected::during(write, || repo.pull(&remote, OnConflict::Stop));
            let known = matches!(pulled, Ok(_) | Err(PullError::Changed { .. } | PullError::Conflict { .. }));
            assert!(known, "{pulled:?}");
            if !wrote.get() {
                break;
            }
            assert_eq!(repo.read(path), "late", "{path} at step {step}");
            assert!(repo.changes().iter().any(|change| change[1..] == *path), "{path} at step {step}");
        }
    }
}

#[test]
fn a_file_that_changes_while_it_is_hashed_is_hashed_again() {
    let repo = Repo::new();
    repo.write("data/file", "first");
    let file = repo.path("data/file");
    let once = move |step| {
        if step == 0 {
            fs::write(&file, "other").unwrap();
        }
    };
    let scan = injected::during(once, || repo.scan());
    assert!(
        matches!(&scan.changes[..], [Change::Written { digest: found, .. }] if *found == digest("other"))
    );

    let file = repo.path("data/file");
    let always = move |step: usize| fs::write(&file, step.to_string()).unwrap();
    let error = injected::during(always, || repo.cache.changes(&[Extent::Everything])).unwrap_err();
    assert!(matches!(&error, CacheError::Unsettled { path } if path.as_str() == "data/file"), "{error}");
}

#[test]
fn killed_at_any_step_each_file_is_whole_and_a_mix_does_not_go_unnoticed() {
    killed_everywhere(false, OnConflict::Stop, |repo, remote, step| {
        let (before, _) = setting(false);
        for (path, text) in repo.tree() {
            let (old, new) = (before.tree().get(&path).cloned(), remote.files.get(&path).cloned());
            assert!([old, new].contains(&Some(text)), "{path} at step {step}");
        }
        let arrived =
            remote.files.iter().filter(|(path, _)| !["data/kept", "data/same"].contains(&&path[..]));
        let arrived: Vec<_> = arrived.map(|(path, text)| repo.tree().get(path) == Some(text)).collect();
        let mixed = arrived.contains(&true) && arrived.contains(&false);
        if mixed {
            assert_eq!(repo.scan().interrupted, ["data/", "outputs/"], "step {step}");
        }
    });
}

#[test]
fn killed_at_any_step_of_a_resolution_no_version_is_lost() {
    for on_conflict in [OnConflict::KeepLocal, OnConflict::KeepRemote] {
        killed_everywhere(true, on_conflict, |repo, remote, step| {
            let mine = |tree: &Tree| tree.values().filter(|text| *text == "mine").count();
            // Two files without a conflict and three with one.
            assert!(
                mine(&repo.tree()) + mine(&repo.state("conflicts")) >= 5,
                "{on_conflict:?} at step {step}"
            );
            repo.pull(remote, on_conflict).unwrap();
            assert!(
                mine(&repo.tree()) + mine(&repo.state("conflicts")) >= 5,
                "{on_conflict:?} at step {step}"
            );
            let theirs = remote.files.clone();
            repo.push(remote).unwrap();
            assert_eq!(repo.tree(), remote.files, "{on_conflict:?} at step {step}");
            if on_conflict == OnConflict::KeepRemote {
                assert!(theirs.iter().all(|(path, text)| path == "data/kept" || remote.files[path] == *text));
            }
        });
    }
}

#[test]
fn killed_at_any_step_of_a_mark_the_push_is_repeated_without_harm() {
    for step in 0..8 {
        let (repo, mut remote) = setting(false);
        repo.pull(&remote, OnConflict::Stop).unwrap();
        repo.write("data/a/b/new", "mine");
        repo.remove("data/f/g");
        let scan = repo.scan();
        remote.receive(&repo, &scan.changes).unwrap();
        let _ = injected::after(step, || repo.cache.mark_synced(&scan));
        repo.push(&mut remote).unwrap();
        assert_eq!(repo.tree(), remote.files);
        assert_eq!(repo.changes(), [""; 0]);
    }
}

#[test]
fn an_interrupted_pull_is_shown_where_it_was_and_cleared_by_one_that_covers_it() {
    let repo = Repo::new();
    let cut_off = repo.incoming(&[scope("ec2/web")]);
    bring(&cut_off, "data/ec2/web/file", "new");
    // Before the second step: the first one is to hash the file.
    injected::after(1, || cut_off.apply(OnConflict::Stop)).unwrap_err();
    let interrupted = |within| repo.cache.changes(&[within]).unwrap().interrupted;
    assert_eq!(interrupted(scope("ec2/web")), ["data/ec2/web/"]);
    assert_eq!(interrupted(scope("ec2/web/nested")), ["data/ec2/web/"]);
    assert_eq!(interrupted(Extent::Everything), ["data/ec2/web/"]);
    assert_eq!(interrupted(scope("ec2/web-2")), [""; 0]);
    repo.incoming(&[scope("ec2/web-2")]).apply(OnConflict::Stop).unwrap();
    assert_eq!(interrupted(Extent::Everything), ["data/ec2/web/"]);
    repo.pull(&Remote::of(&[("data/ec2/web/file", "new")]), OnConflict::Stop).unwrap();
    assert_eq!(interrupted(Extent::Everything), [""; 0]);
}

#[test]
fn a_pull_at_work_is_not_taken_for_an_interrupted_one() {
    let repo = Repo::new();
    let state = repo.cache.make_base().unwrap();
    let within = repo.cache.extents(&[scope("ec2/web")]);
    let mark = crate::interrupted::Mark::set(&state, &within, Default::default()).unwrap();
    assert_eq!(repo.scan().interrupted, [""; 0]);
    drop(mark);
    assert_eq!(repo.scan().interrupted, ["data/ec2/web/"]);
}
