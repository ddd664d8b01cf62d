//! A proxy in front of a server that lets the n-th request go wrong.
//!
//! It speaks HTTP/1.1 on real sockets, so a reset is a reset. It counts requests as they arrive, and can make each one wait, as a
//! distant server would. The server behind it is whole and knows nothing of the faults.

mod body;
mod fault;
mod forward;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub use fault::{Fault, Service};

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
}

#[derive(Default)]
struct Plan {
    seen: Vec<String>,
    faults: BTreeMap<usize, Fault>,
    always: Option<Fault>,
    happened: Vec<(String, Fault)>,
}

impl State {
    /// Counts a request, and says what happens to it.
    fn arrive(&self, request: String) -> Option<Fault> {
        let mut plan = self.plan.lock().unwrap();
        let number = plan.seen.len();
        plan.seen.push(request.clone());
        let fault = plan.always.or(plan.faults.get(&number).copied());
        if let Some(fault) = fault {
            plan.happened.push((request, fault));
        }
        fault
    }
}

impl Proxy {
    /// Stands in front of a server.
    pub fn start(upstream: SocketAddr, service: Service) -> Self {
        let state = Arc::new(State { upstream, service, latency: Mutex::default(), plan: Mutex::default() });
        let listener = RUNTIME.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let address = listener.local_addr().unwrap();
        let accepting = RUNTIME.spawn(forward::accept(listener, state.clone()));
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

    /// The requests that have arrived, as `METHOD path?query`.
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
