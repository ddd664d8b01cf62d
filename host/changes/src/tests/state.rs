use std::fs;

use super::*;

const RECORD: &str = ".lockkeeper/remotes/shared/synced/dirs/data/dirs/ec2/dirs";

#[test]
fn looking_for_changes_writes_nothing() {
    let repo = Repo::new();
    repo.write("data/file", "one");
    repo.scan();
    assert!(!repo.path(".lockkeeper").exists());
    repo.mark();
    repo.write("data/file", "two");
    let before = repo.state("");
    repo.scan();
    assert_eq!(repo.state(""), before);
}

#[test]
fn an_unchanged_file_is_not_read_again() {
    let repo = Repo::new();
    repo.write("data/file", "one");
    // Once the file is older than a tick of the clock, its stat is recorded and nothing is left to record.
    let recorded = || repo.state("remotes/shared/synced").values().any(|record| record.contains("ctime"));
    for _ in 0..100_000 {
        if recorded() {
            break;
        }
        repo.mark();
    }
    assert!(recorded());
    assert_eq!(repo.scan().updates, []);
    // A record that lies about the content is believed, so the file was not read.
    let record = repo.path(".lockkeeper/remotes/shared/synced/dirs/data/files");
    let text = fs::read_to_string(&record).unwrap();
    fs::write(&record, text.replace(&digest("one").to_string(), &digest("lie").to_string())).unwrap();
    assert_eq!(repo.changes(), [""; 0]);
}

#[test]
fn a_damaged_record_is_named_and_its_files_count_as_never_synced() {
    let repo = Repo::new();
    repo.write("data/ec2/web/a", "one");
    repo.write("data/ec2/web/gone", "one");
    repo.write("data/ec2/db/a", "one");
    repo.mark();
    repo.remove("data/ec2/web/gone");
    for damage in [&b""[..], b"{\"version\":1,\"files\":{\"a", b"{\"version\":9,\"files\":{}}", b"\xff\xfe"] {
        fs::write(repo.path(RECORD).join("web/files"), damage).unwrap();
        let scan = repo.scan();
        assert_eq!(short(&scan), ["+data/ec2/web/a"]);
        assert_eq!(
            scan.damaged.iter().map(|record| &record.folder[..]).collect::<Vec<_>>(),
            ["data/ec2/web"]
        );
    }
    repo.mark();
    assert!(repo.scan().damaged.is_empty());
    assert_eq!(repo.changes(), [""; 0]);
}

#[test]
fn a_damaged_record_never_overwrites_what_the_remote_has() {
    let mut remote = Remote::of(&[("data/ec2/web/a", "one"), ("data/ec2/web/b", "one")]);
    let repo = Repo::of(&remote);
    fs::write(repo.path(RECORD).join("web/files"), "damage").unwrap();
    remote.write("data/ec2/web/a", "two");
    assert_eq!(paths(&repo.push(&mut remote).unwrap_err()), ["data/ec2/web/a"]);
    assert_eq!(conflicts(repo.pull(&remote, OnConflict::Stop)), ["data/ec2/web/a"]);
    assert_eq!(repo.read("data/ec2/web/a"), "one");
}

#[test]
fn a_scope_never_opens_the_records_of_its_siblings() {
    let repo = Repo::new();
    repo.write("data/ec2/web/a", "one");
    repo.write("data/ec2/web-2/a", "one");
    repo.mark();
    fs::write(repo.path(RECORD).join("web-2/files"), "damage").unwrap();
    let scan = repo.cache.changes(&[scope("ec2/web")]).unwrap();
    assert!(scan.damaged.is_empty() && scan.changes.is_empty());
    assert_eq!(repo.scan().damaged.len(), 1);
}

#[test]
fn records_of_what_is_gone_do_not_pile_up() {
    let repo = Repo::new();
    repo.write("data/ec2/web/runs/1/deep/file", "");
    repo.write("data/ec2/web/kept", "");
    repo.mark();
    fs::remove_dir_all(repo.path("data/ec2/web/runs")).unwrap();
    repo.mark();
    assert!(!repo.path(RECORD).join("web/dirs").join("runs").exists());
    assert!(repo.path(RECORD).join("web/files").exists());
}

#[test]
fn names_like_those_of_the_records_are_only_names() {
    let repo = Repo::new();
    for path in ["data/files", "data/dirs/files", "data/dirs/dirs/dirs", "data/files.new", "data/a/files/x"] {
        repo.write(path, path);
    }
    repo.mark();
    assert_eq!(repo.changes(), [""; 0]);
    repo.remove("data/dirs/files");
    assert_eq!(repo.changes(), ["-data/dirs/files"]);
}

#[test]
fn a_state_folder_that_leads_elsewhere_is_refused() {
    let (repo, elsewhere) = (Repo::new(), tempfile::tempdir().unwrap());
    repo.write("data/file", "one");
    std::os::unix::fs::symlink(elsewhere.path(), repo.path(".lockkeeper")).unwrap();
    assert!(repo.cache.mark_synced(&repo.scan()).is_err());
    assert!(repo.cache.incoming(&[Extent::Everything]).is_err());
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}

#[test]
fn scopes_are_marked_at_the_same_time() {
    let repo = Repo::new();
    std::thread::scope(|threads| {
        for model in ["ec2/a", "ec2/b", "ec2/c", "s3/a"] {
            let repo = &repo;
            threads.spawn(move || {
                for _ in 0..50 {
                    repo.write(&format!("data/{model}/x/y"), model);
                    repo.cache.mark_synced(&repo.cache.changes(&[scope(model)]).unwrap()).unwrap();
                    fs::remove_dir_all(repo.path(&format!("data/{model}/x"))).unwrap();
                    repo.cache.mark_synced(&repo.cache.changes(&[scope(model)]).unwrap()).unwrap();
                }
            });
        }
    });
    assert_eq!(repo.changes(), [""; 0]);
}

#[test]
fn what_was_synced_with_one_remote_says_nothing_about_another() {
    let repo = Repo::new();
    repo.write("data/ec2/web/a", "one");
    repo.mark();
    assert_eq!(repo.changes(), [""; 0]);

    let roots = ["data", "outputs"].map(|root| Root::parse(root).unwrap());
    let moved = Cache::open(&repo.path(""), "another", roots.to_vec()).unwrap();
    assert_eq!(short(&moved.changes(&[Extent::Everything]).unwrap()), ["+data/ec2/web/a"]);
    assert_eq!(repo.changes(), [""; 0]);
}
