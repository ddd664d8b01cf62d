//! How the bucket is configured.

use lockkeeper_http::{Endpoint, check_in_flight, check_prefix};
use lockkeeper_sdk::{Error, Result};
use serde::Deserialize;

/// The values of `[datastore.config]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Config {
    /// The bucket's name.
    bucket: String,
    /// Where the store is; by default Amazon's endpoint of the region.
    endpoint: Option<String>,
    /// The bucket's region, needed only if there is no endpoint.
    region: Option<String>,
    /// What all keys begin with.
    #[serde(default)]
    prefix: String,
    /// Whether the bucket stands in the host's name or in the path.
    addressing: Option<Addressing>,
    /// How many requests may be in flight at once.
    in_flight: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Addressing {
    /// `https://endpoint/bucket/key`.
    Path,
    /// `https://bucket.endpoint/key`.
    VirtualHost,
}

/// Where the bucket is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) bucket: String,
    /// What requests for the bucket itself go to.
    pub(crate) endpoint: Endpoint,
    /// Empty, or ends in `/`.
    pub(crate) prefix: String,
    pub(crate) in_flight: usize,
}

impl Config {
    pub(crate) fn place(self) -> Result<Place> {
        if self.bucket.is_empty() || self.bucket.contains(['/', '?', '#', ' ']) {
            return Err(Error::config(format!(
                "`bucket` is {:?}: it must be the name of a bucket",
                self.bucket
            )));
        }
        let (store, amazon) = match (&self.endpoint, &self.region) {
            (Some(endpoint), _) => (Endpoint::parse("endpoint", endpoint)?, false),
            (None, Some(region)) => (amazon(region)?, true),
            (None, None) => {
                let message = "`region` or `endpoint` is missing: give the bucket's region for Amazon S3, \
                               or the URL of another store";
                return Err(Error::config(message));
            }
        };
        let fits_host = fits_host(&self.bucket, store.secure) && !store.is_address();
        let addressing = self.addressing.unwrap_or(match amazon && fits_host {
            true => Addressing::VirtualHost,
            false => Addressing::Path,
        });
        let endpoint = match addressing {
            Addressing::VirtualHost if !fits_host => {
                return Err(Error::config(format!(
                    "`addressing` is `virtual-host`, but the bucket {:?} can't be put before {}: use `path`",
                    self.bucket,
                    store.origin(),
                )));
            }
            Addressing::VirtualHost => store.subdomain(&self.bucket),
            Addressing::Path => Endpoint { path: format!("{}/{}", store.path, self.bucket), ..store },
        };
        let prefix = check_prefix("prefix", &self.prefix)?;
        let in_flight = check_in_flight("in-flight", self.in_flight)?;
        Ok(Place { bucket: self.bucket, endpoint, prefix, in_flight })
    }
}

fn amazon(region: &str) -> Result<Endpoint> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if region.is_empty() || !region.bytes().all(plain) {
        return Err(Error::config(format!(
            "`region` is {region:?}: it must be a region such as `eu-west-1`"
        )));
    }
    let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    Endpoint::parse("region", &format!("https://s3.{region}.{domain}"))
}

/// Whether a bucket's name can be a label of a host; over TLS, one without dots, which no wildcard covers.
fn fits_host(bucket: &str, secure: bool) -> bool {
    let plain = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || (byte == b'.' && !secure)
    };
    bucket.len() <= 63
        && bucket.bytes().all(plain)
        && !bucket.starts_with(['-', '.'])
        && !bucket.ends_with(['-', '.'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(bucket: &str, endpoint: Option<&str>, region: Option<&str>) -> Config {
        Config {
            bucket: bucket.to_owned(),
            endpoint: endpoint.map(str::to_owned),
            region: region.map(str::to_owned),
            prefix: String::new(),
            addressing: None,
            in_flight: None,
        }
    }

    fn base(config: Config) -> String {
        let place = config.place().unwrap();
        place.endpoint.origin() + &place.endpoint.path
    }

    #[test]
    fn a_bucket_of_amazon_stands_in_the_hosts_name() {
        assert_eq!(base(config("b", None, Some("eu-west-1"))), "https://b.s3.eu-west-1.amazonaws.com");
        assert_eq!(base(config("b", None, Some("cn-north-1"))), "https://b.s3.cn-north-1.amazonaws.com.cn");
        // No certificate covers a name with dots.
        assert_eq!(base(config("b.c", None, Some("eu-west-1"))), "https://s3.eu-west-1.amazonaws.com/b.c");
    }

    #[test]
    fn a_bucket_of_another_store_stands_in_the_path_unless_configured() {
        let endpoint = Some("https://store.example.com/s3");
        assert_eq!(base(config("b", endpoint, None)), "https://store.example.com/s3/b");
        let virtual_host =
            Config { addressing: Some(Addressing::VirtualHost), ..config("b", endpoint, None) };
        assert_eq!(base(virtual_host), "https://b.store.example.com/s3");
    }

    #[test]
    fn a_wrong_value_is_an_error_that_names_its_key() {
        let endpoint = Some("http://127.0.0.1:9000");
        for (wrong, key) in [
            (config("", endpoint, None), "`bucket`"),
            (config("a/b", endpoint, None), "`bucket`"),
            (config("b", None, None), "`region` or `endpoint`"),
            (config("b", None, Some("eu west")), "`region`"),
            (config("b", Some("nowhere"), None), "`endpoint`"),
            (Config { prefix: "/a".to_owned(), ..config("b", endpoint, None) }, "`prefix`"),
            (Config { in_flight: Some(0), ..config("b", endpoint, None) }, "`in-flight`"),
            (
                Config { addressing: Some(Addressing::VirtualHost), ..config("b", endpoint, None) },
                "`addressing`",
            ),
        ] {
            match wrong.place() {
                Err(Error::Config(failure)) => assert!(failure.message.contains(key), "{failure:?}"),
                other => panic!("{key}: {other:?}"),
            }
        }
    }
}
