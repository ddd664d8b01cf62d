//! Reading a `mongodb://` URL.
//!
//! No error here repeats a part of the URL that could be a piece of the password.

use std::fmt;
use std::time::Duration;

use lockkeeper_sdk::{Error, Result};
use percent_encoding::percent_decode_str;
use secrecy::SecretString;

const DEFAULT_PORT: u16 = 27017;

/// What a URL leads to, and how to talk to it.
#[derive(Debug)]
pub struct Target {
    /// The members of the deployment that are named; at least one.
    pub hosts: Vec<Address>,
    /// Who logs in, if anybody does.
    pub credentials: Option<Credentials>,
    /// The database that the URL names.
    pub database: Option<String>,
    /// The name that the replica set must have.
    pub replica_set: Option<String>,
    /// Whether to talk to the named host alone, and not to look for the primary.
    pub direct: bool,
    /// Whether the connections are encrypted.
    pub tls: bool,
    /// How long a connection may take to be made.
    pub connect_timeout: Duration,
    /// How long a server may be silent.
    pub socket_timeout: Duration,
    /// How long to look for a primary while the members elect one.
    pub selection_timeout: Duration,
    /// The name that the server's log shows.
    pub app_name: String,
    /// How many connections there may be at once.
    pub pool: usize,
}

/// A host and port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// A name or an address, an IPv6 one without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// Who logs in.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The user's name.
    pub user: String,
    /// The user's password; `Debug` hides it.
    pub password: SecretString,
    /// The database that knows the user.
    pub source: String,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl Address {
    /// Reads `host`, `host:port` or `[address]:port`.
    pub fn parse(text: &str) -> Option<Self> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']')?;
                host.parse::<std::net::Ipv6Addr>().ok()?;
                (host, if port.is_empty() { None } else { Some(port.strip_prefix(':')?) })
            }
            None => match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        let fine = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
        if host.is_empty() || host.len() > 253 || !host.chars().all(fine) {
            return None;
        }
        let port = match port {
            None => DEFAULT_PORT,
            Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
                port.parse().ok().filter(|port| *port != 0)?
            }
            Some(_) => return None,
        };
        Some(Self { host: host.to_ascii_lowercase(), port })
    }
}

fn wrong(what: impl fmt::Display) -> Error {
    Error::config(format!("in [datastore.config], `url`: {what}"))
}

impl Target {
    /// Reads a URL. `password` is the one that is configured apart from it.
    pub fn parse(url: &str, password: Option<SecretString>) -> Result<Self> {
        let Some(rest) = url.strip_prefix("mongodb://") else {
            return Err(wrong(match url.starts_with("mongodb+srv://") {
                true => {
                    "a `mongodb+srv://` URL needs DNS lookups that an extension can't make: use the `mongodb://` form, which names \
                     the hosts (Atlas shows it for older drivers)"
                }
                false => "it has to begin with `mongodb://`",
            }));
        };
        let (authority, tail) = match rest.find(['/', '?']) {
            Some(end) => rest.split_at(end),
            None => (rest, ""),
        };
        if tail.contains('@') {
            return Err(wrong(
                "`/`, `?` and `@` in user, password and options have to be written as `%2F`, `%3F` and `%40`",
            ));
        }
        let (path, options) = tail.split_once('?').unwrap_or((tail, ""));
        let (login, hosts) = match authority.rsplit_once('@') {
            Some((login, hosts)) => (Some(login), hosts),
            None => (None, authority),
        };
        let hosts = hosts.split(',').enumerate().map(|(at, host)| {
            Address::parse(host)
                .ok_or_else(|| wrong(format_args!("host {} is not of the form `host:port`", at + 1)))
        });
        let mut target = Self {
            hosts: hosts.collect::<Result<_>>()?,
            credentials: None,
            database: Some(decoded(path.trim_start_matches('/'), "the database")?)
                .filter(|name| !name.is_empty()),
            replica_set: None,
            direct: false,
            tls: false,
            connect_timeout: Duration::from_secs(10),
            socket_timeout: Duration::from_secs(60),
            selection_timeout: Duration::from_secs(30),
            app_name: "lockkeeper".to_owned(),
            pool: 4,
        };
        let mut source = None;
        for option in options.split('&').filter(|option| !option.is_empty()) {
            let (name, value) =
                option.split_once('=').ok_or_else(|| wrong("an option has the form `name=value`"))?;
            target.option(name, &decoded(value, "an option")?, &mut source)?;
        }
        target.credentials = credentials(login, password, source, target.database.as_deref())?;
        if target.direct && target.hosts.len() > 1 {
            return Err(wrong("`directConnection=true` goes with one host"));
        }
        Ok(target)
    }

