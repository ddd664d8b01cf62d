//! Getting a lock: at once if it is free, else through the line.

use std::time::Duration;

use super::BucketLocks;
use super::hold::{Own, Stand};
use super::objects::{Listed, Version};
use super::record::{LONGEST_NAMELESS, Record, State};
use super::watch::Watch;
use crate::clock::Moment;
use crate::keeper::Kept;
use crate::patience::{InLine, Patience};
use crate::{Holder, Lease, LockError, Mode, Proof, Wish};

/// The longest pause of the first in line, between two looks at the lock.
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// How far an attempt has come.
pub(super) enum Step {
    /// The lock is had; its number.
    Had(u64),
    /// It is this side's turn as soon as nobody shares the lock any more.
    Next,
    /// Somebody else is before.
    Behind,
    /// What was written is no longer there: this side stood still for too long.
    Lost,
}

impl InLine for BucketLocks {
    async fn attempt(&self, wish: Wish<'_>, patience: &mut Patience<'_>) -> Result<Option<Lease>, LockError> {
        let mut stand = self.stand(wish);
        match self.get(&mut stand, patience).await {
            Ok(Some(fence)) => Ok(had(stand, fence, patience.waited()).await),
            Ok(None) => {
                _ = stand.withdraw().await;
                Ok(None)
            }
            Err(error) => {
                _ = stand.withdraw().await;
                Err(error)
            }
        }
    }
}

impl BucketLocks {
    fn stand(&self, wish: Wish<'_>) -> Stand {
        let Wish { key, mode, who, .. } = wish;
        Stand {
            objects: self.objects.clone(),
            places: self.places(key),
            holder: Holder::new(key, mode, who, false),
            lease: self.lease,
            own: None,
            in_line: None,
            watch: Watch::default(),
        }
    }

    async fn get(&self, stand: &mut Stand, patience: &mut Patience<'_>) -> Result<Option<u64>, LockError> {
        let step = match stand.holder.mode {
            Mode::Exclusive => {
                let found = self.objects.read(&stand.places.record()).await?;
                stand.take_record(found, false).await?
            }
            Mode::Shared => stand.share().await?,
        };
        match step {
            Step::Had(number) => Ok(Some(number)),
            Step::Next => self.until_nobody_shares(stand, patience).await,
            Step::Behind => self.wait_in_line(stand, patience).await,
            Step::Lost => Ok(None),
        }
    }

    /// Joins a holder that shares the lock, past one who is next. `None` if somebody has it alone.
    pub(super) async fn join_holder(&self, wish: Wish<'_>) -> Result<Option<Lease>, LockError> {
        let mut patience = Patience::new(wish);
        let mut stand = self.stand(Wish { mode: Mode::Shared, ..wish });
        stand.write_shared().await?;
        let holder = stand.holder.clone();
        let shown = self.shown_to(&holder);
        loop {
            let found = self.objects.read(&stand.places.record()).await?;
            match found {
                Some((record, _)) if record.state == State::Held => {
                    // Whoever takes it looks for those who share it after that, and gives way.
                    let listed = self.objects.list(&stand.places.shared_by_all()).await?;
                    if stand.sharers(&listed).is_empty() {
                        stand.withdraw().await?;
                        return Ok(None);
                    }
                    patience.pause(FIRST_PAUSE, &shown).await?;
                }
                other => {
                    let number = other.map_or(0, |(record, _)| record.number);
                    return Ok(had(stand, number, patience.waited()).await);
                }
            }
        }
    }

    /// Waits until nobody shares the lock whose record this side has claimed.
    pub(super) async fn until_nobody_shares(
        &self,
        stand: &mut Stand,
        patience: &mut Patience<'_>,
    ) -> Result<Option<u64>, LockError> {
        let holder = stand.holder.clone();
        let shown = self.shown_to(&holder);
        loop {
            match self.look_who_shares(stand).await {
                Ok(Step::Had(number)) => return Ok(Some(number)),
                Ok(Step::Lost) => return Ok(None),
                Ok(Step::Next | Step::Behind) => {
                    patience.answered();
                    patience.pause(FIRST_PAUSE, &shown).await?;
                }
                // Whoever gave up its claim for this would stand at the end of the line again.
                Err(error) => patience.forgive(error).await?,
            }
        }
    }

