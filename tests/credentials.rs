//! Credentials stay on the host: a guest that tells everything it knows reveals no secret, and each origin gets its own alone.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use lockkeeper_remotes::s3::{Keys, MemoryS3, Options};
use lockkeeper_remotes::tcp;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use support::{Ran, Repository, World, fails, says, world};

/// What nobody may see. Each is set where lockkeeper reads it, and one where it reads nothing.
const SECRETS: [(&str, &str); 7] = [
    ("THE_PASSWORD", "pass/word \"of\" the-store"),
    ("THE_TOKEN", "token-of-the-bearer"),
    ("THE_BASIC", "basic-password"),
    ("AWS_ACCESS_KEY_ID", "AKIDFORTHISTEST"),
    ("AWS_SECRET_ACCESS_KEY", "aws/secret/key"),
    ("AWS_SESSION_TOKEN", "aws-session-token"),
    ("UNRELATED", "unrelated-variable"),
];

/// A server that keeps what it was asked. `/echo` answers an error that quotes the request, in a header too.
struct Server {
    origin: String,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start() -> Self {
        Self::redirecting("")
    }

    /// Sends whoever asks for `/elsewhere` to another place.
    fn redirecting(elsewhere: &str) -> Self {
        Self::listen("http", elsewhere, |connection| Box::new(connection))
    }

    /// With a certificate that is issued by an authority of its own, which it returns as PEM.
    fn encrypted() -> (Self, String) {
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![CertificateDer::from(made.cert.der().to_vec())], key.into())
            .unwrap();
        let config = Arc::new(config);
        let server = Self::listen("https", "", move |connection| {
            let session = rustls::ServerConnection::new(config.clone()).unwrap();
            Box::new(rustls::StreamOwned::new(session, connection))
        });
        (server, made.cert.pem())
    }

    fn listen(
        scheme: &str,
        elsewhere: &str,
        wrap: impl Fn(TcpStream) -> Box<dyn Connection> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let origin = format!("{scheme}://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (kept, elsewhere, wrap) = (seen.clone(), elsewhere.to_owned(), Arc::new(wrap));
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let (kept, elsewhere, wrap) = (kept.clone(), elsewhere.clone(), wrap.clone());
                std::thread::spawn(move || serve(wrap(connection.unwrap()), &kept, &elsewhere));
            }
        });
        Self { origin, seen }
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

trait Connection: Read + Write {}
impl<T: Read + Write> Connection for T {}

fn serve(connection: Box<dyn Connection>, seen: &Mutex<Vec<String>>, elsewhere: &str) {
    let mut connection = BufReader::new(connection);
    loop {
        let mut request = String::new();
        while !request.ends_with("\r\n\r\n") {
            if connection.read_line(&mut request).unwrap_or(0) == 0 {
                return;
            }
        }
        seen.lock().unwrap().push(request.clone());
        let authorization =
            request.lines().find(|line| line.starts_with("authorization: ")).unwrap_or_default();
        let (status, header, body) = match request.split(' ').nth(1).unwrap() {
            "/echo" => ("403 Forbidden", format!("x-echo: {authorization}"), request.clone()),
            "/elsewhere" => ("307 Temporary Redirect", format!("location: {elsewhere}"), String::new()),
            _ => ("200 OK", "x-fine: fine".to_owned(), "fine".to_owned()),
        };
        let head = format!("HTTP/1.1 {status}\r\n{header}\r\ncontent-length: {}\r\n\r\n", body.len());
        let sent = connection.get_mut().write_all((head + &body).as_bytes());
        if sent.and_then(|()| connection.get_mut().flush()).is_err() {
            return;
        }
    }
}

/// A repository whose guest confesses; it may reach the servers, and `auth` are the lines of `[datastore.auth]`.
fn confessing<'a>(world: &'a World, granted: &[&Server], requests: &[String], auth: &str) -> Repository<'a> {
    std::fs::write(world.path("token"), "token-of-the-bearer\n").unwrap();
    let repository = world.repository("a", "misbehaving");
    let granted: Vec<_> = granted.iter().map(|server| format!("{:?}", server.origin)).collect();
    let text = format!(
        r#"
        [datastore]
        extension = "@lockkeeper/misbehaving"
        [datastore.config]
        root = "/remote"
        misbehave = "confess"
        requests = {:?}
        password = {{ env = "THE_PASSWORD" }}
        token = {{ file = "../token" }}
        [datastore.grants]
        folders = [{{ host = "../remote", guest = "/remote", access = "read-write" }}]
        http = [{}]
        [datastore.auth]
        {auth}
        "#,
        requests.join("\n"),
        granted.join(", ")
    );
    repository.write("lockkeeper.toml", text);
    repository.write("data/kind/one/file", "content");
    repository
}

fn told(repository: &Repository, arguments: &[&str]) -> Ran {
    Ran::of(repository.command(arguments).envs(SECRETS))
}

