use super::*;

/// A repository and a remote that disagree about: an edit, a local deletion, a remote deletion, a new file.
fn disagreement() -> (Repo, Remote) {
    let mut remote = Remote::of(&[("data/edit", "old"), ("data/gone", "old"), ("data/here", "old")]);
    let repo = Repo::of(&remote);
    repo.write("data/edit", "mine");
    repo.remove("data/gone");
    repo.write("data/here", "mine");
    repo.write("data/new", "mine");
    remote.write("data/edit", "theirs");
    remote.write("data/gone", "theirs");
    remote.delete("data/here");
    remote.write("data/new", "theirs");
    (repo, remote)
}

/// Where each version that lost went, and what it was.
fn aside(repo: &Repo, applied: &Applied) -> Vec<(String, Option<String>)> {
    let text = |path: &PathBuf| repo.read(path.to_str().unwrap());
    applied.resolved.iter().map(|one| (one.path.to_string(), one.other.as_ref().map(text))).collect()
}

fn expected(entries: [(&str, Option<&str>); 4]) -> Vec<(String, Option<String>)> {
    entries.map(|(path, text)| (path.to_owned(), text.map(str::to_owned))).to_vec()
}

#[test]
fn the_local_side_may_win_and_the_next_push_overwrites_the_remote() {
    let (repo, mut remote) = disagreement();
    let before = repo.tree();
    let applied = repo.pull(&remote, OnConflict::KeepLocal).unwrap();
    assert_eq!(repo.tree(), before);
    let (theirs, none) = (Some("theirs"), None);
    let lost = [("data/edit", theirs), ("data/gone", theirs), ("data/here", none), ("data/new", theirs)];
    assert_eq!(aside(&repo, &applied), expected(lost));
    assert_eq!(repo.changes(), ["~data/edit", "-data/gone", "+data/here", "~data/new"]);
    repo.push(&mut remote).unwrap();
    assert_eq!(remote.files, before);
}

#[test]
fn the_remote_side_may_win_and_the_local_files_are_kept_aside() {
    let (repo, mut remote) = disagreement();
    let applied = repo.pull(&remote, OnConflict::KeepRemote).unwrap();
    let (mine, none) = (Some("mine"), None);
    let lost = [("data/edit", mine), ("data/gone", none), ("data/here", mine), ("data/new", mine)];
    assert_eq!(aside(&repo, &applied), expected(lost));
    assert_eq!(repo.tree(), remote.files);
    assert_eq!(repo.changes(), [""; 0]);
    repo.push(&mut remote).unwrap();
    assert_eq!(repo.tree(), remote.files);
}

#[test]
fn nothing_kept_aside_is_overwritten_by_a_later_conflict() {
    let (repo, mut remote) = disagreement();
    repo.pull(&remote, OnConflict::KeepRemote).unwrap();
    repo.write("data/edit", "mine again");
    remote.write("data/edit", "theirs again");
    repo.pull(&remote, OnConflict::KeepRemote).unwrap();
    let kept: Vec<_> = repo.state("conflicts").into_values().collect();
    assert_eq!(kept, ["mine", "mine", "mine", "mine again"]);
}

#[test]
fn whatever_stands_in_the_way_of_the_remote_side_is_kept_aside() {
    let remote = Remote::of(&[("data/a", "file"), ("data/b/x", "below"), ("data/b/y", "below")]);
    let repo = Repo::new();
    repo.write("data/a/mine", "one");
    repo.write("data/a/sub/mine", "two");
    repo.write("data/b", "three");
    repo.pull(&remote, OnConflict::KeepRemote).unwrap();
    assert_eq!(repo.tree(), remote.files);
    let kept: Vec<_> =
        repo.state("conflicts").into_iter().map(|(path, text)| format!("{path} {text}")).collect();
    let expected =
        ["conflicts/1/data/a/mine one", "conflicts/1/data/a/sub/mine two", "conflicts/1/data/b three"];
    assert_eq!(kept, expected);
}

#[test]
fn the_remote_side_may_win_over_a_folder_that_is_half_deleted() {
    let mut remote = Remote::of(&[("data/a/x", "old"), ("data/a/y", "old")]);
    let repo = Repo::of(&remote);
    repo.write("data/a/x", "mine");
    repo.write("data/a/z", "mine");
    remote.delete("data/a/x");
    remote.delete("data/a/y");
    remote.write("data/a", "file");
    repo.pull(&remote, OnConflict::KeepRemote).unwrap();
    assert_eq!(repo.tree(), remote.files);
    assert_eq!(repo.state("conflicts").len(), 2);
}