    /// Takes the lock if nobody shares it any more.
    async fn look_who_shares(&self, stand: &mut Stand) -> Result<Step, LockError> {
        if !stand.keep_place().await? {
            return Ok(Step::Lost);
        }
        let asked = Moment::now();
        let listed = self.objects.list(&stand.places.all()).await?;
        let mut living = 0;
        for (shared, lease) in stand.sharers(&listed) {
            if stand.watch.is_dead(&shared.path, shared.tag.as_ref(), lease, asked) {
                self.bury(shared).await?;
            } else {
                living += 1;
            }
        }
        let Some(own) = &mut stand.own else { return Ok(Step::Lost) };
        if living > 0 {
            let kept = !own.is_due() || own.renew().await?.is_none();
            return Ok(if kept { Step::Next } else { Step::Lost });
        }
        // Those who shared it until now may have raised the numbers below.
        let below = self.objects.list(&stand.places.all_below()).await?;
        let below = stand.numbers_below(&below).await?;
        let Some(own) = &mut stand.own else { return Ok(Step::Lost) };
        let number = own.record.number.saturating_add(1).saturating_add(below);
        if own.set(State::Held, number).await?.is_some() {
            return Ok(Step::Lost);
        }
        let listed = self.objects.list(&stand.places.all()).await?;
        if stand.sharers(&listed).is_empty() {
            return Ok(Step::Had(number));
        }
        let Some(own) = &mut stand.own else { return Ok(Step::Lost) };
        Ok(if own.set(State::Claimed, number).await?.is_none() { Step::Next } else { Step::Lost })
    }

    /// Ends a shared hold that was found dead, unless it has shown a sign of life by now.
    async fn bury(&self, shared: &Listed) -> Result<(), LockError> {
        let Some((_, version)) = self.objects.read(&shared.path).await? else { return Ok(()) };
        if version.is_in(shared)
            && self.objects.swap(&shared.path, &Record::ended(), &version).await?.is_some()
        {
            self.objects.delete(&shared.path).await?;
        }
        Ok(())
    }
}

impl Stand {
    /// Tries to have the lock alone, whose record was found so. Who isn't first in line gives way to those who stand in it.
    pub(super) async fn take_record(
        &mut self,
        found: Option<(Record, Version)>,
        first_in_line: bool,
    ) -> Result<Step, LockError> {
        if !self.has_taken(found.as_ref()) {
            let (number, over): (u64, Option<Version>) = match found {
                None => (1, None),
                Some((record, version)) if record.state == State::Free => {
                    (record.number.saturating_add(1), Some(version))
                }
                Some(_) => return Ok(Step::Behind),
            };
            let record = Record::new(State::Held, number, &self.holder, self.lease);
            let own = self.own.insert(Own::new(&self.objects, self.places.record(), record));
            let taken = match over {
                None => own.make().await?,
                Some(version) => own.write_over(&version).await?,
            };
            if !taken {
                self.own = None;
                return Ok(Step::Behind);
            }
        }
        // Whoever shares it has written that before it looked at the record, or sees the record and gives way.
        let listed = self.objects.list(&self.places.all_below()).await?;
        let line = self.others(&listed).any(|it| self.places.place_in_line(&it.path).is_some());
        if line && !first_in_line {
            if let Some(own) = self.own.take() {
                own.give_up().await?;
            }
            return Ok(Step::Behind);
        }
        let (below, shared) = (self.numbers_below(&listed).await?, !self.sharers(&listed).is_empty());
        let Some(own) = &mut self.own else { return Ok(Step::Lost) };
        let number = own.record.number.saturating_add(below);
        if shared {
            return Ok(if own.set(State::Claimed, number).await?.is_none() {
                Step::Next
            } else {
                Step::Lost
            });
        }
        let known = own.is_certain() && own.record.state == State::Held && own.record.number == number;
        let kept = known || own.set(State::Held, number).await?.is_none();
        Ok(if kept { Step::Had(number) } else { Step::Lost })
    }

