use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use super::*;
use crate::SkipReason;

fn skipped(scan: &Scan) -> Vec<(&str, SkipReason)> {
    scan.skipped.iter().map(|skipped| (&skipped.path[..], skipped.reason)).collect()
}

#[test]
fn odd_names_are_synced() {
    let mut remote = Remote::default();
    let repo = Repo::new();
    let long = "x".repeat(255);
    for name in
        ["a b", "ü\u{1F600}", "line\nbreak", "-rf", "...", "C:\\x", "*?\"'", &long, ".hidden", "tab\t"]
    {
        repo.write(&format!("data/{name}/{name}"), name);
    }
    repo.push(&mut remote).unwrap();
    assert_eq!(remote.files, repo.tree());
    assert_eq!(remote.files.len(), 10);
    assert_eq!(Repo::of(&remote).tree(), repo.tree());
    assert_eq!(repo.changes(), [""; 0]);
}

#[test]
fn symlinks_sockets_and_broken_names_are_skipped_by_name() {
    let repo = Repo::new();
    repo.write("data/file", "");
    symlink("file", repo.path("data/link")).unwrap();
    symlink("nowhere", repo.path("data/dangling")).unwrap();
    let _socket = UnixListener::bind(repo.path("data/socket")).unwrap();
    fs::write(repo.path("data").join(OsStr::from_bytes(b"br\xffken")), "").unwrap();
    let mut scan = repo.scan();
    scan.skipped.sort_by(|a, b| a.path.cmp(&b.path));
    assert_eq!(short(&scan), ["+data/file"]);
    assert_eq!(
        skipped(&scan),
        [
            ("data/br\u{fffd}ken", SkipReason::Name),
            ("data/dangling", SkipReason::Symlink),
            ("data/link", SkipReason::Symlink),
            ("data/socket", SkipReason::Special)
        ]
    );
}

#[test]
fn a_link_in_place_of_a_root_folder_or_file_is_neither_followed_nor_a_deletion() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("file"), "secret").unwrap();
    for linked in ["data", "data/ec2", "data/ec2/web", "data/ec2/web/sub", "data/ec2/web/sub/file"] {
        let repo = Repo::new();
        repo.write("data/ec2/web/sub/file", "one");
        repo.mark();
        fs::rename(repo.path(linked), repo.path("moved")).unwrap();
        symlink(outside.path(), repo.path(linked)).unwrap();
        for within in [Extent::Everything, scope("ec2/web")] {
            let scan = repo.cache.changes(&[within]).unwrap();
            assert_eq!(short(&scan), [""; 0], "{linked}");
            assert_eq!(skipped(&scan), [(linked, SkipReason::Symlink)]);
        }
    }
}

#[test]
fn a_link_to_another_place_in_the_cache_is_not_followed_either() {
    let repo = Repo::new();
    repo.write("data/ec2/web-2/file", "theirs");
    symlink("web-2", repo.path("data/ec2/web")).unwrap();
    let scan = repo.cache.changes(&[scope("ec2/web")]).unwrap();
    assert_eq!((short(&scan).len(), skipped(&scan)), (0, vec![("data/ec2/web", SkipReason::Symlink)]));
    let incoming = repo.incoming(&[scope("ec2/web")]);
    bring(&incoming, "data/ec2/web/file", "new");
    incoming.apply(OnConflict::KeepRemote).unwrap();
    assert_eq!(repo.read("data/ec2/web-2/file"), "theirs");
}

#[test]
fn a_pull_never_writes_through_a_link() {
    let outside = tempfile::tempdir().unwrap();
    for linked in ["data", "data/ec2", "data/ec2/web", "data/ec2/web/file"] {
        let repo = Repo::new();
        fs::create_dir_all(repo.path(linked).parent().unwrap()).unwrap();
        symlink(outside.path(), repo.path(linked)).unwrap();
        let remote = Remote::of(&[("data/ec2/web/file", "new")]);
        assert_eq!(conflicts(repo.pull(&remote, OnConflict::Stop)), ["data/ec2/web/file"]);
        let applied = repo.pull(&remote, OnConflict::KeepRemote).unwrap();
        assert_eq!(repo.read("data/ec2/web/file"), "new");
        let kept = applied.resolved[0].other.clone().unwrap();
        assert!(fs::symlink_metadata(repo.path(kept.to_str().unwrap())).unwrap().is_symlink());
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    }
}

#[test]
fn links_in_what_was_pulled_are_dropped() {
    let (repo, outside) = (Repo::new(), tempfile::tempdir().unwrap());
    fs::write(outside.path().join("file"), "secret").unwrap();
    let incoming = repo.incoming(&[Extent::Everything]);
    bring(&incoming, "data/good", "good");
    bring(&incoming, "data/twin", "twin");
    symlink(outside.path(), incoming.folder().join("data/folder")).unwrap();
    symlink(outside.path().join("file"), incoming.folder().join("data/file")).unwrap();
    symlink(outside.path(), incoming.folder().join("elsewhere")).unwrap();
    fs::hard_link(incoming.folder().join("data/twin"), incoming.folder().join("data/twin-2")).unwrap();
    fs::write(incoming.folder().join("data").join(OsStr::from_bytes(b"\xff")), "").unwrap();
    let applied = incoming.apply(OnConflict::Stop).unwrap();
    assert_eq!(repo.tree().into_keys().collect::<Vec<_>>(), ["data/good"]);
    assert_eq!(applied.skipped.len(), 5, "{:?}", applied.skipped);
}

#[test]
fn endless_folders_are_skipped() {
    let repo = Repo::new();
    let deep = format!("data/{}", "d/".repeat(300));
    repo.write(&format!("{deep}file"), "");
    let scan = repo.scan();
    assert_eq!((scan.changes.len(), scan.skipped.len()), (0, 1));
    assert_eq!(scan.skipped[0].reason, SkipReason::Depth);

    let incoming = repo.incoming(&[Extent::Everything]);
    bring(&incoming, &format!("{deep}file"), "");
    let applied = incoming.apply(OnConflict::Stop).unwrap();
    assert_eq!((applied.files, applied.skipped.len()), (0, 1));
}
