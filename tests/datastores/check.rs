//! `lockkeeper check` of datastores behind TCP, against their real servers.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, Ordering};

use lockkeeper_check::{Actor, CachePath, Failure, Repository, Settings, Subject, SuiteName, run};
use lockkeeper_remotes::s3::{self, MemoryS3};
use lockkeeper_test_servers::secantus;
use serde_json::Value;
use support::servers::{InProcess, strict_s3};
use support::{Ran, World, guest, says, world};

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
    let Some(server) = secantus() else { return };
    let (world, address) = (world!(), server.address());
    let config =
        format!("[config]\nurl = \"mongodb://{address}/{{namespace}}\"\n[remote]\ntcp = [\"{address}\"]\n");
    for suite in SuiteName::ALL {
        let arguments = ["--suite", suite.name(), "--budget", "8", "--preemptions", "1"];
        let (code, verdict) = check(&world, "mongodb", &config, &arguments);
        assert_eq!(code, 0, "{verdict:#}");
        assert_ne!(verdict["suites"][0]["counts"]["calls"], 0, "{verdict:#}");
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

/// A server that reads whatever it is sent, never answers, and counts how many of its connections are open.
fn silent_server() -> (SocketAddr, Arc<AtomicIsize>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let (address, open) = (listener.local_addr().unwrap(), Arc::new(AtomicIsize::new(0)));
    let counted = open.clone();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            counted.fetch_add(1, Ordering::SeqCst);
            let counted = counted.clone();
            std::thread::spawn(move || {
                _ = std::io::copy(&mut stream, &mut std::io::sink());
                counted.fetch_sub(1, Ordering::SeqCst);
            });
        }
    });
    (address, open)
}

/// Pushes one file of a guest whose server never answers, as a schedule says.
fn push_to(address: SocketAddr, schedule: &str) -> Failure {
    let settings = Settings::server(address).with("bucket", &format!("tcp://{address}/bucket/{{namespace}}"));
    let bytes = std::fs::read(guest("liars")).unwrap();
    let subject = Subject::load(&bytes, settings, None).unwrap();
    let mut repository = Repository::new();
    repository.write(&CachePath::parse("data/app/web/state").unwrap(), "content");
    let mut world = lockkeeper_check::World::new(&subject, 1);
    let mut ran = run(&subject, &mut world, vec![Actor::push(repository, None)], &schedule.parse().unwrap());
    ran.ends.pop().unwrap().result.unwrap_err()
}

#[test]
fn a_guest_that_is_killed_is_disconnected_before_anybody_goes_on() {
    let (address, open) = silent_server();
    // Connected, and nothing sent; then half of a request.
    for schedule in ["a1!", "a1!torn"] {
        assert_eq!(push_to(address, schedule), Failure::Killed);
        assert_eq!(open.load(Ordering::SeqCst), 0, "{schedule}");
    }
}

#[test]
fn a_server_that_never_answers_cannot_hang_the_check() {
    let (address, open) = silent_server();
    let failure = push_to(address, "");
    assert!(matches!(failure, Failure::Retry(_)), "{failure}");
    assert_eq!(open.load(Ordering::SeqCst), 0);
}
