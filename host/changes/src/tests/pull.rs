use std::fs;

use super::*;

#[test]
fn a_pull_into_an_empty_cache_brings_everything_and_leaves_nothing_to_push() {
    let remote = Remote::of(&[("data/a/b/1", "one"), ("data/a/c", ""), ("outputs/x", "three")]);
    let repo = Repo::new();
    let applied = repo.pull(&remote, OnConflict::Stop).unwrap();
    assert_eq!((applied.files, applied.bytes, applied.deletions), (3, 8, 0));
    assert_eq!(repo.tree(), remote.files);
    assert_eq!(repo.changes(), [""; 0]);
    let again = repo.incoming(&[Extent::Everything]);
    assert_eq!(remote.send(&again), 0);
    assert_eq!(again.apply(OnConflict::Stop).unwrap(), Applied::default());
}

#[test]
fn a_dropped_pull_changes_nothing() {
    let repo = Repo::new();
    let incoming = repo.incoming(&[Extent::Everything]);
    bring(&incoming, "data/file", "new");
    let staging = incoming.folder().to_owned();
    drop(incoming);
    assert!(repo.tree().is_empty() && !staging.exists());
}

#[test]
fn new_content_of_the_same_size_is_pulled_and_an_old_copy_is_not_pushed_back() {
    let mut remote = Remote::of(&[("data/file", "old")]);
    let (editor, reader) = (Repo::of(&remote), Repo::of(&remote));
    editor.write("data/file", "new");
    editor.push(&mut remote).unwrap();
    reader.push(&mut remote).unwrap();
    assert_eq!(remote.files["data/file"], "new");
    reader.pull(&remote, OnConflict::Stop).unwrap();
    assert_eq!(reader.read("data/file"), "new");
}

#[test]
fn local_work_that_the_remote_has_no_news_of_is_kept() {
    let mut remote = Remote::of(&[("data/edited", "old"), ("data/deleted", "old"), ("data/other", "old")]);
    let repo = Repo::of(&remote);
    repo.write("data/edited", "mine");
    repo.write("data/new", "mine");
    repo.remove("data/deleted");
    remote.write("data/other", "new");
    let applied = repo.pull(&remote, OnConflict::Stop).unwrap();
    assert_eq!(applied.files, 1);
    assert_eq!(paths(&applied.kept), ["data/deleted", "data/edited"]);
    assert_eq!(repo.changes(), ["-data/deleted", "~data/edited", "+data/new"]);
    repo.push(&mut remote).unwrap();
    assert_eq!(repo.tree(), remote.files);
}

#[test]
fn a_file_brought_although_it_was_not_wanted_changes_nothing() {
    let remote = Remote::of(&[("data/a", "old"), ("data/b", "old")]);
    let repo = Repo::of(&remote);
    repo.write("data/a", "mine");
    let incoming = repo.incoming(&[Extent::Everything]);
    bring(&incoming, "data/a", "old");
    bring(&incoming, "data/b", "old");
    let applied = incoming.apply(OnConflict::Stop).unwrap();
    assert_eq!((applied.files, paths(&applied.kept)), (0, vec!["data/a"]));
    assert_eq!(repo.changes(), ["~data/a"]);
}

#[test]
fn any_conflict_stops_the_whole_pull() {
    let mut remote =
        Remote::of(&[("data/both", "old"), ("data/gone", "old"), ("data/here", "old"), ("data/fine", "old")]);
    let repo = Repo::of(&remote);
    repo.write("data/both", "mine");
    repo.remove("data/gone");
    repo.write("data/here", "mine");
    repo.write("data/untracked", "mine");
    remote.write("data/both", "theirs");
    remote.write("data/gone", "theirs");
    remote.delete("data/here");
    remote.write("data/untracked", "theirs");
    remote.write("data/fine", "theirs");
    let (tree, changes) = (repo.tree(), repo.changes());
    assert_eq!(
        conflicts(repo.pull(&remote, OnConflict::Stop)),
        ["data/both", "data/gone", "data/here", "data/untracked"]
    );
    assert_eq!((repo.tree(), repo.changes()), (tree, changes));
    assert!(repo.scan().interrupted.is_empty());
}

