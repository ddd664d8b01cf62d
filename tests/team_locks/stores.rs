//! Each store through the command: what `lockkeeper.toml` says of it, and how its server is reached.

use lockkeeper_test_servers::{Secured, etcd_over_tls, postgres_over_tls, shared_etcd, shared_postgres};
use serde_json::{Value, json};
use support::datastores::{Kind, Store, credentials};
use support::{Ran, World, fails, says, world};

use crate::{in_etcd, in_postgres};

/// What nobody may see.
const PASSWORD: &str = "pass/word of the @locks";

/// Runs of two repositories with these locks, of a name of its own, exclude each other and are numbered.
fn excludes(world: &World, store: &str, locks: &str) {
    let [one, other] = ["one", "other"].map(|it| world.configured(it, "filesystem", "", locks));
    let holding = one.hold(&["a/x"]);
    let ran = Ran::of(&mut other.script(&["a/x"], "true", &["--wait", "0s"]));
    says(&fails(&ran, 75), &["model/a/x", &format!("pid {}", holding.pid())]);
    assert_eq!(holding.finish().code, 0, "{store}");
    let number = |report: &Value| {
        let locks = report["locks"].as_array().unwrap();
        locks.iter().find(|lock| lock["kind"] == "model").unwrap()["fence"].as_u64().unwrap()
    };
    let write = |text: &str| format!("mkdir -p data/a/x && echo {text} > data/a/x/f");
    let (ran, first) = one.run_script(&["a/x"], &write("1"));
    assert_eq!(ran.code, 0, "{store}: {}", ran.stderr);
    let (ran, second) = other.run_script(&["a/x"], &write("2"));
    assert_eq!(ran.code, 0, "{store}: {}", ran.stderr);
    assert!(number(&first) < number(&second), "{store}");
    let status = one.json(&["status"]);
    assert_eq!((&status["locks"]["store"], &status["locks"]["problem"]), (&json!(store), &Value::Null));
    assert!(status["locks"]["round_trip_ms"].as_f64().is_some());
    assert!(!status.to_string().contains(PASSWORD), "{status}");
    assert_eq!(world.fresh("filesystem")["data/a/x/f"], b"2\n");
}

/// What `status` says is wrong with the locks.
fn problem(world: &World, locks: &str) -> String {
    let repository = world.configured("wrong", "filesystem", "", locks);
    let problem = repository.json(&["status"])["locks"]["problem"].as_str().unwrap().to_owned();
    assert!(!problem.contains(PASSWORD), "{problem}");
    problem
}

/// What a server has. The certificate of its authority is in `ca.pem`.
fn secured(world: &World) -> Secured {
    let secured = Secured::new(PASSWORD);
    std::fs::write(world.path("ca.pem"), &secured.authority).unwrap();
    secured
}

#[test]
fn an_etcd_keeps_locks() {
    let Some(server) = shared_etcd() else { return };
    excludes(&world!(), "etcd", &in_etcd(server, "pair", ""));
}

#[test]
fn a_postgresql_keeps_locks() {
    let Some(server) = shared_postgres() else { return };
    excludes(&world!(), "postgres", &in_postgres(server, "pair"));
}

#[test]
fn a_bucket_keeps_locks_with_credentials_from_the_environment() {
    let store = Store::new(Kind::S3).unwrap();
    let locks = format!(
        "[locks]\nstore = \"bucket\"\nurl = \"s3://bucket/locks\"\nlease = \"3s\"\n\
         settings = {{ aws_endpoint = \"http://{}\", aws_allow_http = true, aws_region = \"eu-west-1\" }}\n",
        store.address()
    );
    excludes(&world!().with_environment(credentials()), "bucket", &locks);
    says(&problem(&world!(), &locks), &["bucket s3://bucket/locks"]);
}

#[test]
fn an_etcd_that_wants_a_password_over_tls_keeps_locks_although_a_member_is_gone() {
    let world = world!().with_environment(vec![("LOCKS_PASSWORD", PASSWORD)]);
    let Some(server) = etcd_over_tls(&secured(&world)) else { return };
    let locks = |more: &str| {
        format!(
            "[locks]\nstore = \"etcd\"\nlease = \"3s\"\n\
             endpoints = [\"https://127.0.0.1:1\", \"https://127.0.0.1:{}\"]\n{more}",
            server.address().port()
        )
    };
    let login = "user = \"lockkeeper\"\npassword = { env = \"LOCKS_PASSWORD\" }\n";
    excludes(&world, "etcd", &locks(&format!("{login}ca = \"../ca.pem\"\n")));
    says(&problem(&world, &locks(login)), &["can't be reached"]);
    let wrong = login.replace("LOCKS_PASSWORD", "HOME");
    says(&problem(&world, &locks(&format!("{wrong}ca = \"../ca.pem\"\n"))), &["password"]);
}

#[test]
fn a_postgresql_that_wants_a_password_over_tls_keeps_locks() {
    let world = world!();
    std::fs::write(world.path("password"), PASSWORD).unwrap();
    std::fs::write(world.path("other-password"), "guessed").unwrap();
    let Some(server) = postgres_over_tls(&secured(&world)) else { return };
    let locks = |more: &str| {
        format!(
            "[locks]\nstore = \"postgres\"\nlease = \"3s\"\n\
             url = \"postgres://postgres@127.0.0.1:{}/postgres\"\n{more}",
            server.address().port()
        )
    };
    let password = "password = { file = \"../password\" }\n";
    excludes(&world, "postgres", &locks(&format!("{password}ca = \"../ca.pem\"\n")));
    says(&problem(&world, &locks(password)), &["certificate"]);
    let wrong = password.replace("../password", "../other-password");
    says(&problem(&world, &locks(&format!("{wrong}ca = \"../ca.pem\"\n"))), &["password"]);
}

#[test]
fn a_store_that_can_not_be_reached_is_named_and_nothing_runs() {
    let world = world!();
    let locks = "[locks]\nstore = \"etcd\"\nendpoints = [\"http://127.0.0.1:1\"]\nlease = \"2s\"\n";
    let repository = world.configured("a", "filesystem", "", locks);
    let ran = Ran::of(&mut repository.script(&["a/x"], "echo ran", &["--wait", "0s"]));
    says(&fails(&ran, 75), &["etcd at http://127.0.0.1:1", "can't be reached"]);
    let status = repository.json(&["status"]);
    assert!(status["locks"]["problem"].as_str().unwrap().contains("can't be reached"), "{status}");
}
