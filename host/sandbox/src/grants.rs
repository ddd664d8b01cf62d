//! What a user lets an extension reach. Empty means nothing.
//!
//! | grant | form | reaches |
//! |---|---|---|
//! | folder | a folder of this machine, its place in the guest, `read-only` or `read-write` | what lies below it; symlinks can't lead out |
//! | HTTP | an origin: `https://host`, `http://host:port` | requests to exactly that origin |
//! | TCP | `host:port` | connections to the addresses that the name has now |
//!
//! A name that resolves to a private, loopback or link-local address isn't reached by a grant for the name: it
//! needs a grant for the address. `localhost` says what it is, so a grant for it is enough.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// Why a text is not a grant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` {problem}")]
pub struct GrantError {
    text: String,
    problem: &'static str,
}

/// Everything that one extension may reach.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    /// Folders of this machine.
    pub folders: Vec<FolderGrant>,
    /// Origins for HTTP requests.
    pub http: Vec<HttpOrigin>,
    /// Targets for TCP connections.
    pub tcp: Vec<TcpTarget>,
}

/// Whether a granted folder can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FolderAccess {
    /// Only reading.
    ReadOnly,
    /// Reading and writing.
    ReadWrite,
}

/// A folder of this machine that a guest sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderGrant {
    /// The folder on this machine.
    pub host: PathBuf,
    /// Where the guest sees it: an absolute path outside of `/cache` and `/state`.
    pub guest: String,
    /// What the guest may do with it.
    pub access: FolderAccess,
}

impl FolderGrant {
    /// Checks the guest's path.
    pub fn new(host: PathBuf, guest: &str, access: FolderAccess) -> Result<Self, GrantError> {
        let wrong = |problem| Err(GrantError { text: guest.to_owned(), problem });
        let Some(inner) = guest.strip_prefix('/') else {
            return wrong("is not an absolute path");
        };
        if inner.split('/').any(|segment| matches!(segment, "" | "." | "..")) || inner.contains('\0') {
            return wrong("is not a plain absolute path such as `/remote`");
        }
        if matches!(inner.split('/').next(), Some("cache" | "state")) {
            return wrong("is taken: `/cache` and `/state` are the host's");
        }
        Ok(Self { host, guest: guest.to_owned(), access })
    }
}

/// A host name or address.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    Name(String),
    Address(IpAddr),
}

impl Host {
    fn parse(text: &str) -> Option<Self> {
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Some(Self::Address(address.to_canonical()));
        }
        let fine = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        (!text.is_empty() && text.len() <= 253 && text.chars().all(fine))
            .then(|| Self::Name(text.to_ascii_lowercase()))
    }

    fn is_localhost(&self) -> bool {
        matches!(self, Self::Name(name) if name == "localhost" || name.ends_with(".localhost"))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
            Self::Address(address) => write!(f, "{address}"),
        }
    }
}

/// An origin: scheme, host and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpOrigin {
    tls: bool,
    host: Host,
    port: u16,
}

impl FromStr for HttpOrigin {
    type Err = GrantError;

    fn from_str(text: &str) -> Result<Self, GrantError> {
        let wrong = |problem| GrantError { text: text.to_owned(), problem };
        let uri: http::Uri = text.parse().map_err(|_| wrong("is not an origin such as `https://host`"))?;
        if uri.query().is_some() || !matches!(uri.path(), "" | "/") {
            return Err(wrong("is more than an origin: leave out the path"));
        }
        Self::of(&uri).ok_or_else(|| wrong("is not an origin such as `https://host` or `http://host:port`"))
    }
}

impl HttpOrigin {
    /// The origin of a request's URI.
    pub(crate) fn of(uri: &http::Uri) -> Option<Self> {
        let tls = match uri.scheme_str()? {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let authority = uri.authority()?;
        if authority.as_str().contains('@') {
            return None;
        }
        let port = match authority.port() {
            Some(port) => port.as_u16(),
            None if tls => 443,
            None => 80,
        };
        Some(Self { tls, host: Host::parse(authority.host())?, port })
    }

    /// The host's name or address.
    pub(crate) fn host(&self) -> String {
        self.host.to_string()
    }

    /// Whether connections to it are encrypted.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.tls
    }
}

impl fmt::Display for HttpOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, usual) = if self.tls { ("https", 443) } else { ("http", 80) };
        write!(f, "{scheme}://{}", self.host)?;
        if self.port == usual { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

/// A host and port for TCP connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TcpTarget {
    host: Host,
    port: u16,
}

impl FromStr for TcpTarget {
    type Err = GrantError;

    fn from_str(text: &str) -> Result<Self, GrantError> {
        let wrong = || GrantError { text: text.to_owned(), problem: "is not of the form `host:port`" };
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(wrong)?;
        Ok(Self { host: Host::parse(host).ok_or_else(wrong)?, port })
    }
}

impl TcpTarget {
    /// The address, if the grant is for one, or else the name to resolve; with the port.
    pub(crate) fn target(&self) -> (Result<IpAddr, &str>, u16) {
        match &self.host {
            Host::Address(address) => (Ok(*address), self.port),
            Host::Name(name) => (Err(name), self.port),
        }
    }
}

