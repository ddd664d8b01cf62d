//! `@lockkeeper/liars`: promises `scoped-sync`, and breaks it in one way that its configuration names.
//!
//! For testing what tests extensions: `lockkeeper check` has to find each of these, and nothing in the honest one. They differ in one step
//! of a protocol that is otherwise right. `mutation` names what is wrong:
//!
//! | `mutation` | where this happened | found by |
//! |---|---|---|
//! | `honest` | nothing is wrong; the default | – |
//! | `unconditional-index-write` | S3 and GCS datastores with one index file: a fresh reader's push orphaned everyone's data | interleave |
//! | `check-then-write` | locks and manifests that are compared, then put; structural deletes that raced a writer | interleave |
//! | `shard-by-type` | an index that was partitioned, not enough | interleave |
//! | `counter-object` | generation numbers that are read and written back | interleave |
//! | `time-based-ids` | snapshots and versions named by the time | interleave |
//! | `fixed-temporary-name` | `index.json.tmp` beside every `index.json` | interleave |
//! | `shared-state` | repair on start that takes another's unfinished upload for garbage | interleave |
//! | `truncate-in-place` | `fs.writeFile` on an index: a crash leaves half of it, and nothing reads it any more | crash |
//! | `index-before-objects` | readers that find a manifest and none of its files | crash |
//! | `delete-before-upload` | a replaced file that was in neither version after a crash | crash |
//! | `lock-folder` | `mkdir` locks that outlive their holder: endless hangs on a stale lock | crash |
//! | `unsynced` | a rename that survives a power failure when the bytes don't | crash |
//! | `prefix-without-slash` | `web` and `web-2`: one model's clean-up deletes the other | scope |
//! | `full-walk` | a cache that had pulled one scope deleted 990 objects of other models | scope |
//! | `scope-ignored` | scoped pulls that read and wrote everything | scope |
//! | `swallowed-error` | an upload that failed, logged at debug level | fault |
//! | `error-means-empty` | a network blip that wiped the index | fault |
//! | `condition-dropped` | a retry helper that rebuilds the request and forgets `If-Match` | interleave |
//! | `later-version` | an ETag taken from a HEAD after the GET whose bytes were used | interleave |
//!
//! The last two need a bucket, all others a folder: `root` names a granted folder, or `bucket` the URL of an S3 bucket that takes
//! unsigned requests, such as `http://s3.test/bucket`. With `tcp://` in place of `http://` it speaks the same over a TCP socket of its own.
//!
//! In a folder, the honest protocol writes each version of a file once, under a name made from path and digest, and each push once, as
//! a file that lists its changes under a name that no other push takes. To read is to put all pushes in order. Nothing is ever
//! changed, so there is nothing to be torn or lost. In a bucket there is one index, replaced under a condition and merged again when the
//! condition fails. Neither is fast.

mod bucket;
mod folder;
mod index;
mod mutation;
mod sync;

use wit::exports::lockkeeper::datastore::{capabilities, sync as exported};
use wit::lockkeeper::datastore::types;

#[allow(missing_docs, unsafe_code, clippy::all, reason = "generated from the WIT")]
mod wit {
    wit_bindgen::generate!({ path: "../../wit", world: "capable-datastore", generate_all });
    export!(Liar with_types_in self);
    use super::Liar;
}

use types::Error;

struct Liar;

impl capabilities::Guest for Liar {
    fn capabilities() -> capabilities::CapabilityFlags {
        capabilities::CapabilityFlags::SCOPED_SYNC
    }
}

impl exported::Guest for Liar {
    fn push(options: exported::PushOptions) -> Result<exported::PushReport, Error> {
        sync::push(&options)
    }

    fn pull(options: exported::PullOptions) -> Result<exported::PullReport, Error> {
        sync::pull(&options)
    }
}

/// A value of the configuration.
fn config(key: &str) -> Result<Option<String>, Error> {
    wit::wasi::config::store::get(key).map_err(|error| Error::Fatal(fail(format!("{key}: {error:?}"))))
}

fn fail(message: impl Into<String>) -> types::Failure {
    types::Failure { message: message.into(), path: None, status: None, request_id: None }
}

fn retry(message: impl Into<String>) -> Error {
    Error::Retry(fail(message))
}
