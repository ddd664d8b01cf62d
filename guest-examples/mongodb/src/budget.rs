//! How much content is in memory at a time, whatever the number of files that travel at once.

use async_lock::{Mutex, Semaphore, SemaphoreGuard};

/// The smallest share.
const UNIT: usize = 16 * 1024;

/// So many bytes, to be shared.
pub struct Budget {
    units: Semaphore,
    most: usize,
    /// One takes at a time, so nobody waits with half of what it needs.
    turn: Mutex<()>,
}

/// A share. It is given back when it is dropped.
pub struct Share<'a>(#[expect(dead_code, reason = "it is held")] Vec<SemaphoreGuard<'a>>);

impl Budget {
    /// Has so many bytes to share.
    pub fn new(bytes: usize) -> Self {
        let most = bytes.div_ceil(UNIT).max(1);
        Self { units: Semaphore::new(most), most, turn: Mutex::new(()) }
    }

    /// Waits for so many bytes, or for all if there are fewer. Who has a share must not ask for another one.
    pub async fn take(&self, bytes: usize) -> Share<'_> {
        let _turn = self.turn.lock().await;
        let mut units = Vec::new();
        for _ in 0..bytes.div_ceil(UNIT).clamp(1, self.most) {
            units.push(self.units.acquire().await);
        }
        Share(units)
    }
}
