//! A repository, a remote in memory and a remote that fails, for the tests.
#![allow(dead_code, unused_imports, reason = "each test takes what it needs")]

mod faulty;
mod memory;
mod repository;

pub use faulty::{Faulty, Moment};
pub use memory::Memory;
pub use repository::{Repository, digest};

use std::collections::BTreeMap;

use lockkeeper_sdk::{Layout, Remote};

/// The scope that most tests use.
pub const WEB: &str = "data/aws-ec2/web/";

/// What someone gets who has nothing and pulls everything.
pub fn fresh(remote: &impl Remote) -> BTreeMap<String, String> {
    let mut reader = Repository::new(Layout::PerScope);
    reader.pull(remote, None).unwrap();
    reader.files()
}

/// The files of a tree, as pairs of path and content.
pub fn tree<const N: usize>(files: [(&str, &str); N]) -> BTreeMap<String, String> {
    files.map(|(path, content)| (path.to_owned(), content.to_owned())).into()
}