    fn option(&mut self, name: &str, value: &str, source: &mut Option<String>) -> Result<()> {
        let bad = |wanted: &str| Err(wrong(format_args!("the option `{name}` has to be {wanted}")));
        let flag = || match value {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(wrong(format_args!("the option `{name}` has to be `true` or `false`"))),
        };
        let time = || match value.parse() {
            Ok(time @ 1..=3_600_000) => Ok(Duration::from_millis(time)),
            _ => Err(wrong(format_args!(
                "the option `{name}` has to be a number of milliseconds, up to an hour"
            ))),
        };
        match name.to_ascii_lowercase().as_str() {
            "authsource" => *source = Some(value.to_owned()),
            "replicaset" => self.replica_set = Some(value.to_owned()),
            "tls" | "ssl" => self.tls = flag()?,
            "directconnection" => self.direct = flag()?,
            "connecttimeoutms" => self.connect_timeout = time()?,
            "sockettimeoutms" => self.socket_timeout = time()?,
            "serverselectiontimeoutms" => self.selection_timeout = time()?,
            "appname" if value.len() <= 128 => self.app_name = value.to_owned(),
            "appname" => return bad("at most 128 bytes long"),
            "maxpoolsize" => match value.parse() {
                Ok(size @ 1..=64) => self.pool = size,
                _ => return bad("a number from 1 to 64"),
            },
            "authmechanism" if value == "SCRAM-SHA-256" => {}
            "authmechanism" => return bad("`SCRAM-SHA-256`, the only mechanism that this extension has"),
            // These say what this extension does anyway.
            "w" if value == "majority" => {}
            "w" => return bad("`majority`: nothing less makes sure that a push is not lost"),
            "readconcernlevel" if matches!(value, "majority" | "linearizable") => {}
            "readconcernlevel" => return bad("`majority`"),
            "readpreference" if value == "primary" => {}
            "readpreference" => return bad("`primary`: a secondary may be behind"),
            "retrywrites" | "retryreads" => drop(flag()?),
            "journal" if flag()? => {}
            "journal" => return bad("`true`"),
            "compressors" => return bad("left out: this extension does not compress"),
            "tlsinsecure" | "tlsallowinvalidcertificates" | "tlsallowinvalidhostnames" if flag()? => {
                return bad("`false`: the host checks certificates");
            }
            "tlsinsecure" | "tlsallowinvalidcertificates" | "tlsallowinvalidhostnames" => {}
            _ => {
                let name: String = name.chars().filter(char::is_ascii_alphanumeric).take(40).collect();
                return Err(wrong(format_args!("the option `{name}` is not known here")));
            }
        }
        Ok(())
    }
}

fn credentials(
    login: Option<&str>,
    configured: Option<SecretString>,
    source: Option<String>,
    database: Option<&str>,
) -> Result<Option<Credentials>> {
    let Some(login) = login else {
        return match configured {
            Some(_) => Err(wrong("there is a `password`, yet the URL names no user: `mongodb://USER@HOST/`")),
            None => Ok(None),
        };
    };
    let (user, inline) = match login.split_once(':') {
        Some((user, password)) => (user, Some(password)),
        None => (login, None),
    };
    if user.is_empty() || login.contains('@') || inline.is_some_and(|password| password.contains(':')) {
        return Err(wrong("`:` and `@` in user and password have to be written as `%3A` and `%40`"));
    }
    let password = match (inline, configured) {
        (Some(inline), None) => SecretString::from(decoded(inline, "the password")?),
        (None, Some(password)) => password,
        (Some(_), Some(_)) => {
            return Err(wrong("the password stands in the URL and in `password`: leave out one"));
        }
        (None, None) => return Err(wrong("the URL names a user: set `password`")),
    };
    let source = source.or_else(|| database.map(str::to_owned)).unwrap_or_else(|| "admin".to_owned());
    Ok(Some(Credentials { user: decoded(user, "the user")?, password, source }))
}

