//! `@lockkeeper/filesystem`: keeps a cache in sync with a shared folder.

use lockkeeper_sdk::folder::Folder;
use lockkeeper_sdk::{Datastore, Result};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// The folder to sync with, as the guest sees it.
    root: String,
}

struct Filesystem;

impl Datastore for Filesystem {
    type Config = Config;
    type Remote = Folder;

    fn open(config: Config) -> Result<Folder> {
        Folder::open(config.root)
    }
}

lockkeeper_sdk::export!(Filesystem);