    /// Whether an earlier try has taken the record, though its answer was lost. It counts from when it was sent.
    pub(super) fn has_taken(&self, found: Option<&(Record, Version)>) -> bool {
        let Some((record, _)) = found else { return false };
        self.own.is_some() && record.is_of(&self.holder.id) && !record.released
    }

    /// What all numbers below this lock come to, see [`BucketLocks::fence`]. Nearly always there is none.
    async fn numbers_below(&self, listed: &[Listed]) -> Result<u64, LockError> {
        let mut sum = 0_u64;
        for nested in listed.iter().filter(|it| self.places.is_nested_record(&it.path)) {
            let found = self.objects.read(&nested.path).await?;
            sum = sum.saturating_add(found.map_or(0, |(record, _)| record.number));
        }
        Ok(sum)
    }

    /// Tries to share the lock.
    pub(super) async fn share(&mut self) -> Result<Step, LockError> {
        // What an earlier try may have left.
        self.unshare().await?;
        self.write_shared().await?;
        // Whoever takes it alone has written that before it lists those who share, or sees this one and gives way.
        match self.objects.read(&self.places.record()).await? {
            Some((record, _)) if record.state != State::Free => {
                self.unshare().await?;
                Ok(Step::Behind)
            }
            found => Ok(Step::Had(found.map_or(0, |(record, _)| record.number))),
        }
    }

    async fn write_shared(&mut self) -> Result<(), LockError> {
        let path = self.places.shared(&self.holder.id, self.lease);
        let record = Record::new(State::Held, 0, &self.holder, self.lease);
        self.own.insert(Own::new(&self.objects, path, record)).make().await.map(drop)
    }

    async fn unshare(&mut self) -> Result<(), LockError> {
        let Some(own) = self.own.take() else { return Ok(()) };
        // A name is not used twice: somebody may be about to delete it.
        self.holder.id = Holder::new_id();
        own.give_up().await
    }

    /// The others who share the lock, and their leases.
    pub(super) fn sharers<'a>(&self, listed: &'a [Listed]) -> Vec<(&'a Listed, Duration)> {
        let lease = |it: &'a Listed| Some((it, self.places.lease_of_shared(&it.path)?));
        self.others(listed).filter(|it| it.size > LONGEST_NAMELESS).filter_map(lease).collect()
    }

    /// What others have written.
    fn others<'a>(&self, listed: &'a [Listed]) -> impl Iterator<Item = &'a Listed> {
        let own = [self.own.as_ref(), self.in_line.as_ref()].into_iter().flatten();
        let own: Vec<_> = own.map(|own| own.path.clone()).collect();
        listed.iter().filter(move |listed| !own.contains(&listed.path))
    }

    /// Renews the place in line, if it is time; false if it is gone.
    pub(super) async fn keep_place(&mut self) -> Result<bool, LockError> {
        match &mut self.in_line {
            Some(in_line) if in_line.is_due() => Ok(in_line.renew().await?.is_none()),
            _ => Ok(true),
        }
    }
}

/// Makes a lease of what was written, and leaves the line. `None` if it took too long.
async fn had(mut stand: Stand, fence: u64, waited: Duration) -> Option<Lease> {
    let own = stand.own.as_mut()?;
    // It may have been written for long before it was had.
    if own.is_due() && matches!(own.renew().await, Ok(Some(_))) {
        _ = stand.withdraw().await;
        return None;
    }
    let own = stand.own.take()?;
    let proof = Proof::leased(stand.lease, own.sent);
    let (holder, lease) = (stand.holder.clone(), stand.lease);
    let kept = Kept::new(own, proof.clone(), lease);
    // Those behind may have to wait until it counts as dead, if this fails.
    _ = stand.withdraw().await;
    if proof.loss().is_some() {
        return None;
    }
    Some(Lease::new(holder.key, holder.mode, holder.id, waited, Box::new(kept)).leased(fence, proof))
}
