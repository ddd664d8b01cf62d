//! A proxy in front of a server that lets the n-th request go wrong.
//!
//! It speaks HTTP/1.1, or MongoDB's protocol, on real sockets, so a reset is a reset. It counts requests as they arrive, and can make each one wait, as a
//! distant server would. The server behind it is whole and knows nothing of the faults.

mod body;
mod fault;
mod forward;
mod mongo;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub use fault::{FAULTS, Fault, Service};

use crate::servers::RUNTIME;

/// A proxy on a free loopback port. It stops when it is dropped.
pub struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

/// What is to happen, and what has.
pub(crate) struct State {
    upstream: SocketAddr,
    service: Service,
    latency: Mutex<Duration>,
    plan: Mutex<Plan>,
    before: Mutex<Option<Before>>,
}

/// What is done before a request is passed on.
type Before = Arc<dyn Fn(&str) + Send + Sync>;

#[derive(Default)]
struct Plan {
    seen: Vec<String>,
    faults: BTreeMap<usize, Fault>,
    always: Option<Fault>,
    happened: Vec<(String, Fault)>,
}

impl State {
    /// Counts a request, and says what happens to it.
    async fn arrive(&self, request: String) -> Option<Fault> {
        let fault = self.plan.lock().unwrap().arrive(&request);
        let latency = *self.latency.lock().unwrap();
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        let before = self.before.lock().unwrap().clone();
        if let Some(before) = before {
            // It may start commands and wait for them.
            tokio::task::spawn_blocking(move || before(&request)).await.unwrap();
        }
        fault
    }
}

impl Plan {
    fn arrive(&mut self, request: &str) -> Option<Fault> {
        let number = self.seen.len();
        self.seen.push(request.to_owned());
        let fault = self.always.or(self.faults.get(&number).copied());
        if let Some(fault) = fault {
            self.happened.push((request.to_owned(), fault));
        }
        fault
    }
}

impl Proxy {
    /// Stands in front of a server.
    pub fn start(upstream: SocketAddr, service: Service) -> Self {
        let state = Arc::new(State {
            upstream,
            service,
            latency: Mutex::default(),
            plan: Mutex::default(),
            before: Mutex::default(),
        });
        let listener = RUNTIME.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let address = listener.local_addr().unwrap();
        let accepting = match service {
            Service::Mongo => RUNTIME.spawn(mongo::accept(listener, state.clone())),
            Service::S3 | Service::Gcs => RUNTIME.spawn(forward::accept(listener, state.clone())),
        };
        Self { address, state, accepting }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Forgets all requests and faults, and lets the n-th request from now (the first one is 0) go wrong.
    pub fn fault(&self, at: usize, fault: Fault) {
        *self.state.plan.lock().unwrap() = Plan { faults: [(at, fault)].into(), ..Plan::default() };
    }

    /// Forgets all requests and faults, and lets every request from now on go wrong.
    pub fn always(&self, fault: Fault) {
        *self.state.plan.lock().unwrap() = Plan { always: Some(fault), ..Plan::default() };
    }

    /// Forgets all requests and faults.
    pub fn clear(&self) {
        *self.state.plan.lock().unwrap() = Plan::default();
    }

    /// Makes each request wait.
    pub fn latency(&self, latency: Duration) {
        *self.state.latency.lock().unwrap() = latency;
    }

    /// Does something before each request is passed on, and makes it wait for that.
    pub fn before(&self, before: impl Fn(&str) + Send + Sync + 'static) {
        *self.state.before.lock().unwrap() = Some(Arc::new(before));
    }

    /// The requests that have arrived, as `METHOD path?query`, or as MongoDB's command.
    pub fn requests(&self) -> Vec<String> {
        self.state.plan.lock().unwrap().seen.clone()
    }

    /// The requests that went wrong.
    pub fn happened(&self) -> Vec<(String, Fault)> {
        self.state.plan.lock().unwrap().happened.clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
