//! One session with the server, and what is said in it.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{CancelToken, Client, Config};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_util::sync::CancellationToken;

use super::schema::{self, Row};
use super::{PostgresOptions, Way};
use crate::clock::Moment;
use crate::keeper::{answer_within, in_background};
use crate::{Holder, LockError, LockKey, Mode};

/// How sessions are opened. Clones are of one server.
#[derive(Clone)]
pub(super) struct Server(Arc<Inner>);

struct Inner {
    config: Config,
    tls: MakeRustlsConnect,
    answer_within: Duration,
}

impl Server {
    pub(super) fn new(options: &PostgresOptions) -> Result<Self, LockError> {
        let refused = |source: Box<dyn std::error::Error + Send + Sync>| LockError::Refused {
            store: "postgres".to_owned(),
            source,
        };
        let config = options.url.parse::<Config>();
        let mut config = config.map_err(|error| refused(error.into()))?;
        if let Some(password) = &options.password {
            config.password(password);
        }
        if config.get_ssl_mode() != SslMode::Disable {
            config.ssl_mode(SslMode::Require);
        }
        let answer_within = answer_within(options.lease);
        let lease = options.lease.as_millis();
        config.application_name("lockkeeper").connect_timeout(answer_within).tcp_user_timeout(options.lease);
        // One ends the session of somebody who says nothing for so long, the other of somebody who is gone while waiting.
        config.options(format!("-c idle_session_timeout={lease} -c client_connection_check_interval=1000"));
        let tls = options.tls.client().map_err(|error| refused(error.into()))?;
        Ok(Self(Arc::new(Inner { config, tls: MakeRustlsConnect::new(tls), answer_within })))
    }

    /// Where it is, without the password.
    pub(super) fn place(&self) -> String {
        let config = &self.0.config;
        let ports = config.get_ports();
        let hosts = config.get_hosts().iter().enumerate().map(|(index, host)| {
            let port = ports.get(index).or(ports.first()).unwrap_or(&5432);
            match host {
                Host::Tcp(name) => format!("{name}:{port}"),
                Host::Unix(path) => format!("{}:{port}", path.display()),
            }
        });
        let hosts: Vec<String> = hosts.collect();
        format!("{}/{}", hosts.join(","), config.get_dbname().or(config.get_user()).unwrap_or_default())
    }

    fn name(&self) -> String {
        format!("postgres at {}", self.place())
    }

    /// Makes an error out of what the server said, or the connection to it.
    fn error(&self, error: tokio_postgres::Error) -> LockError {
        // It is shutting down, starting, full, or the connection broke. Everything else stays as it is.
        const PASSING: [&str; 3] = ["57P", "53", "08"];
        let stays = error.code().is_some_and(|it| !PASSING.iter().any(|class| it.code().starts_with(class)));
        let (store, source) = (self.name(), error.into());
        if stays { LockError::Refused { store, source } } else { LockError::Unreachable { store, source } }
    }

    /// Makes a request; silence is an error.
    async fn timely_raw<T>(&self, request: impl Future<Output = T>) -> Result<T, LockError> {
        let answer = tokio::time::timeout(self.0.answer_within, request).await;
        answer.map_err(|silence| LockError::Unreachable { store: self.name(), source: silence.into() })
    }

