//! MongoDB with a user who has to log in, on connections that are encrypted.

use lockkeeper_test_servers::{Secured, Server, secantus_over_tls};
use support::datastores::reveals_nothing;
use support::{Ran, Repository, World, fails, says, world, world_with_credentials};

const REPORTED: i32 = 69;
const CONFIGURATION: i32 = 78;
const USER: &str = "cache user";
const PASSWORD: (&str, &str) = ("STORE_PASSWORD", "password-of-the-store");

/// The server. The certificate of its authority is in `ca.pem`.
fn server(world: &World) -> Option<Server> {
    let secured = Secured::new(PASSWORD.1);
    std::fs::write(world.path("ca.pem"), &secured.authority).unwrap();
    secantus_over_tls(&world.path("server"), USER, &secured)
}

fn repository<'a>(world: &'a World, name: &str, server: &Server, options: &str) -> Repository<'a> {
    let (repository, address) = (world.repository(name, "mongodb"), server.address());
    let text = format!(
        "[datastore]\nextension = \"@lockkeeper/mongodb\"\n\
         [datastore.config]\nurl = \"mongodb://cache%20user@{address}/store?authSource=admin{options}\"\n\
         password = {{ env = \"STORE_PASSWORD\" }}\n\
         [datastore.grants]\ntcp = [\"{address}\"]\n"
    );
    repository.write("lockkeeper.toml", text);
    repository
}

/// Runs the command on a machine that trusts the server's authority, or doesn't.
fn run(repository: &Repository, arguments: &[&str], trusting: bool) -> Ran {
    let mut command = repository.command(arguments);
    if trusting {
        command.env("SSL_CERT_FILE", repository.folder.join("../ca.pem"));
    }
    let ran = Ran::of(&mut command);
    reveals_nothing(&ran.stdout);
    reveals_nothing(&ran.stderr);
    ran
}

#[test]
fn a_user_logs_in_at_mongodb_on_encrypted_connections() {
    let world = world_with_credentials!();
    let Some(server) = server(&world) else { return };
    let (a, b) =
        (repository(&world, "a", &server, "&tls=true"), repository(&world, "b", &server, "&tls=true"));
    a.write("data/kind/model/file", "content");
    for (repository, command) in [(&a, "push"), (&b, "pull")] {
        let ran = run(repository, &[command], true);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
    }
    assert_eq!(b.read("data/kind/model/file").unwrap(), b"content");

    let stranger = run(&a, &["pull"], false);
    says(&fails(&stranger, REPORTED), &["certificate", "UnknownIssuer"]);
    let plain = repository(&world, "plain", &server, "");
    let ran = run(&plain, &["pull"], true);
    assert!([REPORTED, CONFIGURATION].contains(&ran.code), "without TLS: {ran:?}");
}

#[test]
fn a_wrong_password_for_mongodb_is_an_error_that_does_not_repeat_it() {
    let world = world!().with_environment(vec![("STORE_PASSWORD", "guessed-password")]);
    let Some(server) = server(&world) else { return };
    let a = repository(&world, "a", &server, "&tls=true");
    a.write("data/kind/model/file", "content");
    let ran = run(&a, &["push"], true);
    let said = fails(&ran, REPORTED);
    says(&said, &[USER, "admin"]);
    assert!(!said.contains("guessed-password"), "{said}");
    assert_eq!(a.unpushed(), ["data/kind/model/file"]);
}
