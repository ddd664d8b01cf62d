//! How the bucket is configured.

use lockkeeper_http::{Endpoint, check_in_flight, check_prefix};
use lockkeeper_sdk::{Error, Result};
use serde::Deserialize;

/// Google's own endpoint.
const GOOGLE: &str = "https://storage.googleapis.com";

/// The values of `[datastore.config]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Config {
    /// The bucket's name.
    bucket: String,
    /// Where the store is.
    endpoint: Option<String>,
    /// What all keys begin with.
    #[serde(default)]
    prefix: String,
    /// How many requests may be in flight at once.
    in_flight: Option<usize>,
}

/// Where the bucket is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) bucket: String,
    pub(crate) endpoint: Endpoint,
    /// Empty, or ends in `/`.
    pub(crate) prefix: String,
    pub(crate) in_flight: usize,
}

impl Config {
    pub(crate) fn place(self) -> Result<Place> {
        if self.bucket.is_empty() || self.bucket.contains(['/', '?', '#', ' ']) {
            let message = format!("`bucket` is {:?}: it must be the name of a bucket", self.bucket);
            return Err(Error::config(message));
        }
        Ok(Place {
            bucket: self.bucket,
            endpoint: Endpoint::parse("endpoint", self.endpoint.as_deref().unwrap_or(GOOGLE))?,
            prefix: check_prefix("prefix", &self.prefix)?,
            in_flight: check_in_flight("in-flight", self.in_flight)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(bucket: &str) -> Config {
        Config { bucket: bucket.to_owned(), endpoint: None, prefix: String::new(), in_flight: None }
    }

    #[test]
    fn the_endpoint_is_googles_unless_configured() {
        assert_eq!(config("b").place().unwrap().endpoint.origin(), GOOGLE);
        let emulator = Config { endpoint: Some("http://localhost:4443".to_owned()), ..config("b") };
        assert_eq!(emulator.place().unwrap().endpoint.origin(), "http://localhost:4443");
    }

    #[test]
    fn a_wrong_value_is_an_error_that_names_its_key() {
        for (wrong, key) in [
            (config(""), "`bucket`"),
            (config("gs://b"), "`bucket`"),
            (Config { endpoint: Some("nowhere".to_owned()), ..config("b") }, "`endpoint`"),
            (Config { prefix: "/a".to_owned(), ..config("b") }, "`prefix`"),
            (Config { in_flight: Some(0), ..config("b") }, "`in-flight`"),
        ] {
            match wrong.place() {
                Err(Error::Config(failure)) => assert!(failure.message.contains(key), "{failure:?}"),
                other => panic!("{key}: {other:?}"),
            }
        }
    }
}