/// Expects no secret in a text, nor one as it is in a URL, in JSON, or in a header of basic authentication.
fn reveals_nothing(text: &str) {
    for (_, secret) in SECRETS {
        assert!(
            !text.contains(secret) && !text.contains(&secret.escape_debug().to_string()),
            "{secret}: {text}"
        );
    }
    assert!(!text.contains("bWU6YmFzaWMtcGFzc3dvcmQ="), "{text}");
}

#[test]
fn a_guest_that_tells_everything_it_knows_reveals_no_secret() {
    let world = world!();
    let (aws, bearer, basic) = (Server::start(), Server::start(), Server::start());
    let servers = [&aws, &bearer, &basic];
    let requests = servers.map(|server| format!("GET {}/echo", server.origin));
    let auth = format!(
        "{:?} = {{ scheme = \"aws-sigv4\", region = \"eu-west-1\" }}\n\
         {:?} = {{ scheme = \"bearer\", env = \"THE_TOKEN\" }}\n\
         {:?} = {{ scheme = \"basic\", user = \"me\", env = \"THE_BASIC\" }}",
        aws.origin, bearer.origin, basic.origin
    );
    let repository = confessing(&world, &servers, &requests, &auth);
    let report = world.path("report.json");
    for arguments in [
        &["push"][..],
        &["pull", "--model", "kind/one"],
        &["--json", "--verbose", "push"],
        &["run", "--model", "kind/one", "--report", report.to_str().unwrap(), "--", "true"],
        &["status"],
        &["--json", "status"],
        &["--json", "extensions", "list"],
    ] {
        let ran = told(&repository, arguments);
        reveals_nothing(&ran.stdout);
        reveals_nothing(&ran.stderr);
        if !arguments.contains(&"status") && !arguments.contains(&"extensions") {
            assert_eq!(ran.code, 69, "{ran:?}");
            says(&ran.stderr, &["value password=(secret)", "value token=(secret)", "status 403"]);
        }
    }
    let report = std::fs::read_to_string(report).unwrap();
    reveals_nothing(&report);
    says(&report, &["value password=(secret)"]);
    for entry in walk(&repository.folder) {
        reveals_nothing(&String::from_utf8_lossy(&entry));
    }
    // They were sent where they belong.
    for (server, sent) in [
        (&aws, "aws-session-token"),
        (&bearer, "Bearer token-of-the-bearer"),
        (&basic, "Basic bWU6YmFzaWMtcGFzc3dvcmQ="),
    ] {
        let seen = server.seen();
        assert!(!seen.is_empty() && seen.iter().all(|request| request.contains(sent)), "{seen:?}");
        assert!(seen.iter().all(|request| !request.contains("by-the-guest")), "{seen:?}");
        assert!(seen.iter().all(|request| request.contains("x-honest: honest")), "{seen:?}");
    }
}

/// The content of every file of a repository but its extensions.
fn walk(folder: &std::path::Path) -> Vec<Vec<u8>> {
    support::files(folder, "")
        .into_iter()
        .filter(|(path, _)| !path.starts_with("extensions/"))
        .map(|(_, content)| content)
        .collect()
}

#[test]
fn a_request_to_another_granted_origin_carries_no_credential_even_if_it_was_sent_there() {
    let world = world!();
    let other = Server::start();
    let bound = Server::redirecting(&format!("{}/there", other.origin));
    let requests = [format!("GET {}/elsewhere", bound.origin), format!("GET {}/", other.origin)];
    let auth = format!("{:?} = {{ scheme = \"bearer\", env = \"THE_TOKEN\" }}", bound.origin);
    let repository = confessing(&world, &[&bound, &other], &requests, &auth);
    fails(&told(&repository, &["push"]), 69);
    let seen = other.seen();
    assert_eq!(seen.len(), 2, "{seen:?}");
    seen.iter().for_each(|request| reveals_nothing(request));
    assert!(bound.seen()[0].contains("Bearer token-of-the-bearer"));
}

#[test]
fn an_origin_without_a_grant_is_never_asked() {
    let world = world!();
    let (granted, other) = (Server::start(), Server::start());
    let requests = [format!("GET {}/", granted.origin), format!("GET {}/", other.origin)];
    let repository = confessing(&world, &[&granted], &requests, "");
    let said = fails(&told(&repository, &["push"]), 77);
    says(&said, &["was denied in `push`", &format!("[datastore.grants] http = [\"{}\"]", other.origin)]);
    assert_eq!((granted.seen().len(), other.seen().len()), (1, 0));
}

#[test]
fn missing_credentials_are_said_to_be_missing_and_nothing_is_sent() {
    let world = world!();
    let server = Server::start();
    let requests = [format!("GET {}/", server.origin)];
    for (scheme, problem, next) in [
        (
            "scheme = \"bearer\", env = \"NOBODY_SET_THIS\"",
            "NOBODY_SET_THIS is not set",
            "put the secret into",
        ),
        ("scheme = \"bearer\", file = \"nowhere\"", "No such file", "nowhere"),
        ("scheme = \"aws-sigv4\"", "neither its name nor AWS_REGION", "region = "),
    ] {
        let auth = format!("{:?} = {{ {scheme} }}", server.origin);
        let repository = confessing(&world, &[&server], &requests, &auth);
        let said = fails(&told(&repository, &["push"]), 78);
        says(
            &said,
            &["@lockkeeper/misbehaving 0.1.0 failed in `push`", &server.origin, problem, "next:", next],
        );
    }
    assert!(server.seen().is_empty());
}

