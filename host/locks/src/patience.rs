//! One bounded wait: the only place where the deadline is checked, the pauses grow and the wait is announced.

use std::time::Duration;

use tokio::time::Instant;

use crate::{BoxFuture, Holder, LockError, LockKey, Mode, OnWait, Waiting};

const FIRST_PAUSE: Duration = Duration::from_millis(1);
const FIRST_NOTICE: Duration = Duration::from_secs(1);
const NEXT_NOTICE: Duration = Duration::from_secs(10);

/// Finds out who holds a lock, for a message.
pub(crate) type Shown<'a> = dyn Fn() -> BoxFuture<'a, Vec<Holder>> + Send + Sync + 'a;

/// For a pause in which that doesn't matter.
pub(crate) fn nobody() -> BoxFuture<'static, Vec<Holder>> {
    Box::pin(std::future::ready(Vec::new()))
}

/// What is left of a wait for one lock.
pub(crate) struct Patience<'a> {
    key: &'a LockKey,
    mode: Mode,
    started: Instant,
    limit: Duration,
    pause: Duration,
    notice_at: Duration,
    failures: u32,
    on_wait: &'a OnWait<'a>,
}

/// How often a store may be out of reach during one wait.
const FORGIVEN: u32 = 5;

impl<'a> Patience<'a> {
    /// Begins a wait that ends after `limit`.
    pub(crate) fn new(key: &'a LockKey, mode: Mode, limit: Duration, on_wait: &'a OnWait<'a>) -> Self {
        let started = Instant::now();
        Self { key, mode, started, limit, pause: FIRST_PAUSE, notice_at: FIRST_NOTICE, failures: 0, on_wait }
    }

    /// How long the wait has lasted.
    pub(crate) fn waited(&self) -> Duration {
        self.started.elapsed()
    }

    /// Sleeps a little before the next try, at most `longest`, or ends the wait if its time is over.
    pub(crate) async fn pause(&mut self, longest: Duration, holders: &Shown<'_>) -> Result<(), LockError> {
        // Jitter, so that those who began to wait together don't try together.
        let pause = self.pause.min(longest).mul_f64(0.5 + fastrand::f64() / 2.0);
        self.pause = self.pause.saturating_mul(2).min(longest);
        // The last pause ends with the wait, and then there is one more try.
        let pause = pause.min(self.left().max(Duration::from_nanos(1)));
        self.until(tokio::time::sleep(pause), holders).await
    }

    /// Waits for an event, or ends the wait if its time is over before.
    pub(crate) async fn until<T>(
        &mut self,
        event: impl Future<Output = T>,
        holders: &Shown<'_>,
    ) -> Result<T, LockError> {
        let mut event = std::pin::pin!(event);
        loop {
            let waited = self.waited();
            if waited >= self.limit {
                let (key, mode) = (self.key.clone(), self.mode);
                return Err(LockError::TimedOut { key, mode, waited, holders: holders().await });
            }
            if waited >= self.notice_at {
                self.notice_at = waited.saturating_add(NEXT_NOTICE);
                let (key, mode) = (self.key.clone(), self.mode);
                (self.on_wait)(&Waiting { key, mode, waited, holders: holders().await });
            }
            let next = self.notice_at.saturating_sub(waited).min(self.left());
            tokio::select! {
                biased;
                value = &mut event => return Ok(value),
                () = tokio::time::sleep(next) => {}
            }
        }
    }

    /// Waits a little after an error that may be over soon; gives it back if it is another one, or one too many.
    pub(crate) async fn forgive(&mut self, error: LockError) -> Result<(), LockError> {
        if !matches!(error, LockError::Unreachable { .. }) || self.failures == FORGIVEN {
            return Err(error);
        }
        self.failures += 1;
        self.pause(Duration::from_secs(1), &nobody).await.map_err(|_| error)
    }

    /// How much of it is left.
    pub(crate) fn left(&self) -> Duration {
        self.limit.saturating_sub(self.waited())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_wait_is_announced_after_a_second_and_then_every_ten_and_ends_on_time() {
        let key = LockKey::parse("sync").unwrap();
        let notices = Mutex::new(Vec::new());
        let on_wait = |waiting: &Waiting| notices.lock().unwrap().push(waiting.waited.as_secs());
        let mut patience = Patience::new(&key, Mode::Shared, Duration::from_secs(25), &on_wait);
        let error = loop {
            if let Err(error) = patience.pause(Duration::from_millis(50), &nobody).await {
                break error;
            }
        };
        assert!(matches!(error, LockError::TimedOut { waited, .. } if waited.as_secs() == 25), "{error}");
        assert_eq!(*notices.lock().unwrap(), [1, 11, 21]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_of_no_time_ends_without_a_pause() {
        let key = LockKey::parse("sync").unwrap();
        let mut patience = Patience::new(&key, Mode::Shared, Duration::ZERO, &|_| ());
        assert!(patience.pause(Duration::from_millis(50), &nobody).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_up_to_their_longest() {
        let key = LockKey::parse("sync").unwrap();
        let mut patience = Patience::new(&key, Mode::Shared, Duration::MAX, &|_| ());
        let mut pauses = Vec::new();
        for _ in 0..20 {
            let before = patience.waited();
            patience.pause(Duration::from_millis(50), &nobody).await.unwrap();
            pauses.push(patience.waited() - before);
        }
        assert!(pauses[0] <= Duration::from_millis(2), "{pauses:?}");
        assert!(pauses[19] >= Duration::from_millis(25), "{pauses:?}");
        assert!(pauses.iter().all(|pause| *pause <= Duration::from_millis(51)), "{pauses:?}");
    }
}