    /// Makes a request; silence and a refusal are errors.
    async fn timely<T>(
        &self,
        request: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, LockError> {
        self.timely_raw(request).await?.map_err(|error| self.error(error))
    }
}

/// What an attempt to lock came to.
pub(super) struct Granted {
    /// The number, if the lock was had.
    pub(super) fence: Option<u64>,
    /// The longest lease of those who had the lock before the server was started anew.
    pub(super) left_over: Option<Duration>,
    /// When the server was asked.
    pub(super) sent: Moment,
}

/// A session. Dropping it ends it, and with it all that it locked.
pub(super) struct Session {
    client: Client,
    server: Server,
    gone: Gone,
}

/// Whether a session's connection is gone, and why.
#[derive(Clone, Default)]
pub(super) struct Gone {
    pub(super) now: CancellationToken,
    pub(super) problem: Arc<OnceLock<String>>,
}

type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

impl Session {
    pub(super) async fn open(server: &Server) -> Result<Self, LockError> {
        let Inner { config, tls, .. } = &*server.0;
        let (client, connection) = server.timely(config.connect(tls.clone())).await?;
        let gone = Gone::default();
        let told = gone.clone();
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                // The only one to set it.
                _ = told.problem.set(because(&error));
            }
            told.now.cancel();
        });
        Ok(Self { client, server: server.clone(), gone })
    }

    pub(super) fn gone(&self) -> Gone {
        self.gone.clone()
    }

    async fn ask(
        &self,
        statement: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<tokio_postgres::Row>, LockError> {
        self.server.timely(self.client.query_typed(statement, parameters)).await
    }

    pub(super) async fn ping(&self) -> Result<(), LockError> {
        self.ask("SELECT 1", &[]).await.map(drop)
    }

    /// Tries to lock, and writes down that it was locked or is waited for. Makes the table if there is none.
    pub(super) async fn attempt(
        &self,
        options: &PostgresOptions,
        holder: &Holder,
        way: Way,
    ) -> Result<Granted, LockError> {
        let text = serde_json::to_string(holder)
            .map_err(|error| LockError::Refused { store: self.server.name(), source: error.into() })?;
        let statement = schema::attempt(way);
        let (token, lease) = (token(&holder.id), milliseconds(options.lease));
        let (key, exclusive) = (holder.key.as_str(), holder.mode == Mode::Exclusive);
        let parameters: &[Parameter<'_>] = &[
            (&holder.id, Type::TEXT),
            (&options.space, Type::TEXT),
            (&key, Type::TEXT),
            (&exclusive, Type::BOOL),
            (&text, Type::TEXT),
            (&token, Type::INT8),
            (&lease, Type::INT8),
        ];
        let mut sent = Moment::now();
        let mut answer = self.server.timely_raw(self.client.query_typed(&statement, parameters)).await?;
        if answer.as_ref().is_err_and(schema::is_missing) {
            self.server.timely(self.client.batch_execute(schema::CREATE)).await?;
            sent = Moment::now();
            answer = self.server.timely_raw(self.client.query_typed(&statement, parameters)).await?;
        }
        let rows = answer.map_err(|error| self.server.error(error))?;
        self.granted(rows, sent)
    }

    /// Waits in the server's queue. False if the server has ended the wait.
    pub(super) async fn wait(
        &self,
        options: &PostgresOptions,
        key: &LockKey,
        way: Way,
        limit: Duration,
    ) -> Result<bool, LockError> {
        let (limit, key) = (milliseconds(limit).max(1).to_string(), key.as_str());
        let statement = schema::wait(way);
        let parameters: &[Parameter<'_>] =
            &[(&limit, Type::TEXT), (&options.space, Type::TEXT), (&key, Type::TEXT)];
        let mut cancel = Cancel(Some((self.client.cancel_token(), self.server.clone())));
        let answer = self.client.query_typed(&statement, parameters).await;
        cancel.0 = None;
        match answer {
            Ok(_) => Ok(true),
            Err(error) if schema::is_given_up(&error) || self.client.is_closed() => Ok(false),
            Err(error) => Err(self.server.error(error)),
        }
    }

    /// Writes down that what was waited for is had. `None` if the wait was ended meanwhile.
    pub(super) async fn promote(
        &self,
        options: &PostgresOptions,
        holder: &Holder,
    ) -> Result<Option<Granted>, LockError> {
        let sent = Moment::now();
        let (key, exclusive) = (holder.key.as_str(), holder.mode == Mode::Exclusive);
        let parameters: &[Parameter<'_>] = &[
            (&holder.id, Type::TEXT),
            (&options.space, Type::TEXT),
            (&key, Type::TEXT),
            (&exclusive, Type::BOOL),
        ];
        match self.ask(&schema::promote(), parameters).await {
            Ok(rows) if rows.is_empty() => Ok(None),
            Ok(rows) => self.granted(rows, sent).map(Some),
            Err(_) if self.client.is_closed() => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn granted(&self, rows: Vec<tokio_postgres::Row>, sent: Moment) -> Result<Granted, LockError> {
        let read = || -> Result<Granted, tokio_postgres::Error> {
            let Some(row) = rows.first() else { return Ok(Granted { fence: None, left_over: None, sent }) };
            let (fence, left_over) = (row.try_get::<_, Option<i64>>(0)?, row.try_get::<_, Option<i64>>(1)?);
            Ok(Granted {
                fence: fence.and_then(|number| u64::try_from(number).ok()),
                left_over: left_over.and_then(|it| u64::try_from(it).ok()).map(Duration::from_millis),
                sent,
            })
        };
        read().map_err(|error| self.server.error(error))
    }

    /// Whether the hold is still written down, and nobody has asked for its end.
    pub(super) async fn renew(&self, id: &str) -> Result<Option<bool>, LockError> {
        let rows = self.ask(schema::RENEW, &[(&id, Type::TEXT)]).await?;
        rows.first().map(|row| row.try_get(0)).transpose().map_err(|error| self.server.error(error))
    }

    /// Unlocks everything that the session locked.
    pub(super) async fn give_back(&self, id: &str) -> Result<(), LockError> {
        if self.client.is_closed() {
            return Ok(());
        }
        self.ask(schema::GIVE_BACK, &[(&id, Type::TEXT)]).await.map(drop)
    }

    pub(super) async fn list(
        &self,
        options: &PostgresOptions,
        key: Option<&LockKey>,
    ) -> Result<Vec<Row>, LockError> {
        let key = key.map(LockKey::as_str);
        let parameters: &[Parameter<'_>] = &[(&options.space, Type::TEXT), (&key, Type::TEXT)];
        let answer = self.server.timely_raw(self.client.query_typed(schema::LIST, parameters)).await?;
        let rows = match answer {
            Err(error) if schema::is_missing(&error) => Vec::new(),
            other => other.map_err(|error| self.server.error(error))?,
        };
        let rows = rows.iter().filter_map(|row| schema::row(row).transpose());
        rows.collect::<Result<_, _>>().map_err(|error| self.server.error(error))
    }

    /// Asks a holder to stop. False if it is gone by now.
    pub(super) async fn end(&self, id: &str) -> Result<bool, LockError> {
        Ok(!self.ask(schema::END, &[(&id, Type::TEXT)]).await?.is_empty())
    }

    /// Ends the session of somebody who waits.
    pub(super) async fn end_waiting(&self, row: &Row) -> Result<(), LockError> {
        self.ask("SELECT pg_terminate_backend($1)", &[(&row.pid, Type::INT4)]).await.map(drop)
    }

    /// Forgets who had a lock before the server was started anew.
    pub(super) async fn forget(
        &self,
        options: &PostgresOptions,
        key: &LockKey,
        mode: Mode,
    ) -> Result<(), LockError> {
        let (key, exclusive) = (key.as_str(), mode == Mode::Exclusive);
        let parameters: &[Parameter<'_>] =
            &[(&options.space, Type::TEXT), (&key, Type::TEXT), (&exclusive, Type::BOOL)];
        self.ask(schema::FORGET, parameters).await.map(drop)
    }
}

/// Ends a statement that is given up. Without it, the server would go on waiting until it looks for the client.
struct Cancel(Option<(CancelToken, Server)>);

impl Drop for Cancel {
    fn drop(&mut self) {
        if let Some((token, server)) = self.0.take() {
            in_background(async move { _ = token.cancel_query(server.0.tls.clone()).await });
        }
    }
}

/// The number by which others see that a hold's session lives.
fn token(id: &str) -> i64 {
    i64::from_str_radix(id, 16).unwrap_or(0)
}

fn milliseconds(time: Duration) -> i64 {
    // The server takes no more than this.
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX).min(i64::from(i32::MAX))
}

/// An error with its causes.
fn because(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", because(source)),
        None => error.to_string(),
    }
}
