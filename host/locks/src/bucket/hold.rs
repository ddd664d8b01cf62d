//! Objects that one hold of a lock, or one wait for it, has written.

use std::time::Duration;

use object_store::path::Path;

use super::objects::{Objects, Version};
use super::record::{Places, Record, State};
use crate::clock::Moment;
use crate::keeper::{Hold, Setback, in_background};
use crate::{Holder, LockError, Loss, Mode};

/// An object that is this side's own for as long as nobody else writes it.
pub(super) struct Own {
    objects: Objects,
    pub(super) path: Path,
    pub(super) record: Record,
    /// Absent if the answer to the write isn't known.
    version: Option<Version>,
    /// Before the last write was sent.
    pub(super) sent: Moment,
}

impl Own {
    /// An object that is about to be written.
    pub(super) fn new(objects: &Objects, path: Path, record: Record) -> Self {
        Self { objects: objects.clone(), path, record, version: None, sent: Moment::now() }
    }

    /// Makes it; false if there is one.
    pub(super) async fn make(&mut self) -> Result<bool, LockError> {
        self.sent = Moment::now();
        self.version = self.objects.make(&self.path, &self.record).await?;
        Ok(self.version.is_some())
    }

    /// Writes it over another version; false if that is there no longer.
    pub(super) async fn write_over(&mut self, version: &Version) -> Result<bool, LockError> {
        let sent = Moment::now();
        let written = self.objects.swap(&self.path, &self.record, version).await?;
        if written.is_some() {
            (self.version, self.sent) = (written, sent);
        }
        Ok(self.version.is_some())
    }

    /// Writes it again with another content; false if it is this side's own no longer.
    pub(super) async fn set(&mut self, state: State, number: u64) -> Result<bool, LockError> {
        let Some(version) = self.version.take() else { return Ok(false) };
        let record = Record { state, number, ..self.record.clone() };
        let sent = Moment::now();
        let written = self.objects.swap(&self.path, &record, &version).await;
        // If that failed, it is as it was, or not known.
        if let Some(version) = written? {
            (self.version, self.record, self.sent) = (Some(version), record, sent);
            return Ok(true);
        }
        Ok(false)
    }

    /// Writes it again as it is; false if it is this side's own no longer.
    pub(super) async fn renew(&mut self) -> Result<bool, LockError> {
        let (state, number) = (self.record.state, self.record.number);
        let before = self.version.clone();
        let renewed = self.set(state, number).await;
        if renewed.is_err() {
            // It is tried again, and then either version may be there.
            self.version = before;
        }
        renewed
    }

    /// Whether it is time to renew it.
    pub(super) fn is_due(&self) -> bool {
        self.sent.plus(self.record.lease() / 3).left().is_zero()
    }

    /// Gives it up, if it is still this side's own.
    pub(super) async fn give_up(mut self) -> Result<(), LockError> {
        let Some(own) = self.record.holder.clone() else { return Ok(()) };
        let end = match (self.record.state, own.mode) {
            (State::InLine, _) => return self.objects.delete(&self.path).await,
            (_, Mode::Exclusive) => Record::free(self.record.number),
            (_, Mode::Shared) => Record { state: State::Ended, ..self.record.clone() },
        };
        let mut version = self.version.take();
        // Twice: a renewal whose answer was lost, or a release by somebody else, has left another version.
        for _ in 0..2 {
            let known = match version.take() {
                Some(version) => version,
                None => match self.objects.read(&self.path).await? {
                    Some((record, version)) if record.holder.as_ref().is_some_and(|it| it.id == own.id) => {
                        version
                    }
                    _ => return Ok(()),
                },
            };
            if self.objects.swap(&self.path, &end, &known).await?.is_some() {
                break;
            }
        }
        match end.state {
            State::Ended => self.objects.delete(&self.path).await,
            _ => Ok(()),
        }
    }
}

/// What is written on the way to a lock. Dropped before the lock is had, it is withdrawn.
pub(super) struct Stand {
    pub(super) objects: Objects,
    pub(super) places: Places,
    pub(super) holder: Holder,
    pub(super) lease: Duration,
    /// What will be the hold.
    pub(super) own: Option<Own>,
    pub(super) in_line: Option<Own>,
}

impl Stand {
    /// Takes back all that was written.
    pub(super) async fn withdraw(mut self) -> Result<(), LockError> {
        let (own, in_line) = (self.own.take(), self.in_line.take());
        withdraw(own, in_line).await
    }
}

async fn withdraw(own: Option<Own>, in_line: Option<Own>) -> Result<(), LockError> {
    // The lock first: it can be had before the line moves up.
    let given_up = match own {
        Some(own) => own.give_up().await,
        None => Ok(()),
    };
    if let Some(in_line) = in_line {
        in_line.give_up().await?;
    }
    given_up
}

impl Drop for Stand {
    fn drop(&mut self) {
        let (own, in_line) = (self.own.take(), self.in_line.take());
        if own.is_some() || in_line.is_some() {
            // What can't be withdrawn counts as dead after its lease.
            in_background(async move { _ = withdraw(own, in_line).await });
        }
    }
}

impl Hold for Own {
    async fn renew(&mut self) -> Result<(), Setback> {
        if Own::renew(self).await? {
            return Ok(());
        }
        let own = self.record.holder.as_ref().map(|holder| holder.id.clone());
        let found = self.objects.read(&self.path).await?;
        let is_own = |record: &Record| record.holder.as_ref().map(|holder| holder.id.clone()) == own;
        Err(Setback::Lost(match found {
            Some((record, _)) if is_own(&record) && record.released => Loss::Released,
            Some((record, version)) if is_own(&record) => {
                // An earlier renewal did arrive, though its answer did not.
                self.version = Some(version);
                return Ok(());
            }
            _ => Loss::Gone,
        }))
    }

    async fn give_back(self) -> Result<(), LockError> {
        self.give_up().await
    }
}
