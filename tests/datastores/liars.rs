//! A store that doesn't honour conditions is found out before anything is trusted to it.

use lockkeeper_remotes::{Conditions, gcs, s3};
use lockkeeper_test_servers::LyingS3;
use support::datastores::Store;
use support::servers::InProcess;
use support::{fails, says, world, world_with_credentials};

const REPORTED: i32 = 69;

/// Expects a push to be refused, and nothing of it to be there.
fn is_refused(store: &Store) {
    let world = world_with_credentials!();
    let a = store.repository(&world, "a");
    a.write("data/kind/model/file", "content");
    let said = fails(&a.run(&["push"]), REPORTED);
    says(&said, &["can't be trusted with conditional writes", "lose data", "use a store that"]);
    assert_eq!(a.unpushed(), ["data/kind/model/file"]);
}

#[test]
fn an_s3_that_ignores_conditions_is_refused() {
    let store = Store::s3(s3::Options { conditions: Conditions::Ignored, ..s3::Options::default() });
    is_refused(&store);
    let objects = store.as_s3().unwrap().objects();
    assert!(objects.keys().all(|key| !key.starts_with("data/")), "{objects:?}");
}

#[test]
fn a_google_cloud_storage_that_ignores_conditions_is_refused() {
    let store = Store::gcs(gcs::Options { conditions: Conditions::Ignored, ..gcs::Options::default() });
    is_refused(&store);
    let objects = store.as_gcs().unwrap().objects();
    assert!(objects.keys().all(|key| !key.starts_with("data/")), "{objects:?}");
}

#[test]
fn an_s3_whose_conditions_are_not_atomic_is_refused() {
    // It takes two writers at one moment to find out, so it may take more than one look.
    let found = (0..10).any(|attempt| {
        let world = world!();
        let folder = world.path("store");
        let server = InProcess::start(LyingS3::new(&folder, None));
        let origin = format!("http://{}", server.address());
        let a = world.repository("a", "s3");
        a.write(
            "lockkeeper.toml",
            format!(
                "[datastore]\nextension = \"@lockkeeper/s3\"\n[datastore.config]\nbucket = \"bucket\"\n\
                 endpoint = {origin:?}\n[datastore.grants]\nhttp = [{origin:?}]\n"
            ),
        );
        a.write("data/kind/model/file", "content");
        let ran = a.run(&["push"]);
        if ran.code == 0 {
            println!("attempt {attempt}: it kept its word");
            return false;
        }
        says(
            &fails(&ran, REPORTED),
            &["can't be trusted with conditional writes", "writers that asked at once"],
        );
        true
    });
    assert!(found, "ten pushes, and the store was trusted each time");
}
