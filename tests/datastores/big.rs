//! The guest's memory doesn't grow with a file's size.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use support::datastores::{Kind, Store};
use support::{memory, world_with_credentials};

const GIBIBYTE: u64 = 1 << 30;
const LIMIT: &str = "[datastore.limits]\nmemory = \"64MiB\"";

/// What isn't zero in the file: at its beginning, across a part's end, somewhere, at its end.
fn marks(size: u64) -> [u64; 4] {
    [0, (16 << 20) - 3, size / 4 * 3 + 1, size - 7]
}

fn make(path: &Path, size: u64) {
    let file = File::create(path).unwrap();
    file.set_len(size).unwrap();
    for (number, at) in marks(size).into_iter().enumerate() {
        file.write_all_at(format!("mark {number}").as_bytes(), at).unwrap();
    }
}

fn same(one: &Path, other: &Path) -> bool {
    let (mut one, mut other) = (File::open(one).unwrap(), File::open(other).unwrap());
    let (mut a, mut b) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    if one.metadata().unwrap().len() != other.metadata().unwrap().len() {
        return false;
    }
    loop {
        let read = one.read(&mut a).unwrap();
        if read == 0 {
            return true;
        }
        other.read_exact(&mut b[..read]).unwrap();
        if a[..read] != b[..read] {
            return false;
        }
    }
}

fn travels(kind: Kind, size: u64) {
    let Some(store) = Store::new(kind) else { return };
    let world = world_with_credentials!(in &memory());
    let a = store.repository_at(&world, "a", store.address(), LIMIT);
    let b = store.repository_at(&world, "b", store.address(), LIMIT);
    a.write("data/kind/model/small", "small");
    make(&a.folder.join("data/kind/model/big"), size);
    a.ok(&["push"]);
    b.ok(&["pull"]);
    assert!(same(&a.folder.join("data/kind/model/big"), &b.folder.join("data/kind/model/big")));
    assert_eq!(b.read("data/kind/model/small").unwrap(), b"small");
}

#[test]
fn two_gibibytes_travel_through_s3_in_64_mebibytes_of_memory() {
    travels(Kind::S3, 2 * GIBIBYTE);
}

#[test]
fn two_gibibytes_travel_through_google_cloud_storage_in_64_mebibytes_of_memory() {
    travels(Kind::Gcs, 2 * GIBIBYTE);
}

#[test]
fn half_a_gibibyte_travels_through_mongodb_in_64_mebibytes_of_memory() {
    // SecantusDB takes minutes for more.
    travels(Kind::Mongo, GIBIBYTE / 2);
}
