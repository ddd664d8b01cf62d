use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use wasmtime::ResourceLimiter;

use crate::error::LimitHit;

/// A number of bytes, written like `512MiB`, `64 KiB` or `1048576`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Bytes(pub u64);

impl TryFrom<String> for Bytes {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

const UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a size; write it like 512MiB, 64KiB or 1048576");
        let (digits, unit) = UNITS
            .iter()
            .find_map(|(name, unit)| text.strip_suffix(name).map(|digits| (digits, *unit)))
            .unwrap_or((text, 1));
        let number: u64 = digits.trim().parse().map_err(|_| wrong())?;
        number.checked_mul(unit).map(Bytes).ok_or_else(wrong)
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = UNITS.iter().find(|(_, unit)| self.0 >= *unit && self.0.is_multiple_of(*unit));
        let (name, unit) = fits.copied().unwrap_or(("B", 1));
        write!(f, "{} {name}", self.0 / unit)
    }
}

/// Reads a duration, written like `90s`, `500ms`, `10m` or `2h`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let parsed = humantime::parse_duration(text);
    parsed.map_err(|_| format!("`{text}` is not a duration; write it like 90s, 500ms, 10m or 2h"))
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    parse_duration(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

/// What one call may use. The defaults leave room for a guest that brings an interpreter along.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Limits {
    /// Linear memory, all memories of the call together.
    pub memory: Bytes,
    /// Elements of all tables together.
    pub table_elements: u64,
    /// Core instances, memories and tables, each.
    pub instances: u32,
    /// What the host keeps for the guest at once: open files, streams, requests, hashers.
    pub resources: u32,
    /// The guest's stack.
    pub stack: Bytes,
    /// How long a call may take by the clock on the wall.
    #[serde(deserialize_with = "duration")]
    pub time: Duration,
    /// What it may write to standard output and error together, and the longest text it may return.
    pub output: Bytes,
    /// What it may write to the host's log.
    pub log: Bytes,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: Bytes(512 << 20),
            table_elements: 1_000_000,
            instances: 1_000,
            resources: 100_000,
            stack: Bytes(1 << 20),
            time: Duration::from_secs(30 * 60),
            output: Bytes(1 << 20),
            log: Bytes(1 << 20),
        }
    }
}

/// Counts what a call uses and remembers the first limit it met.
///
/// A guest sees a refused growth as "out of memory" and traps in its own way; what was hit tells the user which option it was.
pub(crate) struct Limiter {
    limits: Limits,
    memory: u64,
    table_elements: u64,
    pub(crate) hit: Option<LimitHit>,
}

impl Limiter {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, memory: 0, table_elements: 0, hit: None }
    }

    fn refuse(&mut self, option: &'static str, limit: String) -> wasmtime::Result<bool> {
        self.hit.get_or_insert(LimitHit { option, limit });
        Ok(false)
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self.memory.saturating_add(desired.saturating_sub(current) as u64);
        if total > self.limits.memory.0 {
            return self.refuse("memory", self.limits.memory.to_string());
        }
        self.memory = total;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self.table_elements.saturating_add(desired.saturating_sub(current) as u64);
        if total > self.limits.table_elements {
            return self.refuse("table-elements", self.limits.table_elements.to_string());
        }
        self.table_elements = total;
        Ok(true)
    }

    fn instances(&self) -> usize {
        self.limits.instances as usize
    }

    fn tables(&self) -> usize {
        self.limits.instances as usize
    }

    fn memories(&self) -> usize {
        self.limits.instances as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_back_as_they_are_shown() {
        for (text, bytes, shown) in
            [("512MiB", 512 << 20, "512 MiB"), ("64 KiB", 64 << 10, "64 KiB"), ("1000", 1000, "1000 B")]
        {
            let parsed: Bytes = text.parse().unwrap();
            assert_eq!(parsed, Bytes(bytes));
            assert_eq!(parsed.to_string(), shown);
            assert_eq!(shown.parse(), Ok(parsed));
        }
        assert!("".parse::<Bytes>().is_err() && "12MB".parse::<Bytes>().is_err());
        assert!("99999999999GiB".parse::<Bytes>().is_err());
    }

    #[test]
    fn growth_beyond_the_limit_is_refused_and_named() {
        let mut limiter = Limiter::new(Limits { memory: Bytes(100), ..Limits::default() });
        assert!(limiter.memory_growing(0, 60, None).unwrap());
        assert!(!limiter.memory_growing(0, 60, None).unwrap());
        assert_eq!(limiter.hit.unwrap().option, "memory");
    }
}
