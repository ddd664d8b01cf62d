//! Repositories on an S3.

use support::Repository;
use support::servers::{InProcess, Metered};

/// The bucket's name.
pub const BUCKET: &str = "bucket";

/// Lets a repository sync with a store, below a prefix.
pub fn configure(repository: &Repository, store: &InProcess<Metered>, extension: &str, prefix: &str) {
    let origin = format!("http://{}", store.address());
    repository.write(
        "lockkeeper.toml",
        format!(
            "[datastore]\nextension = {extension:?}\n\
             [datastore.config]\nbucket = {BUCKET:?}\nendpoint = {origin:?}\nprefix = {prefix:?}\n\
             [datastore.grants]\nhttp = [{origin:?}]\n\
             [datastore.auth]\n{origin:?} = {{ scheme = \"aws-sigv4\", region = \"eu-west-1\" }}\n"
        ),
    );
}