#[test]
fn the_same_edit_on_both_sides_is_adopted() {
    let mut remote = Remote::of(&[("data/file", "old")]);
    let repo = Repo::of(&remote);
    repo.write("data/file", "same");
    repo.write("data/new", "same");
    remote.write("data/file", "same");
    remote.write("data/new", "same");
    let incoming = repo.incoming(&[Extent::Everything]);
    assert_eq!(remote.send(&incoming), 0);
    let applied = incoming.apply(OnConflict::Stop).unwrap();
    assert_eq!((applied.files, applied.adopted), (0, 2));
    assert_eq!(repo.changes(), [""; 0]);
}

#[test]
fn an_edit_on_top_of_the_remotes_content_is_work_to_push() {
    let mut remote = Remote::of(&[("data/file", "old")]);
    let repo = Repo::of(&remote);
    remote.write("data/file", "same");
    repo.write("data/file", "same");
    let incoming = repo.incoming(&[Extent::Everything]);
    assert!(!incoming.wants("data/file", &digest("same").to_string()));
    repo.write("data/file", "more");
    assert_eq!(paths(&incoming.apply(OnConflict::Stop).unwrap().kept), ["data/file"]);
    repo.push(&mut remote).unwrap();
    assert_eq!(remote.files["data/file"], "more");
}

#[test]
fn only_named_files_are_deleted_and_emptied_folders_go_with_them() {
    let mut remote = Remote::of(&[("data/a/b/c/1", "x"), ("data/a/b/2", "x"), ("data/a/3", "x")]);
    let repo = Repo::of(&remote);
    remote.delete("data/a/b/c/1");
    remote.files.remove("data/a/3");
    assert_eq!(repo.pull(&remote, OnConflict::Stop).unwrap().deletions, 1);
    assert_eq!(repo.tree().into_keys().collect::<Vec<_>>(), ["data/a/3", "data/a/b/2"]);
    assert!(!repo.path("data/a/b/c").exists());
    remote.delete("data/a/b/2");
    remote.delete("data/a/3");
    repo.pull(&remote, OnConflict::Stop).unwrap();
    assert!(repo.path("data").exists() && !repo.path("data/a").exists());
    assert_eq!(repo.changes(), [""; 0]);
}

#[test]
fn a_deletion_concerns_only_what_was_synced() {
    let remote = Remote::of(&[("data/known", "x")]);
    let repo = Repo::of(&remote);
    repo.write("data/mine", "x");
    let incoming = repo.incoming(&[Extent::Everything]);
    assert!(incoming.delete("data/known"));
    for path in
        ["data/mine", "data/nothing", "elsewhere/known", "", "..", "data/../data/known", "/data/known"]
    {
        assert!(!incoming.delete(path), "{path}");
    }
    incoming.apply(OnConflict::Stop).unwrap();
    assert_eq!(repo.tree().into_keys().collect::<Vec<_>>(), ["data/mine"]);
}

#[test]
fn a_file_deleted_on_both_sides_is_forgotten() {
    let mut remote = Remote::of(&[("data/file", "x")]);
    let repo = Repo::of(&remote);
    repo.remove("data/file");
    remote.delete("data/file");
    assert_eq!(repo.pull(&remote, OnConflict::Stop).unwrap().deletions, 0);
    assert_eq!(repo.changes(), [""; 0]);
    assert!(repo.state("remotes/shared/synced").is_empty());
}

#[test]
fn a_file_both_brought_and_deleted_exists() {
    let repo = Repo::of(&Remote::of(&[("data/file", "old")]));
    let incoming = repo.incoming(&[Extent::Everything]);
    assert!(incoming.delete("data/file"));
    bring(&incoming, "data/file", "new");
    incoming.apply(OnConflict::Stop).unwrap();
    assert_eq!(repo.read("data/file"), "new");
}

#[test]
fn nothing_invalid_or_outside_is_wanted() {
    let repo = Repo::new();
    let incoming = repo.incoming(&[scope("ec2/web")]);
    let good = digest("x").to_string();
    assert!(incoming.wants("data/ec2/web/file", &good));
    for path in [
        "data/ec2/web-2/file",
        "data/ec2/web",
        "outputs/ec2/web/file",
        "",
        "/etc",
        "data/ec2/web/../x",
        "a\0",
    ] {
        assert!(!incoming.wants(path, &good), "{path}");
    }
    for digest in ["", "x", &good.to_uppercase(), &good[1..]] {
        assert!(!incoming.wants("data/ec2/web/file", digest), "{digest}");
    }
}