#[test]
fn a_secret_that_is_missing_is_named_with_its_key_and_needed_only_by_calls() {
    let world = world!();
    let repository = confessing(&world, &[], &[], "");
    let said = fails(&repository.run(&["push"]), 78);
    says(&said, &["lockkeeper.toml", "`password`", "environment variable THE_PASSWORD is not set"]);
    repository.ok(&["status"]);
    repository.ok(&["locks", "list"]);
}

#[test]
fn a_password_that_was_changed_leads_to_the_same_remote() {
    let world = world!();
    let repository = confessing(&world, &[], &[], "");
    let text = String::from_utf8(repository.read("lockkeeper.toml").unwrap()).unwrap();
    repository.write("lockkeeper.toml", text.replace("\"confess\"", "\"\""));
    for password in ["one", "two"] {
        let ran = Ran::of(repository.command(&["push"]).env("THE_PASSWORD", password));
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(repository.unpushed().is_empty());
    }
    let remotes = std::fs::read_dir(repository.folder.join(".lockkeeper/remotes")).unwrap();
    assert_eq!(remotes.count(), 1);
}

#[test]
fn a_strict_store_takes_what_is_signed_with_its_keys_and_nothing_else() {
    let world = world!();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let keys = Keys {
        access_key: "AKIDFORTHISTEST".to_owned(),
        secret_key: "aws/secret/key".to_owned(),
        session_token: Some("aws-session-token".to_owned()),
        region: Some("eu-west-1".to_owned()),
    };
    let s3 = MemoryS3::new(Options { keys: Some(keys), ..Options::default() }).unwrap();
    let served = runtime.block_on(tcp::Server::start(s3.clone())).unwrap();
    let server = Server { origin: served.origin(), seen: Arc::default() };
    // Names as they stand in a URL, and as they are.
    let names = [
        ("plain", "plain"),
        ("with%20space%2Bplus/%C3%BC/%25/~", "with space+plus/ü/%/~"),
        ("b/c=d&e;f,g:h@i$", "b/c=d&e;f,g:h@i$"),
        ("(paren)'quote'!*", "(paren)'quote'!*"),
    ];
    let put = names.map(|(wire, _)| format!("PUT {}/bucket/{wire}", server.origin));
    let ask = [
        "list-type=2",
        "list-type=2&prefix=with%20space%2B&max-keys=1",
        "list-type=2&start-after=%C3%BC",
        "list-type=2&delimiter=%2F",
    ]
    .map(|query| format!("GET {}/bucket?{query}", server.origin));
    let requests = [put, ask].concat();
    let auth = format!("{:?} = {{ scheme = \"aws-sigv4\", region = \"eu-west-1\" }}", server.origin);
    let repository = confessing(&world, &[&server], &requests, &auth);
    let wrong = Ran::of(repository.command(&["push"]).envs(SECRETS).env("AWS_SECRET_ACCESS_KEY", "wrong"));
    let said = fails(&wrong, 69);
    says(
        &said,
        &["status 403", "next:", "refused the credentials (SignatureDoesNotMatch)", "AWS_ACCESS_KEY_ID"],
    );
    assert!(s3.objects().is_empty());
    let said = fails(&told(&repository, &["push"]), 69);
    assert!(!said.contains("status 4"), "{said}");
    let mut kept: Vec<_> = names.map(|(_, name)| name.to_owned()).into();
    kept.sort();
    assert_eq!(s3.objects().into_keys().collect::<Vec<_>>(), kept);
}

#[test]
fn an_authority_of_ones_own_is_trusted_if_it_is_named_and_its_servers_are_refused_if_not() {
    let world = world!();
    let (server, authority) = Server::encrypted();
    let pem = world.path("authority.pem");
    std::fs::write(&pem, authority).unwrap();
    let repository = confessing(&world, &[&server], &[format!("GET {}/", server.origin)], "");
    let push = || {
        let mut command = repository.command(&["push"]);
        command.envs(SECRETS).env_remove("SSL_CERT_FILE").env_remove("SSL_CERT_DIR");
        command
    };
    let said = fails(&Ran::of(&mut push()), 78);
    says(&said, &["the certificate of", &server.origin, "is not trusted", "next:", "SSL_CERT_FILE"]);
    let said = fails(&Ran::of(push().env("SSL_CERT_FILE", world.path("nowhere.pem"))), 78);
    says(&said, &["SSL_CERT_FILE names", "nowhere.pem"]);
    assert!(server.seen().is_empty());
    let said = fails(&Ran::of(push().env("SSL_CERT_FILE", &pem)), 69);
    says(&said, &["status 200", "body fine"]);
}
