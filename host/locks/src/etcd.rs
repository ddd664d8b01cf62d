//! Locks in etcd: whoever wants one stands in line as a key, and the order of creation decides.
//!
//! The line for a lock is a folder of keys, each bound to a lease of whoever put it there:
//!
//! ```text
//! {prefix}model/aws-ec2/web//x-{id}   wants or has the lock alone
//!                          //s-{id}   together with others
//!                          //j-{id}   joined somebody who has it shared
//! ```
//!
//! One who wants it alone has it when no key of the line was created before its own and nobody has joined; one who
//! shares, when no `x-` was. Everybody else watches the last key that is in its way, so each key that goes wakes one waiter.
//! `//` can't be part of a key, so the line of `a/b` is not that of `a/b/c`.
//!
//! The fencing number is etcd's revision at the moment of the grant, and so grows over all keys.

mod hold;
mod line;

use std::time::Duration;

use etcd_client::{Client, ConnectOptions, GetOptions};
use futures_util::future::join_all;
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio::time::Instant;
use url::Url;

use self::line::Line;
use crate::keeper::answer_within;
use crate::patience::insist;
use crate::{BoxFuture, Holder, Lease, LockError, LockKey, LockStore, Login, Released, Tls, Wish};

/// etcd grants no shorter lease by default.
const SHORTEST_LEASE: Duration = Duration::from_secs(2);

/// Where an etcd is and how it is used.
#[derive(Debug, Clone)]
pub struct EtcdOptions {
    /// The members of the cluster, as `http://host:2379` or `https://…`.
    pub endpoints: Vec<String>,
    /// What all keys begin with; it ends in `/`.
    pub prefix: String,
    /// How long a lock outlives its last renewal; at least two seconds, in whole seconds.
    pub lease: Duration,
    /// The user, if etcd wants one.
    pub login: Option<Login>,
    /// For `https`.
    pub tls: Tls,
}

/// Locks in etcd.
pub struct EtcdLocks {
    options: EtcdOptions,
    client: OnceCell<Client>,
}

impl EtcdLocks {
    /// Names the store. It is connected to when it is first used.
    pub fn new(options: EtcdOptions) -> Self {
        let seconds = options.lease.max(SHORTEST_LEASE).as_secs();
        Self {
            options: EtcdOptions { lease: Duration::from_secs(seconds), ..options },
            client: OnceCell::new(),
        }
    }

    async fn client(&self) -> Result<Client, LockError> {
        let client = self.client.get_or_try_init(async || {
            let patience = self.answer_within();
            let mut connect = ConnectOptions::new()
                .with_connect_timeout(patience)
                .with_keep_alive(patience, patience)
                .with_keep_alive_while_idle(true);
            if let Some(Login { user, password }) = &self.options.login {
                connect = connect.with_user(user, password);
            }
            if self.options.endpoints.iter().any(|endpoint| endpoint.starts_with("https:")) {
                connect = connect.with_tls(tls(&self.options.tls));
            }
            self.call(Client::connect(self.reachable().await, Some(connect))).await
        });
        client.await.cloned()
    }

    /// The members that can be reached, or all of them if none can: the client would send requests to those that are gone as well.
    async fn reachable(&self) -> Vec<String> {
        let all = &self.options.endpoints;
        if all.len() == 1 {
            return all.clone();
        }
        let within = self.answer_within().min(Duration::from_secs(1));
        let answers = all.iter().map(async |endpoint| {
            let url = Url::parse(endpoint).ok()?;
            let address = (url.host_str()?.trim_matches(['[', ']']), url.port_or_known_default()?);
            tokio::time::timeout(within, TcpStream::connect(address)).await.ok()?.ok()?;
            Some(endpoint.clone())
        });
        let reached: Vec<_> = join_all(answers).await.into_iter().flatten().collect();
        if reached.is_empty() { all.clone() } else { reached }
    }

    /// How long to wait for an answer.
    fn answer_within(&self) -> Duration {
        answer_within(self.options.lease)
    }

