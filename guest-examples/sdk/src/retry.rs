//! Trying again what may pass.

use std::time::Duration;

use crate::{Error, Host, Level, Result};

/// How often an operation is tried before its error is given to the host.
pub(crate) const ATTEMPTS: u32 = 4;

/// The longest that a remote may ask to wait. If it asks for more, the error is given to the host at once.
const LONGEST: Duration = Duration::from_secs(60);

/// Runs `operation`, again if its error may pass, with a growing pause in between.
pub(crate) async fn retry<T>(host: &dyn Host, operation: impl AsyncFn() -> Result<T>) -> Result<T> {
    let mut attempt = 1;
    loop {
        match operation().await {
            Err(error) if wait(host, &error, attempt).await => attempt += 1,
            result => return result,
        }
    }
}

/// Waits before the next attempt; false, at once, if there should be none.
pub(crate) async fn wait(host: &dyn Host, error: &Error, attempt: u32) -> bool {
    let Error::Retry(failure) = error else { return false };
    let asked = failure.retry_after.unwrap_or_default();
    if attempt >= ATTEMPTS || asked > LONGEST || host.cancelled() {
        return false;
    }
    host.log(Level::Debug, &format!("attempt {attempt} of {ATTEMPTS}: {}", failure.message));
    host.pause(backoff(attempt).max(asked)).await;
    true
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
