//! `lockkeeper check` of datastores behind TCP, against their real servers.

use serde_json::Value;
use support::servers::{InProcess, strict_s3};
use support::{Ran, World, guest, says, servers, world};

use lockkeeper_remotes::s3::{self, MemoryS3};

const NOT_CONFORMANT: i32 = 76;

/// Checks a guest that is given a server, in JSON.
fn check(world: &World, name: &str, config: &str, arguments: &[&str]) -> (i32, Value) {
    let path = world.path("check.toml");
    std::fs::write(&path, config).unwrap();
    let mut command = world.command();
    command.arg("check").arg(guest(name)).arg("--config").arg(&path).arg("--json");
    let ran = Ran::of(command.args(arguments));
    let verdict = serde_json::from_str(&ran.stdout);
    (ran.code, verdict.unwrap_or_else(|error| panic!("{error}: {}{}", ran.stdout, ran.stderr)))
}

/// `@lockkeeper/liars` with a bucket that it reaches over TCP.
fn liar(world: &World, server: &InProcess<MemoryS3>, mutation: &str, arguments: &[&str]) -> (i32, Value) {
    let address = server.address();
    let config = format!(
        "[config]\nbucket = \"tcp://{address}/bucket/{{namespace}}\"\nmutation = \"{mutation}\"\n\
         [remote]\ntcp = [\"{address}\"]\n"
    );
    check(world, "liars", &config, arguments)
}

#[test]
fn a_mongodb_datastore_keeps_its_promises_on_its_real_server() {
    let Some(server) = servers::secantus() else { return };
    let (world, address) = (world!(), server.address());
    let config =
        format!("[config]\nurl = \"mongodb://{address}/{{namespace}}\"\n[remote]\ntcp = [\"{address}\"]\n");
    let (code, verdict) = check(&world, "mongodb", &config, &["--budget", "60", "--preemptions", "1"]);
    assert_eq!(code, 0, "{verdict:#}");
    for suite in verdict["suites"].as_array().unwrap() {
        println!("{suite}");
        assert_ne!(suite["counts"]["calls"], 0, "{suite}");
    }
}

#[test]
fn a_liar_on_a_real_server_is_caught_and_the_run_is_repeated() {
    let (world, server) = (world!(), strict_s3(s3::Options::default()));
    let (code, verdict) = liar(&world, &server, "condition-dropped", &["--suite", "interleave"]);
    assert_eq!(code, NOT_CONFORMANT, "{verdict:#}");
    let finding = &verdict["findings"][0];
    assert_eq!(finding["preemptions"], 1, "{finding:#}");
    let replay = finding["replay"].as_str().unwrap();
    let (code, again) = liar(&world, &server, "condition-dropped", &["--replay", replay]);
    assert_eq!((code, &again["findings"][0]["violation"]), (NOT_CONFORMANT, &finding["violation"]));
}

#[test]
fn an_honest_extension_is_not_accused_on_a_real_server() {
    let (world, server) = (world!(), strict_s3(s3::Options::default()));
    let (code, verdict) = liar(&world, &server, "honest", &["--budget", "40", "--preemptions", "1"]);
    assert_eq!(code, 0, "{verdict:#}");
    for suite in verdict["suites"].as_array().unwrap() {
        println!("{suite}");
        assert_ne!(suite["counts"]["calls"], 0, "{suite}");
    }
    // Every run was in a namespace of its own, beside the others.
    let namespaces = server.remote.objects().into_keys();
    let namespaces = namespaces.filter_map(|key| Some(key.split_once('/')?.0.to_owned()));
    assert!(namespaces.collect::<std::collections::BTreeSet<_>>().len() > 20);
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let (world, server) = (world!(), strict_s3(s3::Options::default()));
    let address = server.address();
    drop(server);
    let config = format!(
        "[config]\nbucket = \"tcp://{address}/bucket/{{namespace}}\"\n[remote]\ntcp = [\"{address}\"]\n"
    );
    let (code, verdict) = check(&world, "liars", &config, &["--suite", "contract"]);
    assert_eq!(code, NOT_CONFORMANT);
    says(&verdict.to_string(), &["efused"]);
}
