//! `@lockkeeper/shared-index`: keeps a cache in sync with a shared folder that has one index for everything.
//!
//! Every push writes that index, so the extension does not declare `scoped-sync`: the host lets it do one
//! push or pull at a time.

use lockkeeper_sdk::folder::Folder;
use lockkeeper_sdk::{Datastore, Layout, Result};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// The folder to sync with, as the guest sees it.
    root: String,
}

struct SharedIndex;

impl Datastore for SharedIndex {
    type Config = Config;
    type Remote = Folder;

    const LAYOUT: Layout = Layout::Single;

    fn open(config: Config) -> Result<Folder> {
        Folder::open(config.root)
    }
}

lockkeeper_sdk::export!(SharedIndex);
