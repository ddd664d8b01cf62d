//! Locks in PostgreSQL: session advisory locks, which the server queues fairly and frees when a session ends.
//!
//! Each hold, and each wait, is a session of its own. The server ends a session that says nothing for the length of a
//! lease (`idle_session_timeout`), so the lease is kept by the server, on one clock, and a closed connection frees at
//! once. Three advisory locks are involved:
//!
//! - the lock itself, shared or exclusive;
//! - one that those take shared who join a holder, and that whoever wants the lock alone takes as well;
//! - one for the hold's own number, by which others see that its session lives.
//!
//! A table says who holds what, for people to read, and for the next server if this one is started anew: such a server
//! knows nothing of the old one's sessions, so locks that the table names from then are waited out.
//! The fencing number comes from a sequence at the moment of the grant, and so grows over all keys.

mod hold;
mod schema;
mod session;

use std::time::Duration;

use tokio::time::Instant;

use self::hold::keep;
use self::schema::Row;
use self::session::{Server, Session};
use crate::patience::{InLine, Patience, insist};
use crate::{BoxFuture, Holder, Lease, LockError, LockKey, LockStore, Mode, Released, Tls, Wish};

/// Where a PostgreSQL server is and how it is used.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// Where it is, as `postgres://user@host:5432/database`. TLS is used unless it says `sslmode=disable`.
    pub url: String,
    /// Sets these locks apart from others in the same database.
    pub space: String,
    /// How long a lock outlives its last renewal.
    pub lease: Duration,
    /// The password, if it isn't in the address.
    pub password: Option<String>,
    /// For TLS.
    pub tls: Tls,
}

/// Which of the advisory locks somebody takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Alone,
    Shared,
    Joined,
}

/// Locks in PostgreSQL 14 or later.
pub struct PostgresLocks {
    options: PostgresOptions,
    server: Server,
}

impl PostgresLocks {
    /// Names the store. It is connected to when it is first used.
    pub fn new(options: PostgresOptions) -> Result<Self, LockError> {
        let server = Server::new(&options)?;
        Ok(Self { options, server })
    }
}

impl InLine for PostgresLocks {
    async fn attempt(&self, wish: Wish<'_>, patience: &mut Patience<'_>) -> Result<Option<Lease>, LockError> {
        let Wish { key, mode, who, .. } = wish;
        let way = match mode {
            Mode::Exclusive => Way::Alone,
            Mode::Shared => Way::Shared,
        };
        let session = Session::open(&self.server).await?;
        let holder = Holder::new(key, mode, who, false);
        let mut granted = session.attempt(&self.options, &holder, way).await?;
        let shown = || -> BoxFuture<'_, _> { Box::pin(self.shown_except(key, &holder.id)) };
        if granted.fence.is_none() {
            // The server's own limit is for those who can't end the wait themselves any more.
            let limit = patience.left().saturating_add(Duration::from_secs(1));
            let waited = session.wait(&self.options, key, way, limit);
            match patience.until(waited, &shown).await {
                Ok(Ok(true)) => {}
                Ok(Ok(false)) => return Ok(None),
                Ok(Err(error)) | Err(error) => {
                    _ = session.give_back(&holder.id).await;
                    return Err(error);
                }
            }
            let Some(now) = session.promote(&self.options, &holder).await? else { return Ok(None) };
            granted = now;
        }
        let Some(fence) = granted.fence else { return Ok(None) };
        let (kept, proof) = keep(session, self.options.lease, &holder.id, granted.sent);
        if let Some(lease) = granted.left_over {
            // The server was started anew, and may have forgotten a lock that its holder still believes in.
            patience.until(tokio::time::sleep(lease), &shown).await?;
            Session::open(&self.server).await?.forget(&self.options, key, mode).await?;
        }
        if proof.loss().is_some() {
            return Ok(None);
        }
        let lease = Lease::new(key.clone(), mode, holder.id, patience.waited(), Box::new(kept));
        Ok(Some(lease.leased(fence, proof)))
    }
}

impl PostgresLocks {
    /// Joins a holder that shares the lock, past those who wait for it. `None` if somebody has it alone, or nobody has it.
    async fn join_holder(&self, wish: Wish<'_>) -> Result<Option<Lease>, LockError> {
        let Wish { key, who, .. } = wish;
        let session = Session::open(&self.server).await?;
        let holder = Holder::new(key, Mode::Shared, who, false);
        let granted = session.attempt(&self.options, &holder, Way::Joined).await?;
        let (Some(fence), None) = (granted.fence, granted.left_over) else {
            _ = session.give_back(&holder.id).await;
            return Ok(None);
        };
        let (kept, proof) = keep(session, self.options.lease, &holder.id, granted.sent);
        let lease = Lease::new(key.clone(), Mode::Shared, holder.id, Duration::ZERO, Box::new(kept));
        Ok(Some(lease.leased(fence, proof)))
    }

    async fn list(&self, key: Option<&LockKey>) -> Result<Vec<Row>, LockError> {
        Session::open(&self.server).await?.list(&self.options, key).await
    }

    /// Lists for a message: one that can't be had must not end the wait. Leaves out who asks.
    async fn shown_except(&self, key: &LockKey, id: &str) -> Vec<Holder> {
        let rows = self.list(Some(key)).await;
        let rows = rows.unwrap_or_default();
        rows.into_iter().map(|row| row.holder).filter(|holder| holder.id != id).collect()
    }
}

impl LockStore for PostgresLocks {
    fn kind(&self) -> &'static str {
        "postgres"
    }

    fn place(&self) -> String {
        format!("{}, as {}", self.server.place(), self.options.space)
    }

    fn ping(&self) -> BoxFuture<'_, Result<Duration, LockError>> {
        Box::pin(async {
            let session = Session::open(&self.server).await?;
            let begun = Instant::now();
            session.ping().await?;
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
        Box::pin(async { Ok(self.list(None).await?.into_iter().map(|row| row.holder).collect()) })
    }

    fn release<'a>(&'a self, key: &'a LockKey, id: &'a str) -> BoxFuture<'a, Result<Released, LockError>> {
        Box::pin(async move {
            let session = Session::open(&self.server).await?;
            let rows = session.list(&self.options, Some(key)).await?;
            let Some(row) = rows.into_iter().find(|row| row.holder.id == id) else {
                return Err(LockError::NotHeld { key: key.clone(), id: id.to_owned() });
            };
            if row.holder.waiting {
                session.end_waiting(&row).await?;
                return Ok(Released::Waiting);
            }
            if session.end(&row.holder.id).await? {
                return Ok(Released::Ending { within: row.lease });
            }
            Err(LockError::NotHeld { key: key.clone(), id: id.to_owned() })
        })
    }
}
