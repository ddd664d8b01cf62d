//! Where requests go.

use http::Uri;
use lockkeeper_sdk::{Error, Result};

/// The origin of a store, and the path below it that every request begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Whether it is reached over TLS.
    pub secure: bool,
    /// Host and, if it isn't the scheme's own, port.
    pub authority: String,
    /// Empty, or a path that begins with `/` and doesn't end with one.
    pub path: String,
}

impl Endpoint {
    /// Reads `https://host[:port][/path]`; an error names the configuration key `name`.
    pub fn parse(name: &str, text: &str) -> Result<Self> {
        let wrong = |why: &str| {
            Error::config(format!("`{name}` is {text:?}: {why}, such as `https://storage.example.com`"))
        };
        let uri: Uri = text.parse().map_err(|_| wrong("it must be a URL"))?;
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(wrong("it must begin with `https://` or `http://`")),
        };
        let authority = uri.authority().ok_or_else(|| wrong("it must name a host"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("it must hold no credentials, the host adds them to each request"));
        }
        if uri.query().is_some() {
            return Err(wrong("it must be without a query"));
        }
        let path = uri.path().trim_end_matches('/').to_owned();
        Ok(Self { secure, authority: authority.as_str().to_owned(), path })
    }

    /// The same origin with a label before its host.
    #[must_use]
    pub fn subdomain(&self, label: &str) -> Self {
        Self { authority: format!("{label}.{}", self.authority), ..self.clone() }
    }

    /// Whether the host is an address, to which no label can be put.
    pub fn is_address(&self) -> bool {
        let host = self.authority.rsplit_once(':').map_or(self.authority.as_str(), |(host, _)| host);
        host.starts_with('[') || host.parse::<std::net::Ipv4Addr>().is_ok()
    }

    /// Scheme, host and port, as a grant names them.
    pub fn origin(&self) -> String {
        format!("{}://{}", if self.secure { "https" } else { "http" }, self.authority)
    }
}

/// How many requests are in flight if the configuration doesn't say.
const IN_FLIGHT: usize = 16;

/// Checks how many requests may be in flight at once; an error names the configuration key `name`.
pub fn check_in_flight(name: &str, configured: Option<usize>) -> Result<usize> {
    match configured.unwrap_or(IN_FLIGHT) {
        wrong @ (0 | 257..) => Err(Error::config(format!("`{name}` is {wrong}: it must be from 1 to 256"))),
        right => Ok(right),
    }
}

/// Checks a key prefix and makes it end in `/`, unless it is empty; an error names the configuration key `name`.
pub fn check_prefix(name: &str, prefix: &str) -> Result<String> {
    let trimmed = prefix.strip_suffix('/').unwrap_or(prefix);
    if trimmed.is_empty() && prefix.is_empty() {
        return Ok(String::new());
    }
    if trimmed.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
        let message = format!(
            "`{name}` is {prefix:?}: it must be a path such as `team/cache`, without an empty, `.` or `..` segment"
        );
        return Err(Error::config(message));
    }
    Ok(format!("{trimmed}/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_has_an_origin_and_a_path() {
        let endpoint = Endpoint::parse("endpoint", "http://localhost:9000/store/").unwrap();
        assert_eq!(endpoint.origin(), "http://localhost:9000");
        assert_eq!(endpoint.path, "/store");
        assert_eq!(endpoint.subdomain("b").origin(), "http://b.localhost:9000");
        assert_eq!(Endpoint::parse("endpoint", "https://s3.example.com").unwrap().path, "");
    }

    #[test]
    fn an_address_takes_no_label() {
        for (endpoint, address) in [
            ("http://127.0.0.1:9000", true),
            ("https://10.0.0.1", true),
            ("http://[::1]:9000", true),
            ("http://localhost:9000", false),
            ("https://s3.example.com", false),
        ] {
            assert_eq!(Endpoint::parse("endpoint", endpoint).unwrap().is_address(), address, "{endpoint}");
        }
    }

    #[test]
    fn a_wrong_endpoint_is_an_error_that_names_the_key() {
        for wrong in
            ["s3.example.com", "ftp://example.com", "https://key:secret@example.com", "http://a/?b", ""]
        {
            match Endpoint::parse("endpoint", wrong) {
                Err(Error::Config(failure)) => assert!(failure.message.contains("`endpoint`"), "{failure:?}"),
                other => panic!("{wrong}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_prefix_ends_in_a_slash() {
        assert_eq!(check_prefix("prefix", ""), Ok(String::new()));
        assert_eq!(check_prefix("prefix", "a/b"), Ok("a/b/".to_owned()));
        assert_eq!(check_prefix("prefix", "a/b/"), Ok("a/b/".to_owned()));
        for wrong in ["/", "/a", "a//b", "a/../b", "a//"] {
            assert!(matches!(check_prefix("prefix", wrong), Err(Error::Config(_))), "{wrong}");
        }
    }
}
