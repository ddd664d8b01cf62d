use std::time::Duration;

/// A moment on this machine's own clock, which nobody sets and which goes on while the machine sleeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(Duration);

impl Moment {
    /// This very moment.
    pub(crate) fn now() -> Self {
        // Elsewhere this one goes on during sleep; on Linux it would stand still.
        #[cfg(any(target_os = "linux", target_os = "android"))]
        use rustix::time::ClockId::Boottime as Awake;
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        use rustix::time::ClockId::Monotonic as Awake;
        let now = rustix::time::clock_gettime(Awake);
        let (seconds, nanoseconds) = (u64::try_from(now.tv_sec), u32::try_from(now.tv_nsec));
        // Neither is ever negative.
        Self(Duration::new(seconds.unwrap_or(0), nanoseconds.unwrap_or(0)))
    }

    /// This much later.
    pub(crate) fn plus(self, time: Duration) -> Self {
        Self(self.0.saturating_add(time))
    }

    /// How long it is from now until then; zero once it has passed.
    pub(crate) fn left(self) -> Duration {
        self.0.saturating_sub(Self::now().0)
    }
}
