use std::fs;

use proptest::prelude::*;

use super::*;

/// Something that a user, a command or another repository does to a tree.
#[derive(Debug, Clone)]
enum Edit {
    Write(String, String),
    Remove(String),
    Touch(String),
    RemoveFolder(String),
}

fn path() -> impl Strategy<Value = String> {
    // Few names, so that files, folders and edits meet each other.
    let name = prop_oneof![Just("a"), Just("b"), Just("a-b"), Just("a.b"), Just("files"), Just("dirs")];
    (prop_oneof![Just("data"), Just("outputs")], prop::collection::vec(name, 1..4))
        .prop_map(|(root, names)| format!("{root}/{}", names.join("/")))
}

fn edit() -> impl Strategy<Value = Edit> {
    let text = prop_oneof![Just("one"), Just("two"), Just(""), Just("longer")];
    prop_oneof![
        4 => (path(), text).prop_map(|(path, text)| Edit::Write(path, text.to_owned())),
        2 => path().prop_map(Edit::Remove),
        1 => path().prop_map(Edit::Touch),
        1 => path().prop_map(Edit::RemoveFolder),
    ]
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    prop::collection::vec(edit(), 0..12)
}

/// Does what is possible of the edits.
fn make(repo: &Repo, edits: &[Edit]) {
    for edit in edits {
        match edit {
            Edit::Write(path, text) => {
                let path = repo.path(path);
                if fs::create_dir_all(path.parent().unwrap()).is_ok() {
                    let _ = fs::write(path, text);
                }
            }
            Edit::Remove(path) => _ = fs::remove_file(repo.path(path)),
            Edit::RemoveFolder(path) => _ = fs::remove_dir_all(repo.path(path)),
            Edit::Touch(path) => {
                if let Ok(file) = fs::File::options().append(true).open(repo.path(path)) {
                    let _ = file.set_modified(std::time::SystemTime::UNIX_EPOCH);
                }
            }
        }
    }
}

/// The difference of two trees, found by reading everything.
fn difference(synced: &Tree, now: &Tree) -> Vec<Change> {
    let path = |path: &String| CachePath::parse(path).unwrap();
    let base = |path| synced.get(path).map(|text| digest(text));
    let written = now.iter().filter(|(path, text)| synced.get(*path) != Some(text));
    let written = written.map(|(name, text)| Change::Written {
        path: path(name),
        size: text.len() as u64,
        digest: digest(text),
        base: base(name),
    });
    let deleted = synced.iter().filter(|(path, _)| !now.contains_key(*path));
    let deleted = deleted.map(|(name, text)| Change::Deleted { path: path(name), base: digest(text) });
    let mut changes: Vec<_> = written.chain(deleted).collect();
    changes.sort_by(|a, b| a.path().cmp(b.path()));
    changes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn changes_are_what_reading_every_file_would_find(rounds in prop::collection::vec((edits(), any::<bool>()), 1..6)) {
        let repo = Repo::new();
        let mut synced = Tree::new();
        for (edits, pushed) in rounds {
            make(&repo, &edits);
            let scan = repo.scan();
            prop_assert_eq!(&scan.changes, &difference(&synced, &repo.tree()));
            if pushed {
                repo.cache.mark_synced(&scan).unwrap();
                synced = repo.tree();
            }
        }
    }

    /// Two repositories edit, push and pull in any order. Whatever either wrote is in its cache, in the remote, kept
    /// aside, or was replaced knowingly; when both have pushed and pulled without a conflict, all three are equal.
    #[test]
    fn two_repositories_and_a_remote_converge_and_lose_nothing(
        rounds in prop::collection::vec((any::<bool>(), edits(), 0_u8..3), 1..8)
    ) {
        let mut remote = Remote::default();
        let repos = [Repo::new(), Repo::new()];
        for (who, edits, act) in rounds {
            let repo = &repos[usize::from(who)];
            make(repo, &edits);
            let (before, changes) = (repo.tree(), repo.scan().changes);
            if act == 0 {
                let theirs = remote.files.clone();
                if repo.push(&mut remote).is_err() {
                    prop_assert_eq!(&remote.files, &theirs);
                }
            } else if repo.pull(&remote, OnConflict::Stop).is_err() {
                prop_assert_eq!(&repo.tree(), &before);
            }
            // Whatever was not pushed before is still here, or in the remote.
            for change in changes {
                let path = change.path().as_str();
                let survives = repo.tree().get(path) == before.get(path) || remote.files.get(path) == before.get(path);
                prop_assert!(survives, "{path} was lost");
            }
        }
        for repo in [&repos[0], &repos[1], &repos[0]] {
            repo.pull(&remote, OnConflict::KeepRemote).unwrap();
            repo.push(&mut remote).unwrap();
            repo.pull(&remote, OnConflict::KeepRemote).unwrap();
            prop_assert_eq!(&repo.tree(), &remote.files);
            prop_assert!(repo.scan().changes.is_empty());
        }
    }
}