impl fmt::Display for TcpTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl Grants {
    /// Whether requests may go to this origin, as far as its name tells.
    pub(crate) fn allows_origin(&self, origin: &HttpOrigin) -> bool {
        self.http.contains(origin)
    }

    /// Whether a name that is granted may be reached at this address.
    pub(crate) fn allows_address_of(&self, name: &str, address: IpAddr) -> bool {
        let granted_address = || {
            self.http
                .iter()
                .map(|origin| &origin.host)
                .chain(self.tcp.iter().map(|target| &target.host))
                .any(|host| matches!(host, Host::Address(granted) if *granted == address.to_canonical()))
        };
        !is_private(address)
            || is_localhost(name) && address.to_canonical().is_loopback()
            || granted_address()
    }

    /// Whether any target has to be resolved by name.
    pub(crate) fn names_tcp_hosts(&self) -> bool {
        self.tcp.iter().any(|target| matches!(target.host, Host::Name(_)))
    }
}

/// Whether a name means this machine.
pub(crate) fn is_localhost(name: &str) -> bool {
    Host::parse(name).is_some_and(|host| host.is_localhost())
}

/// Addresses that mean another machine to each network: private, loopback, link-local, shared, unspecified, multicast.
fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [first, second, ..] = v4.octets();
            v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_unspecified()
                || v4.is_broadcast()
                || v4.is_multicast()
                || first == 0
                || (first == 100 && (64..128).contains(&second))
        }
        IpAddr::V6(v6) => {
            v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_unicast_link_local()
                || v6.is_unique_local()
                || v6.is_multicast()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants(http: &[&str], tcp: &[&str]) -> Grants {
        Grants {
            folders: Vec::new(),
            http: http.iter().map(|text| text.parse().unwrap()).collect(),
            tcp: tcp.iter().map(|text| text.parse().unwrap()).collect(),
        }
    }

    fn origin(uri: &str) -> HttpOrigin {
        HttpOrigin::of(&uri.parse().unwrap()).unwrap()
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let grants = grants(&["https://Bucket.example.org", "http://127.0.0.1:9000"], &[]);
        assert!(grants.allows_origin(&origin("https://bucket.example.org:443/key?x=1")));
        assert!(grants.allows_origin(&origin("http://127.0.0.1:9000/a")));
        assert!(!grants.allows_origin(&origin("http://bucket.example.org/")));
        assert!(!grants.allows_origin(&origin("https://bucket.example.org:444/")));
        assert!(!grants.allows_origin(&origin("https://bucket.example.org.evil.example/")));
        assert!(!Grants::default().allows_origin(&origin("https://example.org")));
    }

    #[test]
    fn credentials_in_an_authority_are_no_origin() {
        assert!(HttpOrigin::of(&"https://granted@evil.example/".parse().unwrap()).is_none());
    }

    #[test]
    fn a_name_does_not_reach_into_a_private_network() {
        let metadata: IpAddr = "169.254.169.254".parse().unwrap();
        let mapped: IpAddr = "::ffff:10.0.0.1".parse().unwrap();
        let loopback: IpAddr = "127.0.0.1".parse().unwrap();
        let public: IpAddr = "93.184.216.34".parse().unwrap();
        let by_name = grants(&["https://example.org"], &[]);
        assert!(by_name.allows_address_of("example.org", public));
        assert!(!by_name.allows_address_of("example.org", metadata));
        assert!(!by_name.allows_address_of("example.org", mapped));
        assert!(!by_name.allows_address_of("example.org", loopback));
        assert!(by_name.allows_address_of("localhost", loopback));
        assert!(!by_name.allows_address_of("localhost", metadata));
        let with_address = grants(&["https://example.org"], &["10.0.0.1:443"]);
        assert!(with_address.allows_address_of("example.org", mapped));
    }

    #[test]
    fn what_is_no_grant_is_refused() {
        for text in ["", "example.org", "ftp://example.org", "https://example.org/path", "https://"] {
            assert!(text.parse::<HttpOrigin>().is_err(), "{text}");
        }
        for text in ["", "host", "host:", "host:0", "host:99999", ":80", "ho st:80"] {
            assert!(text.parse::<TcpTarget>().is_err(), "{text}");
        }
        for guest in ["remote", "/", "/a/../b", "/cache", "/cache/x", "/state", "/a//b"] {
            assert!(FolderGrant::new("x".into(), guest, FolderAccess::ReadOnly).is_err(), "{guest}");
        }
    }

    #[test]
    fn grants_read_back_as_they_are_shown() {
        for text in ["https://example.org", "http://[::1]:9000", "http://a.b:81"] {
            assert_eq!(text.parse::<HttpOrigin>().unwrap().to_string(), text);
        }
        for text in ["db.internal:27017", "[::1]:80", "10.0.0.1:5"] {
            assert_eq!(text.parse::<TcpTarget>().unwrap().to_string(), text);
        }
    }
}
