//! Getting a lock: at once if it is free, else through the line.

use std::time::Duration;

use super::BucketLocks;
use super::hold::{Own, Stand};
use super::objects::{Listed, Version};
use super::record::{Record, State, number_in_line};
use super::watch::Watch;
use crate::clock::Moment;
use crate::keeper::Kept;
use crate::patience::{InLine, Patience};
use crate::{BoxFuture, Holder, Identity, Lease, LockError, Mode, Proof, Wish};

/// The longest pause of the first in line, between two looks at the lock.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause of all others, between two looks at the one before.
const LINE_PAUSE: Duration = Duration::from_secs(1);

/// How far an attempt has come.
enum Step {
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
        }
    }

    async fn get(&self, stand: &mut Stand, patience: &mut Patience<'_>) -> Result<Option<u64>, LockError> {
        let step = match stand.holder.mode {
            Mode::Exclusive => stand.take_record(false).await?,
            Mode::Shared => stand.share().await?,
        };
        match step {
            Step::Had(number) => Ok(Some(number)),
            Step::Next => self.until_nobody_shares(stand, patience).await,
            Step::Behind => self.stand_in_line(stand, patience).await,
            Step::Lost => Ok(None),
        }
    }

    /// Joins a holder that shares the lock, past one who is next. `None` if somebody has it alone.
    pub(super) async fn join_holder(&self, wish: Wish<'_>) -> Result<Option<Lease>, LockError> {
        let mut patience = Patience::new(wish);
        let mut stand = self.stand(Wish { mode: Mode::Shared, ..wish });
        let shown = || -> BoxFuture<'_, _> { Box::pin(self.shown_except(wish.key, &stand.holder.id)) };
        let path = stand.places.shared(&stand.holder.id);
        let record = Record::new(State::Held, 0, &stand.holder, stand.lease);
        stand.own.insert(Own::new(&stand.objects, path, record)).make().await?;
        loop {
            let found = self.objects.read(&stand.places.record()).await?;
            match found {
                Some((record, _)) if record.state == State::Held => {
                    // Whoever takes it looks for those who share it after that, and gives way.
                    let shared = self.objects.list(&stand.places.all()).await?;
                    if !stand.others(&shared).any(|it| stand.is_shared(it)) {
                        stand.withdraw().await?;
                        return Ok(None);
                    }
                    let shown = &|| shown();
                    patience.pause(FIRST_PAUSE, shown).await?;
                }
                other => {
                    let number = other.map_or(0, |(record, _)| record.number);
                    return Ok(had(stand, number, patience.waited()).await);
                }
            }
        }
    }

    /// Waits until nobody is before this side in line, then for the lock.
    async fn stand_in_line(
        &self,
        stand: &mut Stand,
        patience: &mut Patience<'_>,
    ) -> Result<Option<u64>, LockError> {
        let holder = stand.holder.clone();
        let shown = || -> BoxFuture<'_, _> { Box::pin(self.shown_except(&holder.key, &holder.id)) };
        if patience.left().is_zero() {
            // Somebody who doesn't wait needs no place.
            patience.pause(FIRST_PAUSE, &shown).await?;
        }
        let listed = self.objects.list(&stand.places.line()).await?;
        let number = listed.iter().filter_map(|it| number_in_line(&it.path)).max().unwrap_or(0) + 1;
        let place = stand.places.in_line(number, &holder.id);
        let record = Record::new(State::InLine, number, &holder, stand.lease);
        let in_line = stand.in_line.insert(Own::new(&stand.objects, place.clone(), record));
        in_line.make().await?;

        let mut watch = Watch::default();
        loop {
            // Names are in order; whoever takes a number at the same time may stand before or behind.
            let listed = self.objects.list(&stand.places.line()).await?;
            if !listed.iter().any(|it| it.path == place) {
                return Ok(None);
            }
            let Some(before) = listed.into_iter().map(|it| it.path).filter(|path| *path < place).max() else {
                break;
            };
            loop {
                let asked = Moment::now();
                let (record, version) = match self.objects.read(&before).await {
                    Ok(Some(found)) => found,
                    Ok(None) => break,
                    // Whoever left the line for this would stand at its end again.
                    Err(error) => {
                        patience.forgive(error).await?;
                        continue;
                    }
                };
                if watch.is_dead(&before, version.tag.as_ref(), record.lease(), asked) {
                    // A place gives nothing but an order: whoever loses one that it still wanted takes another.
                    self.objects.delete(&before).await?;
                    break;
                }
                patience.pause(LINE_PAUSE, &shown).await?;
                if !stand.keep_place().await? {
                    return Ok(None);
                }
            }
        }
        loop {
            // It may have been sent away.
            if self.objects.read(&place).await?.is_none() {
                return Ok(None);
            }
            let step = match holder.mode {
                Mode::Exclusive => stand.take_record(true).await?,
                Mode::Shared => stand.share().await?,
            };
            match step {
                Step::Had(number) => return Ok(Some(number)),
                Step::Next => return self.until_nobody_shares(stand, patience).await,
                Step::Lost => return Ok(None),
                Step::Behind => {}
            }
            // Until it is free or its holder is dead.
            loop {
                let (path, asked) = (stand.places.record(), Moment::now());
                let (record, version) = match self.objects.read(&path).await {
                    Ok(Some(found)) => found,
                    Ok(None) => break,
                    Err(error) => {
                        patience.forgive(error).await?;
                        continue;
                    }
                };
                if record.state == State::Free {
                    break;
                }
                if watch.is_dead(&path, version.tag.as_ref(), record.lease(), asked) {
                    // By compare-and-swap: if it isn't dead after all, it finds that it has lost.
                    self.objects.swap(&path, &Record::free(record.number), &version).await?;
                    break;
                }
                patience.pause(FIRST_PAUSE, &shown).await?;
                if !stand.keep_place().await? {
                    return Ok(None);
                }
            }
        }
    }

    /// Waits until nobody shares the lock whose record this side has claimed.
    async fn until_nobody_shares(
        &self,
        stand: &mut Stand,
        patience: &mut Patience<'_>,
    ) -> Result<Option<u64>, LockError> {
        let holder = stand.holder.clone();
        let shown = || -> BoxFuture<'_, _> { Box::pin(self.shown_except(&holder.key, &holder.id)) };
        let mut watch = Watch::default();
        loop {
            let asked = Moment::now();
            let listed = self.objects.list(&stand.places.all()).await?;
            let mut living = 0;
            for shared in stand.others(&listed).filter(|it| stand.is_shared(it)) {
                let lease = match watch.lease(&shared.path, shared.tag.as_ref()) {
                    Some(lease) => lease,
                    None => match self.objects.read(&shared.path).await? {
                        Some((record, _)) if record.state != State::Ended => record.lease(),
                        _ => continue,
                    },
                };
                if watch.is_dead(&shared.path, shared.tag.as_ref(), lease, asked) {
                    self.bury(shared).await?;
                } else {
                    living += 1;
                }
            }
            let Some(own) = &mut stand.own else { return Ok(None) };
            if living == 0 {
                // Those who shared it until now may have raised the numbers below.
                let below = self.objects.list(&stand.places.all_below()).await?;
                let number = own.record.number + 1 + stand.numbers_below(&below).await?;
                let Some(own) = &mut stand.own else { return Ok(None) };
                if !own.set(State::Held, number).await? {
                    return Ok(None);
                }
                let listed = self.objects.list(&stand.places.all()).await?;
                if !stand.others(&listed).any(|it| stand.is_shared(it)) {
                    return Ok(Some(number));
                }
                let Some(own) = &mut stand.own else { return Ok(None) };
                if !own.set(State::Claimed, number).await? {
                    return Ok(None);
                }
            } else if own.is_due() && !own.renew().await? {
                return Ok(None);
            }
            patience.pause(FIRST_PAUSE, &shown).await?;
            if !stand.keep_place().await? {
                return Ok(None);
            }
        }
    }

    /// Ends a shared hold that was found dead, unless it has shown a sign of life by now.
    async fn bury(&self, shared: &Listed) -> Result<(), LockError> {
        let Some((record, version)) = self.objects.read(&shared.path).await? else { return Ok(()) };
        if version.tag != shared.tag {
            return Ok(());
        }
        let ended = Record { state: State::Ended, ..record };
        if self.objects.swap(&shared.path, &ended, &version).await?.is_some() {
            self.objects.delete(&shared.path).await?;
        }
        Ok(())
    }
}

