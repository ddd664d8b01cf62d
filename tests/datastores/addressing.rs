//! A bucket that stands in the host's name.

use lockkeeper_remotes::s3;
use support::datastores::Store;
use support::world_with_credentials;

#[test]
fn a_bucket_of_s3_may_stand_in_the_name_of_the_host() {
    let store = Store::s3(s3::Options { domain: Some("localhost".into()), ..s3::Options::default() });
    let port = store.address().port();
    let world = world_with_credentials!();
    let text = format!(
        "[datastore]\nextension = \"@lockkeeper/s3\"\n\
         [datastore.config]\nbucket = \"bucket\"\nendpoint = \"http://localhost:{port}\"\naddressing = \"virtual-host\"\n\
         [datastore.grants]\nhttp = [\"http://bucket.localhost:{port}\"]\n\
         [datastore.auth]\n\"http://bucket.localhost:{port}\" = {{ scheme = \"aws-sigv4\", region = \"eu-west-1\" }}\n"
    );
    let [a, b] = ["a", "b"].map(|name| {
        let repository = world.repository(name, "s3");
        repository.write("lockkeeper.toml", &text);
        repository
    });
    for name in ["file", "a b+c%2F", "ü"] {
        a.write(&format!("data/kind/model/{name}"), name);
    }
    // In parts.
    a.write("data/kind/model/large", vec![7; 17 << 20]);
    a.ok(&["push"]);
    b.ok(&["pull"]);
    assert!(a.files("data") == b.files("data"));
    let objects = store.as_s3().unwrap().objects();
    assert!(objects.contains_key("data/kind/model/a b+c%2F"), "{:?}", objects.keys());
}
