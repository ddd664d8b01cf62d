//! One bounded wait: the only place where the deadline is checked, the pauses grow and the wait is announced.

use std::time::Duration;

use tokio::time::Instant;

use crate::{BoxFuture, Holder, Lease, LockError, Waiting, Wish};

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
    wish: Wish<'a>,
    started: Instant,
    pause: Duration,
    notice_at: Duration,
    failures: u32,
}

/// How often in a row a store may be out of reach during one wait.
const FORGIVEN: u32 = 5;

impl<'a> Patience<'a> {
    /// Begins to wait.
    pub(crate) fn new(wish: Wish<'a>) -> Self {
        Self { wish, started: Instant::now(), pause: FIRST_PAUSE, notice_at: FIRST_NOTICE, failures: 0 }
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
            if waited >= self.wish.wait {
                let (key, mode) = (self.wish.key.clone(), self.wish.mode);
                return Err(LockError::TimedOut { key, mode, waited, holders: holders().await });
            }
            if waited >= self.notice_at {
                self.notice_at = waited.saturating_add(NEXT_NOTICE);
                let (key, mode) = (self.wish.key.clone(), self.wish.mode);
                (self.wish.on_wait)(&Waiting { key, mode, waited, holders: holders().await });
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

    /// Notes that the store has answered.
    pub(crate) fn answered(&mut self) {
        self.failures = 0;
    }

    /// Begins with short pauses again, since something has changed.
    pub(crate) fn afresh(&mut self) {
        self.pause = FIRST_PAUSE;
    }

    /// How much of it is left.
    pub(crate) fn left(&self) -> Duration {
        self.wish.wait.saturating_sub(self.waited())
    }
}

/// A store whose locks have leases, so that even a place in line may be lost.
pub(crate) trait InLine: Sync {
    /// Gets a lock: at once if it is free, else from the end of the line. `None` if the place was lost meanwhile.
    fn attempt(
        &self,
        wish: Wish<'_>,
        patience: &mut Patience<'_>,
    ) -> impl Future<Output = Result<Option<Lease>, LockError>> + Send;
}

/// Gets a lock. Who loses its place, since it stood still for too long, goes to the end of the line.
pub(crate) async fn insist(store: &impl InLine, wish: Wish<'_>) -> Result<Lease, LockError> {
    let mut patience = Patience::new(wish);
    loop {
        match store.attempt(wish, &mut patience).await {
            Ok(Some(lease)) => return Ok(lease),
            Ok(None) => {
                patience.answered();
                patience.pause(Duration::from_millis(50), &nobody).await?;
            }
            Err(error) => patience.forgive(error).await?,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::{Identity, LockKey, Mode};

    fn me() -> Identity {
        Identity { user: "ada".into(), host: "mill".into(), pid: 1, command: "test".into() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_is_announced_after_a_second_and_then_every_ten_and_ends_on_time() {
        let (key, who) = (LockKey::parse("sync").unwrap(), me());
        let notices = Mutex::new(Vec::new());
        let on_wait = |waiting: &Waiting| notices.lock().unwrap().push(waiting.waited.as_secs());
        let mut patience = Patience::new(
            Wish::new(&key, Mode::Shared, &who).within(Duration::from_secs(25)).telling(&on_wait),
        );
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
        let (key, who) = (LockKey::parse("sync").unwrap(), me());
        let mut patience = Patience::new(Wish::new(&key, Mode::Shared, &who));
        assert!(patience.pause(Duration::from_millis(50), &nobody).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_up_to_their_longest() {
        let (key, who) = (LockKey::parse("sync").unwrap(), me());
        let mut patience = Patience::new(Wish::new(&key, Mode::Shared, &who).within(Duration::MAX));
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
