//! `@lockkeeper/gcs`: keeps a cache in sync with a bucket of Google Cloud Storage, over its JSON API.
//!
//! Requests leave this extension without credentials; the host adds them on their way out. See `design/datastores.md`.

mod config;
mod documents;
mod json;
mod listing;
mod name;
mod probe;
mod refusal;
mod remote;
mod request;
mod resumable;
mod rewrite;

use lockkeeper_sdk::{Datastore, Result};

use crate::config::Config;
use crate::remote::Bucket;

struct Gcs;

impl Datastore for Gcs {
    type Config = Config;
    type Remote = Bucket;

    fn open(config: Config) -> Result<Bucket> {
        Bucket::open(config)
    }
}

lockkeeper_sdk::export!(Gcs);
