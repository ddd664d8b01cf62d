use std::net::{IpAddr, SocketAddr};
use std::sync::OnceLock;

use crate::server::{folder, free};
use crate::{LOOPBACK, Secured, Server, ask, has};

/// Starts an etcd on an address of this machine.
pub fn etcd(address: IpAddr) -> Option<Server> {
    let clients = free(address);
    start(clients, &format!("http://{clients}"), None)
}

/// Starts an etcd on loopback that serves TLS. Its user `lockkeeper` may use what begins with `lockkeeper/`.
pub fn etcd_over_tls(secured: &Secured) -> Option<Server> {
    let (plain, encrypted) = (free(LOOPBACK), free(LOOPBACK));
    let server = start(encrypted, &format!("http://{plain},https://{encrypted}"), Some(secured))?;
    let password = &secured.password;
    for (path, body) in [
        ("user/add", r#"{"name": "root", "password": "root"}"#.to_owned()),
        ("user/grant", r#"{"user": "root", "role": "root"}"#.to_owned()),
        ("role/add", r#"{"name": "locks"}"#.to_owned()),
        // From `lockkeeper/` up to `lockkeeper0`.
        (
            "role/grant",
            r#"{"name": "locks", "perm": {"permType": "READWRITE", "key": "bG9ja2tlZXBlci8=", "range_end": "bG9ja2tlZXBlcjA="}}"#
                .to_owned(),
        ),
        ("user/add", format!(r#"{{"name": "lockkeeper", "password": "{password}"}}"#)),
        ("user/grant", r#"{"user": "lockkeeper", "role": "locks"}"#.to_owned()),
        ("enable", "{}".to_owned()),
    ] {
        ask(plain, &format!("POST /v3/auth/{path}"), &body);
    }
    Some(server)
}

/// The etcd that all tests of this process share.
pub fn shared_etcd() -> Option<&'static Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    SERVER.get_or_init(|| etcd(LOOPBACK)).as_ref()
}

fn start(address: SocketAddr, clients: &str, secured: Option<&Secured>) -> Option<Server> {
    if !has("etcd") {
        return None;
    }
    let folder = folder("etcd");
    let peers = format!("http://{}", free(address.ip()));
    let mut arguments = vec![
        ("--name", "test".to_owned()),
        ("--data-dir", folder.join("data").display().to_string()),
        ("--listen-client-urls", clients.to_owned()),
        ("--advertise-client-urls", clients.to_owned()),
        ("--listen-peer-urls", peers.clone()),
        ("--initial-advertise-peer-urls", peers.clone()),
        ("--initial-cluster", format!("test={peers}")),
    ];
    if let Some(secured) = secured {
        let [certificate, key] = secured.write(&folder);
        arguments.extend([("--cert-file", certificate), ("--key-file", key)]);
    }
    let arguments = arguments.into_iter().flat_map(|(name, value)| [name.to_owned(), value]);
    let command = std::iter::once("etcd".to_owned()).chain(arguments).collect();
    Some(Server::start(folder, address, "KILL", command, ""))
}