    /// Makes a request, and an error out of a refusal or silence.
    async fn call<T>(
        &self,
        request: impl Future<Output = Result<T, etcd_client::Error>>,
    ) -> Result<T, LockError> {
        let store = || format!("etcd at {}", self.place());
        match tokio::time::timeout(self.answer_within(), request).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                use etcd_client::Error::{GRpcStatus, InvalidArgs, InvalidUri};
                let refused = match &error {
                    GRpcStatus(status) => {
                        // `InvalidArgument` is what a wrong password comes to.
                        let code = i32::from(status.code());
                        [INVALID_ARGUMENT, PERMISSION_DENIED, UNAUTHENTICATED].contains(&code)
                    }
                    error => matches!(error, InvalidArgs(_) | InvalidUri(_)),
                };
                Err(if refused {
                    LockError::Refused { store: store(), source: error.into() }
                } else {
                    LockError::Unreachable { store: store(), source: error.into() }
                })
            }
            Err(silence) => Err(LockError::Unreachable { store: store(), source: silence.into() }),
        }
    }

    fn line(&self, key: &LockKey) -> Line {
        Line::new(&self.options.prefix, key)
    }

    /// Lists who holds and who waits for a key, or for each one below the prefix.
    async fn list(&self, below: Vec<u8>) -> Result<Vec<line::Member>, LockError> {
        let options = GetOptions::new().with_prefix();
        let answer = self.call(self.client().await?.get(below, Some(options))).await?;
        Ok(line::members(&self.options.prefix, answer.kvs()))
    }

    /// Lists for a message: one that can't be had must not end the wait. Leaves out who asks.
    async fn shown_except(&self, key: &LockKey, id: &str) -> Vec<Holder> {
        let members = self.list(self.line(key).everyone()).await.unwrap_or_default();
        members.into_iter().map(|member| member.holder).filter(|holder| holder.id != id).collect()
    }
}

const INVALID_ARGUMENT: i32 = 3;
const PERMISSION_DENIED: i32 = 7;
const UNAUTHENTICATED: i32 = 16;

fn tls(tls: &Tls) -> etcd_client::TlsOptions {
    let options = etcd_client::TlsOptions::new();
    let options = match &tls.authority {
        Some(pem) => options.ca_certificate(etcd_client::Certificate::from_pem(pem)),
        None => options.with_webpki_roots(),
    };
    match &tls.identity {
        Some((certificate, key)) => options.identity(etcd_client::Identity::from_pem(certificate, key)),
        None => options,
    }
}

impl LockStore for EtcdLocks {
    fn kind(&self) -> &'static str {
        "etcd"
    }

    fn place(&self) -> String {
        format!("{}, below {}", self.options.endpoints.join(", "), self.options.prefix)
    }

    fn ping(&self) -> BoxFuture<'_, Result<Duration, LockError>> {
        Box::pin(async {
            let mut client = self.client().await?;
            let begun = Instant::now();
            self.call(client.get(self.options.prefix.as_str(), None)).await?;
            Ok(begun.elapsed())
        })
    }

    fn acquire<'a>(&'a self, wish: Wish<'a>) -> BoxFuture<'a, Result<Lease, LockError>> {
        Box::pin(insist(self, wish))
    }

    fn pass<'a>(&'a self, wish: Wish<'a>) -> BoxFuture<'a, Result<Option<Lease>, LockError>> {
        Box::pin(self.join_holder(wish))
    }

    fn holders(&self) -> BoxFuture<'_, Result<Vec<Holder>, LockError>> {
        Box::pin(async {
            let members = self.list(self.options.prefix.clone().into()).await?;
            Ok(members.into_iter().map(|member| member.holder).collect())
        })
    }

    fn release<'a>(&'a self, key: &'a LockKey, id: &'a str) -> BoxFuture<'a, Result<Released, LockError>> {
        Box::pin(self.end(key, id))
    }
}
