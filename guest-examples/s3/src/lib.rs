//! `@lockkeeper/s3`: keeps a cache in sync with a bucket of S3 or of a store that speaks its protocol.
//!
//! Requests leave this extension unsigned; the host signs them on their way out. See `design/datastores.md`.

mod config;
mod copy;
mod documents;
mod listing;
mod multipart;
mod probe;
mod refusal;
mod remote;
mod request;
mod xml;

use lockkeeper_sdk::{Datastore, Result};

use crate::config::Config;
use crate::remote::Bucket;

struct S3;

impl Datastore for S3 {
    type Config = Config;
    type Remote = Bucket;

    fn open(config: Config) -> Result<Bucket> {
        Bucket::open(config)
    }
}

lockkeeper_sdk::export!(S3);