/// Takes percent-encoding off, strictly.
fn decoded(text: &str, what: &str) -> Result<String> {
    let hex = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_hexdigit);
    let bytes = text.as_bytes();
    let stray = bytes
        .iter()
        .enumerate()
        .any(|(at, byte)| *byte == b'%' && !(hex(bytes.get(at + 1)) && hex(bytes.get(at + 2))));
    if stray {
        return Err(wrong(format_args!("a `%` in {what} has to be written as `%25`")));
    }
    match percent_decode_str(text).decode_utf8() {
        Ok(text) if !text.contains('\0') => Ok(text.into_owned()),
        _ => Err(wrong(format_args!("{what} is not text"))),
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn parse(url: &str) -> Result<Target> {
        Target::parse(url, None)
    }

    fn refused(url: &str) -> String {
        match parse(url) {
            Err(Error::Config(failure)) => failure.message,
            other => panic!("{url}: {other:?}"),
        }
    }

    #[test]
    fn a_url_names_hosts_user_database_and_options() {
        let url = "mongodb://me%40home:p%3Ass@One.example,two:27018,[::1]:1/shop?authSource=users&replicaSet=rs&tls=true\
                   &connectTimeoutMS=1500&retryWrites=true&w=majority&appName=a%20b&maxPoolSize=2";
        let target = parse(url).unwrap();
        let hosts: Vec<_> = target.hosts.iter().map(Address::to_string).collect();
        assert_eq!(hosts, ["one.example:27017", "two:27018", "[::1]:1"]);
        assert_eq!((target.database.as_deref(), target.replica_set.as_deref()), (Some("shop"), Some("rs")));
        assert_eq!((target.tls, target.pool, target.app_name.as_str()), (true, 2, "a b"));
        assert_eq!(target.connect_timeout, Duration::from_millis(1500));
        let credentials = target.credentials.unwrap();
        assert_eq!((credentials.user.as_str(), credentials.source.as_str()), ("me@home", "users"));
        assert_eq!(credentials.password.expose_secret(), "p:ss");
    }

    #[test]
    fn a_user_is_known_to_the_database_of_the_url_or_else_to_admin() {
        let source = |url| parse(url).unwrap().credentials.unwrap().source;
        assert_eq!(source("mongodb://me:x@h/shop"), "shop");
        assert_eq!(source("mongodb://me:x@h/"), "admin");
        assert_eq!(source("mongodb://me:x@h"), "admin");
        assert_eq!(source("mongodb://me:x@h/?authSource=other"), "other");
    }

    #[test]
    fn the_password_may_be_configured_apart_but_not_twice() {
        let apart = || Some(SecretString::from("apart".to_owned()));
        let target = Target::parse("mongodb://me@h/", apart()).unwrap();
        assert_eq!(target.credentials.unwrap().password.expose_secret(), "apart");
        assert!(Target::parse("mongodb://me:x@h/", apart()).is_err());
        assert!(Target::parse("mongodb://h/", apart()).is_err());
        assert!(parse("mongodb://me@h/").is_err());
    }

    #[test]
    fn what_is_not_understood_is_refused_by_name() {
        for (url, part) in [
            ("mongodb+srv://cluster.example/", "mongodb+srv"),
            ("http://h/", "mongodb://"),
            ("mongodb://h/?zlibCompressionLevel=3", "`zlibCompressionLevel`"),
            ("mongodb://h/?compressors=zstd", "`compressors`"),
            ("mongodb://h/?w=1", "`w`"),
            ("mongodb://h/?readPreference=secondary", "`readPreference`"),
            ("mongodb://me:x@h/?authMechanism=SCRAM-SHA-1", "`authMechanism`"),
            ("mongodb://h/?tlsInsecure=true", "`tlsInsecure`"),
            ("mongodb://h/?connectTimeoutMS=soon", "`connectTimeoutMS`"),
            ("mongodb://h:0/", "host 1"),
            ("mongodb://one,/", "host 2"),
            ("mongodb:///", "host 1"),
            ("mongodb://one,two/?directConnection=true", "directConnection"),
        ] {
            let message = refused(url);
            assert!(message.contains(part), "{url}: {message}");
        }
    }

    #[test]
    fn a_badly_encoded_password_is_refused_without_being_repeated() {
        for url in [
            "mongodb://me:sec/ret@h/",
            "mongodb://me:sec?ret@h/",
            "mongodb://me:17?ret=sec@h/",
            "mongodb://me:sec@ret@h/",
            "mongodb://me:sec:ret@h/",
            "mongodb://me:sec%ret@h/",
            "mongodb://me:sec%FFret@h/",
            "mongodb://me:sec/ret",
            "mongodb://me:secret/",
        ] {
            let message = refused(url);
            assert!(!message.contains("sec") && !message.contains("ret"), "{url}: {message}");
        }
    }

    #[test]
    fn printing_a_target_hides_the_password() {
        let shown = format!("{:?}", parse("mongodb://me:secret@h/").unwrap());
        assert!(shown.contains("me") && !shown.contains("secret"), "{shown}");
    }
}
