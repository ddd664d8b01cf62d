//! What a remote was asked.

use std::collections::BTreeMap;
use std::fmt;

use http::{Method, StatusCode};

/// One request and how it was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The operation in the service's own words, such as `PutObject` or `objects.insert`.
    pub operation: &'static str,
    /// The request's method.
    pub method: Method,
    /// The object that it was about, or nothing.
    pub key: String,
    /// The query, as it was sent.
    pub query: String,
    /// The answer.
    pub status: StatusCode,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} ?{}", self.status.as_u16(), self.operation, self.key, self.query)
    }
}

/// Requests in the order in which they were answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Log(pub Vec<Entry>);

impl Log {
    /// How many requests there were of each operation.
    pub fn counts(&self) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        for entry in &self.0 {
            *counts.entry(entry.operation).or_default() += 1;
        }
        counts
    }

    /// How many requests there were.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there were none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|entry| writeln!(f, "{entry}"))
    }
}
