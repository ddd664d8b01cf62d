//! The deployment: which member is the primary, and connections to it, used again within a call.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use async_lock::{Semaphore, SemaphoreGuard};
use bson::{RawDocumentBuf, rawdoc};
use lockkeeper_sdk::Result;

use crate::connection::{Connection, Hello};
use crate::fault::Fault;
use crate::net::pause;
use crate::reply::unreadable;
use crate::scram::Salted;
use crate::url::{Address, Target};
use crate::wire::Sequence;

/// How long to wait before the members are asked again who is the primary.
const ELECTION: Duration = Duration::from_millis(500);
/// More members than a replica set has.
const MOST_MEMBERS: usize = 64;

/// A client of one deployment.
pub struct Client {
    target: Target,
    primary: RefCell<Option<Address>>,
    idle: RefCell<Vec<Connection>>,
    /// One for each connection that there may be.
    slots: Semaphore,
    salted: RefCell<Option<Salted>>,
    /// What the server's clock showed, and when.
    clock: Cell<Option<(i64, Instant)>>,
}

/// The right to one of the connections.
pub struct Slot<'a>(#[expect(dead_code, reason = "it is given back when it is dropped")] SemaphoreGuard<'a>);

/// What became of asking one server.
enum Asked {
    Primary(Connection),
    /// It is another one; these may know more.
    Other(Vec<Address>),
}

impl Client {
    /// Makes a client. It connects when the first request is made.
    pub fn new(target: Target) -> Self {
        Self {
            slots: Semaphore::new(target.pool.max(1)),
            target,
            primary: RefCell::default(),
            idle: RefCell::default(),
            salted: RefCell::default(),
            clock: Cell::default(),
        }
    }

    /// What it leads to.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The time by the server's clock, in milliseconds since 1970.
    pub async fn now(&self) -> Result<i64, Fault> {
        if self.clock.get().is_none() {
            self.request("admin", &rawdoc! { "ping": 1 }, None).await?;
        }
        let (then, since) = self.clock.get().ok_or_else(|| unreadable("localTime"))?;
        Ok(then.saturating_add(i64::try_from(since.elapsed().as_millis()).unwrap_or(i64::MAX)))
    }

    /// Waits for one of the connections.
    pub async fn slot(&self) -> Slot<'_> {
        Slot(self.slots.acquire().await)
    }

    /// Sends a request to the primary, once a connection is free.
    pub async fn request(
        &self,
        database: &str,
        command: &RawDocumentBuf,
        sequence: Option<&Sequence<'_>>,
    ) -> Result<RawDocumentBuf, Fault> {
        self.request_in(&self.slot().await, database, command, sequence).await
    }

    /// Sends a request to the primary.
    ///
    /// A request whose answer is lost, that met a server which is no longer the primary, or that failed for some other reason which
    /// may have passed, is sent once more. It may then be carried out twice, so each write has to be one of which that can be told.
    pub async fn request_in(
        &self,
        slot: &Slot<'_>,
        database: &str,
        command: &RawDocumentBuf,
        sequence: Option<&Sequence<'_>>,
    ) -> Result<RawDocumentBuf, Fault> {
        match self.request_once(slot, database, command, sequence).await {
            Err(fault) if fault.may_pass() => self.request_once(slot, database, command, sequence).await,
            result => result,
        }
    }

    /// Sends a request to the primary, and not again.
    pub async fn request_once(
        &self,
        _: &Slot<'_>,
        database: &str,
        command: &RawDocumentBuf,
        sequence: Option<&Sequence<'_>>,
    ) -> Result<RawDocumentBuf, Fault> {
        let idle = self.idle.borrow_mut().pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let result = connection.request(database, command.clone(), sequence).await;
        match &result {
            Err(fault) if fault.breaks_connection() => {
                // What happened to this one probably happened to the others.
                self.idle.borrow_mut().clear();
                *self.primary.borrow_mut() = None;
            }
            _ => self.idle.borrow_mut().push(connection),
        }
        result
    }

    /// Connects to the primary, and finds it first if need be.
    async fn connect(&self) -> Result<Connection, Fault> {
        let known = self.primary.borrow().clone();
        if let Some(known) = known
            && let Ok(Asked::Primary(connection)) = self.ask(&known).await
        {
            return Ok(connection);
        }
        let deadline = Instant::now() + self.target.selection_timeout;
        loop {
            match self.look().await {
                Ok(connection) => return Ok(connection),
                // Members that answer are about to elect one; if none does, waiting won't help.
                Err((true, _)) if Instant::now() + ELECTION < deadline => pause(ELECTION).await,
                Err((_, failure)) => return Err(failure),
            }
        }
    }

    /// Asks every member. If none is the primary, says whether waiting may help, and the first failure.
    async fn look(&self) -> Result<Connection, (bool, Fault)> {
        let mut queue: VecDeque<_> = self.target.hosts.iter().cloned().collect();
        let mut seen: BTreeSet<_> = self.target.hosts.iter().cloned().collect();
        let (mut electing, mut failure) = (false, None);
        while let Some(address) = queue.pop_front() {
            match self.ask(&address).await {
                Ok(Asked::Primary(connection)) => {
                    *self.primary.borrow_mut() = Some(address);
                    return Ok(connection);
                }
                Ok(Asked::Other(others)) => {
                    electing = true;
                    // The first one is whom it takes for the primary.
                    for other in others.into_iter().rev() {
                        if seen.len() < MOST_MEMBERS && seen.insert(other.clone()) {
                            queue.push_front(other);
                        }
                    }
                }
                Err(fault @ (Fault::Config(_) | Fault::Login(_) | Fault::Refused(_))) => {
                    return Err((false, fault));
                }
                // It may well be the primary.
                Err(fault @ Fault::Denied(_)) => {
                    failure = Some(fault);
                }
                Err(fault) => {
                    failure.get_or_insert(fault);
                }
            }
        }
        let none = || Fault::Network("no member of the deployment is the primary".to_owned());
        let failure = failure.unwrap_or_else(none);
        Err((electing && !matches!(failure, Fault::Denied(_)), failure))
    }

    async fn ask(&self, address: &Address) -> Result<Asked, Fault> {
        let (mut connection, hello) = Connection::open(address, &self.target).await?;
        self.check_set(address, &hello)?;
        if !hello.primary {
            if self.target.direct {
                return Err(Fault::Config(format!(
                    "{address} is not the primary: leave out `directConnection`, or name the primary"
                )));
            }
            return Ok(Asked::Other(hello.points_to.into_iter().chain(hello.members).collect()));
        }
        self.clock.set(Some((hello.clock, Instant::now())));
        if let Some(who) = &self.target.credentials {
            let mut salted = self.salted.borrow().clone();
            connection.login(&hello, who, &mut salted).await?;
            *self.salted.borrow_mut() = salted;
        }
        Ok(Asked::Primary(connection))
    }

    fn check_set(&self, address: &Address, hello: &Hello) -> Result<(), Fault> {
        match (&self.target.replica_set, &hello.set) {
            (Some(wanted), found) if found.as_ref() != Some(wanted) => Err(Fault::Config(match found {
                Some(found) => format!(
                    "{address} belongs to the replica set {found:?}, and `replicaSet` says {wanted:?}"
                ),
                None => format!("{address} belongs to no replica set, and `replicaSet` says {wanted:?}"),
            })),
            _ => Ok(()),
        }
    }
}
