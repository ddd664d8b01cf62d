//! Hosts: network namespaces on one bridge, with a link each, and relays that delay what they send.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use lockkeeper_test_servers::is_root;

/// Some hosts. Gone when this is dropped.
pub struct Hosts {
    name: String,
    network: u8,
    count: usize,
    delays: Vec<Arc<AtomicU64>>,
    restoring: Mutex<Vec<JoinHandle<()>>>,
}

impl Hosts {
    /// Makes them, if this is allowed here.
    pub fn new(network: u8, count: usize) -> Option<Self> {
        if !is_root() || !ip("netns list") {
            assert!(std::env::var_os("CI").is_none(), "network namespaces take root and iproute2");
            _ = writeln!(std::io::stderr(), "skipped: network namespaces take root and iproute2");
            return None;
        }
        // Names are short; those of a test that was killed are in the way of nobody but their own kind.
        let name = format!("lk{}n{network}", std::process::id() % 100_000);
        let delays = (0..count).map(|_| Arc::default()).collect();
        let hosts = Self { name, network, count, delays, restoring: Mutex::default() };
        let Self { name, .. } = &hosts;
        let gateway = hosts.address();
        run(&format!("link add {name} type bridge"));
        run(&format!("addr add {gateway}/24 dev {name}"));
        run(&format!("link set {name} up"));
        for host in 0..count {
            let (space, link) = (hosts.space(host), hosts.link(host));
            run(&format!("netns add {space}"));
            run(&format!("link add {link} type veth peer name eth0 netns {space}"));
            run(&format!("link set {link} master {name} up"));
            run(&format!("-n {space} addr add 10.231.{network}.{}/24 dev eth0", host + 10));
            run(&format!("-n {space} link set eth0 up"));
            run(&format!("-n {space} link set lo up"));
        }
        Some(hosts)
    }

    /// The address at which all hosts reach this process.
    pub fn address(&self) -> IpAddr {
        Ipv4Addr::new(10, 231, self.network, 1).into()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The name of a host's namespace.
    pub fn space(&self, host: usize) -> String {
        format!("{}-{host}", self.name)
    }

    fn link(&self, host: usize) -> String {
        format!("{}v{host}", self.name)
    }

    /// Cuts a host off.
    pub fn cut(&self, host: usize) {
        run(&format!("link set {} down", self.link(host)));
    }

    /// Connects it again.
    pub fn restore(&self, host: usize) {
        run(&format!("link set {} up", self.link(host)));
    }

    /// Cuts a host off, and connects it again later.
    pub fn cut_for(&self, host: usize, time: Duration) {
        self.cut(host);
        let link = self.link(host);
        let later = std::thread::spawn(move || {
            std::thread::sleep(time);
            _ = ip(&format!("link set {link} up"));
        });
        self.restoring.lock().unwrap().push(later);
    }

    /// Comes back when all hosts are connected.
    pub fn settle(&self) {
        for later in self.restoring.lock().unwrap().drain(..) {
            later.join().unwrap();
        }
    }

    /// Delays whatever a host sends to servers and they to it.
    pub fn delay(&self, host: usize, time: Duration) {
        self.delays[host].store(time.as_micros().try_into().unwrap(), Ordering::SeqCst);
    }

    /// Serves a loopback port to a host, with its delay, and returns where.
    pub fn relay(&self, host: usize, to: SocketAddr) -> SocketAddr {
        let listener = TcpListener::bind((self.address(), 0)).unwrap();
        let at = listener.local_addr().unwrap();
        let delay = self.delays[host].clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(to) else { continue };
                for (from, into) in [(&client, &server), (&server, &client)] {
                    let (from, into, delay) =
                        (from.try_clone().unwrap(), into.try_clone().unwrap(), delay.clone());
                    _ = into.set_nodelay(true);
                    std::thread::spawn(move || pass(from, into, &delay));
                }
            }
        });
        at
    }
}

fn pass(mut from: TcpStream, mut into: TcpStream, delay: &AtomicU64) {
    let mut bytes = [0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut bytes) {
        std::thread::sleep(Duration::from_micros(delay.load(Ordering::SeqCst)));
        if into.write_all(&bytes[..length]).is_err() {
            break;
        }
    }
    _ = into.shutdown(Shutdown::Both);
    _ = from.shutdown(Shutdown::Both);
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for host in 0..self.count {
            // A namespace outlives its name for as long as a connection in it waits for an answer, and its link with it.
            _ = ip(&format!("link del {}", self.link(host)));
            _ = ip(&format!("netns del {}", self.space(host)));
        }
        _ = ip(&format!("link del {}", self.name));
    }
}

fn ip(arguments: &str) -> bool {
    Command::new("ip").args(arguments.split(' ')).output().is_ok_and(|done| done.status.success())
}

fn run(arguments: &str) {
    let done = Command::new("ip").args(arguments.split(' ')).output().unwrap();
    assert!(done.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&done.stderr));
}
