use std::net::IpAddr;
use std::process::Command;
use std::sync::OnceLock;

use crate::server::{folder, free};
use crate::{LOOPBACK, Secured, Server, has, is_root};

/// Starts a PostgreSQL server on an address of this machine. Its user and database are `postgres`; it asks for no password.
pub fn postgres(address: IpAddr) -> Option<Server> {
    postgres_server(address, None)
}

/// Starts a PostgreSQL server on loopback that takes its user `postgres` over TLS alone, and asks for the password.
pub fn postgres_over_tls(secured: &Secured) -> Option<Server> {
    postgres_server(LOOPBACK, Some(secured))
}

fn postgres_server(address: IpAddr, secured: Option<&Secured>) -> Option<Server> {
    let programs = postgres_programs();
    if !has(format!("{programs}initdb")) {
        return None;
    }
    let folder = folder("postgres");
    let data = folder.join("data");
    // The server refuses to run as root.
    let root = is_root();
    let unprivileged: &[&str] =
        if root { &["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] } else { &[] };
    let password = folder.join("password");
    std::fs::write(&password, secured.map_or("none", |it| &it.password)).unwrap();
    let files = secured.map(|it| it.write(&folder));
    if root {
        let done = Command::new("chown").arg("-R").arg("nobody:nogroup").arg(&folder).status().unwrap();
        assert!(done.success());
    }
    let initdb = format!("{programs}initdb");
    let mut init = unprivileged.iter().copied().chain([initdb.as_str()]);
    let made = Command::new(init.next().unwrap())
        .args(init)
        .args([
            "--auth=trust",
            "--username=postgres",
            "--no-sync",
            "--encoding=UTF8",
            "--locale=C",
            "--pgdata",
        ])
        .arg(&data)
        .arg("--pwfile")
        .arg(&password)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let hosts = match secured {
        None => format!("host all all {address}/8 trust\nhost all all 10.0.0.0/8 trust\n"),
        Some(_) => format!("hostssl all all {address}/8 scram-sha-256\n"),
    };
    std::fs::write(data.join("pg_hba.conf"), hosts).unwrap();
    let address = free(address);
    let mut settings = vec![
        format!("listen_addresses={}", address.ip()),
        format!("port={}", address.port()),
        format!("unix_socket_directories={}", folder.display()),
        "max_connections=300".to_owned(),
        "fsync=off".to_owned(),
        "shared_buffers=16MB".to_owned(),
    ];
    if let Some([certificate, key]) = files {
        settings.extend([
            "ssl=on".to_owned(),
            format!("ssl_cert_file={certificate}"),
            format!("ssl_key_file={key}"),
        ]);
    }
    let command = unprivileged.iter().map(|part| (*part).to_owned());
    let command = command.chain([format!("{programs}postgres"), "-D".to_owned(), data.display().to_string()]);
    let command = command.chain(settings.into_iter().flat_map(|setting| ["-c".to_owned(), setting]));
    Some(Server::start(folder, address, "QUIT", command.collect(), "ready to accept connections"))
}

/// The PostgreSQL server that all tests of this process share.
pub fn shared_postgres() -> Option<&'static Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    SERVER.get_or_init(|| postgres(LOOPBACK)).as_ref()
}

/// What stands before the names of PostgreSQL's programs, which Debian puts into a folder of their own.
fn postgres_programs() -> String {
    let on_path = Command::new("sh").args(["-c", "command -v initdb"]).output().unwrap().status.success();
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions.map(|version| version.path().join("bin")).max();
    match newest {
        Some(folder) if !on_path => format!("{}/", folder.display()),
        _ => String::new(),
    }
}
