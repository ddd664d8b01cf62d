//! Taking the plan's locks, and giving them back.

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::PoisonError;
use std::time::Instant;

use futures_util::FutureExt;
use lockkeeper_locks::{Lease, LockKey, Mode, Wish};
use lockkeeper_names::Digest;
use lockkeeper_policy::{Access, Lock, LockName, Plan, Reach};
use lockkeeper_sandbox::LogLevel;

use super::Session;
use crate::error::Error;
use crate::report::{LockReport, milliseconds};

impl Session {
    /// Names this repository's locks, to tell them from those of another remote.
    pub(super) fn space(&self) -> String {
        let place = format!("{} {}", self.store.kind(), self.store.place());
        Digest::of(place.as_bytes()).to_string().chars().take(16).collect()
    }

    /// Fails at once if a command around this one holds what the plan wants: waiting for it would never end.
    fn refuse_nested(&self, reach: &Reach) -> Result<(), Error> {
        let space = self.space();
        for held in self.machine.outer.iter().filter(|held| held.space == space) {
            let wanted = match reach {
                Reach::ReadOnly => None,
                Reach::Structural => Some("a command on the whole repository".to_owned()),
                Reach::Models(models) => models
                    .iter()
                    .find(|model| held.models.iter().any(|outer| outer.overlaps(model)))
                    .map(|model| format!("model {model}")),
            };
            if let Some(wanted) = wanted {
                let outer: Vec<String> = held.models.iter().map(ToString::to_string).collect();
                return Err(Error::Nested { outer: outer.join(", "), wanted });
            }
        }
        Ok(())
    }

    /// Whether a command around this one holds the lock shared already. Whoever waits for that one waits for this one too.
    fn outer_shares(&self, name: &LockName) -> bool {
        let space = self.space();
        self.machine.outer.iter().filter(|held| held.space == space).any(|held| match name {
            LockName::Repository => true,
            LockName::Model(model) => {
                held.models.iter().any(|outer| outer.ancestors().any(|it| it == *model))
            }
            LockName::Sync => false,
        })
    }

    /// Takes the plan's locks, does the work, and gives the locks back, the last one first.
    pub(super) async fn holding<T>(
        &self,
        reach: &Reach,
        plan: &Plan,
        work: impl AsyncFnOnce() -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.refuse_nested(reach)?;
        let deadline = self.deadline();
        let mut leases = Vec::new();
        for lock in &plan.locks {
            match self.acquire(lock, deadline).await {
                Ok(lease) => leases.push((lock, lease)),
                Err(error) => {
                    self.give_back(leases).await;
                    return Err(error);
                }
            }
        }
        // A panic gives the locks back as well, before it goes on.
        let result = AssertUnwindSafe(work()).catch_unwind().await;
        let lost = self.holds.lost();
        self.give_back(leases).await;
        match (result, lost) {
            (Err(panic), _) => resume_unwind(panic),
            // Whatever failed, failed for that.
            (Ok(Err(_)), Some(lost)) => Err(lost.into()),
            (Ok(result), _) => result,
        }
    }

    /// Gives locks back, the last one first, and notes them for the report.
    async fn give_back(&self, leases: Vec<(&Lock, Lease)>) {
        let mut reports: Vec<_> = leases.iter().map(|(lock, lease)| lock_report(lock, lease)).collect();
        for (_, lease) in leases.into_iter().rev() {
            self.release(lease).await;
        }
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        reports.append(&mut journal.locks);
        journal.locks = reports;
    }

    /// Gives a lock back. All is done by now, and a lock that can't be given back frees itself: in a moment, or when its lease runs out.
    async fn release(&self, lease: Lease) {
        self.holds.remove(&lease);
        let key = lease.key().clone();
        if let Err(error) = lease.release().await {
            let text = format!("the lock `{key}` could not be given back and will free itself: {error}");
            self.machine.events.log(LogLevel::Warn, &text);
        }
    }

    /// Until when to wait for locks that are asked for now.
    fn deadline(&self) -> Instant {
        Instant::now() + self.machine.wait.unwrap_or_else(|| self.repository.config().locks.wait())
    }

    async fn acquire(&self, lock: &Lock, deadline: Instant) -> Result<Lease, Error> {
        let key = lock_key(&lock.name)?;
        let wish = Wish {
            key: &key,
            mode: mode(lock.access),
            who: &self.machine.identity,
            wait: deadline.saturating_duration_since(Instant::now()),
            on_wait: self.machine.on_wait.as_ref(),
        };
        let lease = if lock.access == Access::Shared && self.outer_shares(&lock.name) {
            self.store.join(wish)
        } else {
            self.store.acquire(wish)
        };
        let lease = tokio::select! {
            lease = lease => lease?,
            () = self.machine.stop.cancelled() => {
                return Err(Error::Interrupted { doing: format!("waiting for the lock `{key}`") });
            }
            lost = self.holds.until_lost() => return Err(lost.into()),
        };
        self.holds.add(&lock.name, &lease);
        Ok(lease)
    }

    /// Does the work under the lock that the extension needs around each push and pull, if it needs one.
    pub(super) async fn around_sync<T>(
        &self,
        plan: &Plan,
        work: impl AsyncFnOnce() -> Result<T, Error>,
    ) -> Result<T, Error> {
        let Some(lock) = &plan.around_sync else { return work().await };
        let lease = self.acquire(lock, self.deadline()).await?;
        let result = AssertUnwindSafe(work()).catch_unwind().await;
        let lost = self.holds.lost();
        self.journal.lock().unwrap_or_else(PoisonError::into_inner).locks.push(lock_report(lock, &lease));
        self.release(lease).await;
        match (result, lost) {
            (Err(panic), _) => resume_unwind(panic),
            (Ok(Err(_)), Some(lost)) => Err(lost.into()),
            (Ok(result), _) => result,
        }
    }
}

fn mode(access: Access) -> Mode {
    match access {
        Access::Shared => Mode::Shared,
        Access::Exclusive => Mode::Exclusive,
    }
}

fn lock_key(name: &LockName) -> Result<LockKey, Error> {
    let text = match name {
        LockName::Repository => "repository".to_owned(),
        LockName::Model(model) => format!("model/{model}"),
        LockName::Sync => "sync".to_owned(),
    };
    LockKey::parse(&text).map_err(|error| Error::Internal { problem: error.to_string() })
}

fn lock_report(lock: &Lock, lease: &Lease) -> LockReport {
    LockReport {
        kind: match lock.name {
            LockName::Repository => "repository",
            LockName::Model(_) => "model",
            LockName::Sync => "sync",
        },
        key: lease.key().clone(),
        mode: lease.mode(),
        wait_ms: milliseconds(lease.waited()),
        hold_ms: milliseconds(lease.held_since().elapsed()),
        fence: lease.fence(),
    }
}
