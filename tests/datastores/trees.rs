//! Random trees arrive as they are.

use std::collections::BTreeMap;

use fastrand::Rng;
use support::datastores::{Kind, Store};
use support::{Repository, memory, world_with_credentials};

/// Names that some tool, shell or encoding gets wrong.
const ODD: [&str; 18] = [
    "a b",
    " ",
    "ü",
    "u\u{308}",
    "日本語",
    "line\nbreak",
    "quo\"te's",
    "back\\slash",
    "%2F",
    "100%",
    "a+b",
    "-rf",
    ".hidden",
    "...",
    ".shard",
    "x&y=z?#",
    "file",
    "CON:$HOME*?",
];

const MEBIBYTE: usize = 1024 * 1024;

/// Files by path.
type Tree = BTreeMap<String, Vec<u8>>;

fn content(rng: &mut Rng, size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    rng.fill(&mut bytes);
    bytes
}

/// Mostly small, some larger, and some of the sizes at which things are done in another way.
fn size(rng: &mut Rng, number: usize) -> usize {
    match number {
        0 => 20_000_000,
        1 => 8 * MEBIBYTE,
        2 => 8 * MEBIBYTE + 1,
        3 => 5 * MEBIBYTE,
        4 => 16 * MEBIBYTE,
        _ if number % 100 == 5 => rng.usize(..MEBIBYTE),
        _ if number % 10 == 6 => 0,
        _ => rng.usize(..4096),
    }
}

fn tree(rng: &mut Rng, count: usize, kind: Kind) -> Tree {
    // moto doesn't find what has a line break in its name.
    let names: Vec<_> = ODD.into_iter().filter(|name| kind != Kind::Moto || !name.contains('\n')).collect();
    let mut tree = Tree::new();
    while tree.len() < count {
        let number = tree.len();
        let odd = |rng: &mut Rng| names[rng.usize(..names.len())];
        // Models first, so that files and folders of one name don't meet.
        let model = format!("data/kind-{}/model {}", number % 3, number % 25);
        let path = match rng.u8(..4) {
            0 => format!("{model}/{} {number}", odd(rng)),
            1 => format!("{model}/in/{}/{} {number}", odd(rng), odd(rng)),
            2 => format!("{model}/{number}/{}", odd(rng)),
            _ => format!("{model}/plain-{number}.json"),
        };
        let size = size(rng, number);
        tree.insert(path, content(rng, size));
    }
    tree
}

fn write(repository: &Repository, tree: &Tree) {
    for (path, content) in tree {
        repository.write(path, content);
    }
}

/// Says which paths differ, not how: the contents would fill the screen.
fn same(one: &Tree, other: &Tree) {
    let differ: Vec<_> =
        one.keys().chain(other.keys()).filter(|path| one.get(*path) != other.get(*path)).take(10).collect();
    assert!(differ.is_empty(), "{} and {} files; these differ: {differ:?}", one.len(), other.len());
}

fn arrive(kind: Kind, count: usize) {
    let Some(store) = Store::new(kind) else { return };
    let mut rng = Rng::with_seed(7);
    let world = world_with_credentials!(in &memory());
    let (a, b) = (store.repository(&world, "a"), store.repository(&world, "b"));
    let mut tree = tree(&mut rng, count, kind);
    write(&a, &tree);
    a.ok(&["push"]);
    b.ok(&["pull"]);
    same(&b.files("data"), &tree);

    // Deleted, moved and changed.
    let paths: Vec<String> = tree.keys().cloned().collect();
    for (number, path) in paths.iter().enumerate() {
        match number % 25 {
            3 => {
                tree.remove(path);
                a.delete(path);
            }
            7 => {
                let content = tree.remove(path).unwrap();
                a.delete(path);
                let moved = format!("{path} moved");
                a.write(&moved, &content);
                tree.insert(moved, content);
            }
            11 => {
                let size = rng.usize(..2000);
                let content = content(&mut rng, size);
                a.write(path, &content);
                tree.insert(path.clone(), content);
            }
            _ => {}
        }
    }
    a.ok(&["push"]);
    b.ok(&["pull"]);
    same(&b.files("data"), &tree);
    let fresh = store.repository(&world, "fresh");
    fresh.ok(&["pull"]);
    same(&fresh.files("data"), &tree);
    assert_eq!(a.unpushed(), [] as [String; 0]);
    if let Some(s3) = store.as_s3() {
        assert_eq!(s3.open_uploads(), 0, "an upload was begun and forgotten");
    }
    if let Some(gcs) = store.as_gcs() {
        assert_eq!(gcs.open_uploads(), 0, "an upload was begun and forgotten");
    }
}

#[test]
fn any_tree_and_what_becomes_of_it_arrive_through_a_strict_s3() {
    arrive(Kind::S3, 5000);
}

#[test]
fn any_tree_and_what_becomes_of_it_arrive_through_moto() {
    arrive(Kind::Moto, 200);
}

#[test]
fn any_tree_and_what_becomes_of_it_arrive_through_a_strict_google_cloud_storage() {
    arrive(Kind::Gcs, 5000);
}

#[test]
fn any_tree_and_what_becomes_of_it_arrive_through_fake_gcs_server() {
    arrive(Kind::FakeGcs, 5000);
}

#[test]
fn any_tree_and_what_becomes_of_it_arrive_through_mongodb() {
    arrive(Kind::Mongo, 5000);
}
