//! Trying a part of an operation again, where starting over would cost too much.

use std::time::Duration;

use lockkeeper_sdk::{Error, Result};

/// How often a part is tried.
const ATTEMPTS: u32 = 4;
/// The longest that a store may ask to wait; beyond that the whole operation fails.
const LONGEST: Duration = Duration::from_secs(30);

/// Runs one part of an operation, again if its error may pass.
///
/// The SDK tries whole operations again; this is for a part of an upload, or another step that can be repeated by itself.
pub async fn retrying<T>(part: impl AsyncFn() -> Result<T>) -> Result<T> {
    for attempt in 1.. {
        match part().await {
            Err(Error::Retry(failure)) if attempt < ATTEMPTS => {
                let asked = failure.retry_after.unwrap_or_default();
                if asked > LONGEST {
                    return Err(Error::Retry(failure));
                }
                wstd::task::sleep(backoff(attempt).max(asked).into()).await;
            }
            result => return result,
        }
    }
    Err(Error::retry("tried too often"))
}

/// Doubles with each attempt; jittered, so that those who collided don't collide again.
fn backoff(attempt: u32) -> Duration {
    let most = 200_u64 << attempt.min(6);
    let jitter = getrandom::u64().map_or(0, |random| random % (most / 2));
    Duration::from_millis(most - jitter)
}
