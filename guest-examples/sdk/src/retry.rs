//! Trying again what may pass.

use std::time::Duration;

use crate::{Error, Host, Level, Result};

/// How often an operation is tried before its error is given to the host.
const ATTEMPTS: u32 = 4;

/// Runs `operation`, again if its error may pass, with a growing pause in between.
pub(crate) fn retry<T>(host: &dyn Host, mut operation: impl FnMut() -> Result<T>) -> Result<T> {
    let mut attempt = 1;
    loop {
        match operation() {
            Err(Error::Retry(failure)) if attempt < ATTEMPTS && !host.cancelled() => {
                host.log(Level::Debug, &format!("attempt {attempt} of {ATTEMPTS}: {}", failure.message));
                host.pause(backoff(attempt));
                attempt += 1;
            }
            result => return result,
        }
    }
}

/// Stops the call between two files if the host asks for it.
pub(crate) fn check_cancelled(host: &dyn Host) -> Result<()> {
    if host.cancelled() { Err(Error::retry("cancelled by the host")) } else { Ok(()) }
}

/// Doubles with each attempt; jittered, so that those who collided don't collide again.
pub(crate) fn backoff(attempt: u32) -> Duration {
    let most = 100_u64 << attempt.min(6);
    // Without random numbers the pause is the longest one.
    let jitter = getrandom::u64().map_or(0, |random| random % (most / 2));
    Duration::from_millis(most - jitter)
}