#[test]
fn more_than_was_asked_for_is_dropped() {
    let repo = Repo::new();
    repo.write("data/ec2/web-2/file", "mine");
    let Extent::Scope(web) = scope("ec2/web") else { unreachable!() };
    let incoming = repo.incoming(&[scope("ec2/web")]);
    let folder = incoming.scope_folder(&web).unwrap();
    fs::write(folder.join("file"), "new").unwrap();
    bring(&incoming, "data/ec2/web-2/file", "theirs");
    bring(&incoming, "data/ec2/web-2/other", "theirs");
    bring(&incoming, "elsewhere/file", "theirs");
    bring(&incoming, ".lockkeeper/remotes/shared/synced/dirs/data/files", "theirs");
    let applied = incoming.apply(OnConflict::Stop).unwrap();
    assert_eq!((applied.files, applied.skipped.len()), (1, 0));
    let expected = [("data/ec2/web-2/file", "mine"), ("data/ec2/web/file", "new")];
    assert_eq!(repo.tree(), Remote::of(&expected).files);
    assert!(!repo.path("elsewhere").exists());
}

#[test]
fn files_and_folders_may_change_places() {
    let mut remote = Remote::of(&[("data/a", "file"), ("data/b/x/y", "below"), ("data/b/z", "below")]);
    let repo = Repo::of(&remote);
    for path in ["data/a", "data/b/x/y", "data/b/z"] {
        remote.delete(path);
    }
    remote.write("data/a/x/y", "below");
    remote.write("data/b", "file");
    fs::create_dir(repo.path("data/b/empty")).unwrap();
    repo.pull(&remote, OnConflict::Stop).unwrap();
    assert_eq!(repo.tree(), remote.files);
    assert_eq!(repo.changes(), [""; 0]);
}

#[test]
fn a_file_in_place_of_a_folder_with_local_work_is_a_conflict() {
    let mut remote = Remote::of(&[("data/a", "file"), ("data/b/x", "below")]);
    let repo = Repo::of(&remote);
    repo.write("data/b/mine", "mine");
    for path in ["data/a", "data/b/x"] {
        remote.delete(path);
    }
    remote.write("data/a/x", "below");
    remote.write("data/b", "file");
    assert_eq!(conflicts(repo.pull(&remote, OnConflict::Stop)), ["data/b"]);
    remote.deleted.clear();
    assert_eq!(conflicts(repo.pull(&remote, OnConflict::Stop)), ["data/a/x", "data/b"]);
    assert_eq!(repo.read("data/b/mine"), "mine");
}

#[test]
fn leftovers_of_killed_processes_are_removed_but_no_pull_at_work() {
    let repo = Repo::new();
    let dead = repo.incoming(&[scope("a/dead")]).folder().join("data");
    fs::create_dir_all(&dead).unwrap();
    let first = repo.incoming(&[scope("a/b")]);
    assert!(!dead.exists() || first.folder() == dead.parent().unwrap());
    bring(&first, "data/a/b/1", "1");
    let second = repo.incoming(&[scope("a/c")]);
    bring(&second, "data/a/c/1", "1");
    assert_eq!(first.apply(OnConflict::Stop).unwrap().files, 1);
    assert_eq!(second.apply(OnConflict::Stop).unwrap().files, 1);
    assert_eq!(repo.tree().len(), 2);
}

#[test]
fn a_pull_may_bring_ten_thousand_files() {
    let mut remote = Remote::default();
    for n in 0..10_000 {
        remote.write(&format!("data/a/b/{}/{n}", n % 7), "");
    }
    let repo = Repo::of(&remote);
    assert_eq!(repo.tree(), remote.files);
    assert_eq!(repo.changes(), [""; 0]);
}

#[test]
fn few_and_many_files_are_made_durable_on_a_disk() {
    for files in [1, 100] {
        let mut remote = Remote::default();
        for n in 0..files {
            remote.write(&format!("data/a/{n}/file"), "text");
        }
        let repo = Repo::on_disk();
        repo.pull(&remote, OnConflict::Stop).unwrap();
        assert_eq!(repo.tree(), remote.files);
    }
}