impl Stand {
    /// Tries to have the lock alone. Who isn't first in line gives way to those who stand in it.
    async fn take_record(&mut self, first_in_line: bool) -> Result<Step, LockError> {
        let path = self.places.record();
        let found = self.objects.read(&path).await?;
        let (number, over): (u64, Option<Version>) = match found {
            None => (1, None),
            Some((record, version)) if record.state == State::Free => (record.number + 1, Some(version)),
            Some(_) => return Ok(Step::Behind),
        };
        let record = Record::new(State::Held, number, &self.holder, self.lease);
        let own = self.own.insert(Own::new(&self.objects, path, record));
        let taken = match over {
            None => own.make().await?,
            Some(version) => own.write_over(&version).await?,
        };
        if !taken {
            self.own = None;
            return Ok(Step::Behind);
        }
        // Whoever shares it has written that before it looked at the record, or sees the record and gives way.
        let listed = self.objects.list(&self.places.all_below()).await?;
        let line = self.others(&listed).any(|it| it.path.prefix_matches(&self.places.line()));
        let shared = self.others(&listed).any(|it| self.is_shared(it));
        if line && !first_in_line {
            if let Some(own) = self.own.take() {
                own.give_up().await?;
            }
            return Ok(Step::Behind);
        }
        let number = number + self.numbers_below(&listed).await?;
        let Some(own) = &mut self.own else { return Ok(Step::Lost) };
        if shared {
            return Ok(if own.set(State::Claimed, number).await? { Step::Next } else { Step::Lost });
        }
        let kept = own.record.number == number || own.set(State::Held, number).await?;
        Ok(if kept { Step::Had(number) } else { Step::Lost })
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
    async fn share(&mut self) -> Result<Step, LockError> {
        if self.in_line.is_some() {
            // Who waits doesn't write in vain again and again.
            let found = self.objects.read(&self.places.record()).await?;
            if found.is_some_and(|(record, _)| record.state != State::Free) {
                return Ok(Step::Behind);
            }
        }
        let path = self.places.shared(&self.holder.id);
        let record = Record::new(State::Held, 0, &self.holder, self.lease);
        self.own.insert(Own::new(&self.objects, path, record)).make().await?;
        // Whoever takes it alone has written that before it lists those who share, or sees this one and gives way.
        match self.objects.read(&self.places.record()).await? {
            Some((record, _)) if record.state != State::Free => {
                if let Some(own) = self.own.take() {
                    own.give_up().await?;
                }
                // A name is not used twice.
                let who = self.holder.clone();
                let identity =
                    Identity { user: who.user, host: who.host, pid: who.pid, command: who.command };
                let id = Holder::new(&who.key, who.mode, &identity, false).id;
                self.holder.id = id;
                Ok(Step::Behind)
            }
            found => Ok(Step::Had(found.map_or(0, |(record, _)| record.number))),
        }
    }

    /// Whether an object is somebody's who shares the lock.
    fn is_shared(&self, listed: &Listed) -> bool {
        listed.path.prefix_matches(&self.places.shared_by_all())
    }

    /// What others have written.
    fn others<'a>(&'a self, listed: &'a [Listed]) -> impl Iterator<Item = &'a Listed> {
        let own = [self.own.as_ref(), self.in_line.as_ref()].into_iter().flatten();
        let own: Vec<_> = own.map(|own| own.path.clone()).chain([self.places.record()]).collect();
        listed.iter().filter(move |listed| !own.contains(&listed.path))
    }

    /// Renews the place in line, if it is time; false if it is gone.
    async fn keep_place(&mut self) -> Result<bool, LockError> {
        match &mut self.in_line {
            Some(in_line) if in_line.is_due() => in_line.renew().await,
            _ => Ok(true),
        }
    }
}

/// Makes a lease of what was written, and leaves the line. `None` if it took too long.
async fn had(mut stand: Stand, fence: u64, waited: Duration) -> Option<Lease> {
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
