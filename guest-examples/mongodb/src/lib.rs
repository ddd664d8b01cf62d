//! A MongoDB database as the remote.
//!
//! [`wire`] frames messages, [`connection`] speaks on one connection and [`client`] finds the primary. On them stands [`store`], the few things
//! that are done to documents, and [`bulk`], which does them to many at once; on that, [`blobs`], [`files`] and [`documents`], which say what the collections hold and why
//! nothing is lost. [`remote`] is what the SDK sees of it.

pub mod blobs;
mod budget;
pub mod bulk;
pub mod client;
pub mod config;
pub mod connection;
pub mod documents;
pub mod fault;
pub mod files;
mod net;
pub mod remote;
mod reply;
mod scram;
pub mod store;
mod together;
pub mod url;
pub mod wire;

pub use config::Config;
pub use remote::Mongo;

use lockkeeper_sdk::{Datastore, Result};

/// The extension.
pub struct MongoDb;

impl Datastore for MongoDb {
    type Config = Config;
    type Remote = Mongo;

    fn open(config: Config) -> Result<Mongo> {
        Mongo::open(config)
    }
}

// Only a component has exports.
#[cfg(target_family = "wasm")]
lockkeeper_sdk::export!(MongoDb);
