//! Standing in line: whose turn it is, and who in it is dead.

use std::time::Duration;

use object_store::path::Path;

use super::BucketLocks;
use super::acquire::{FIRST_PAUSE, Step};
use super::hold::{Own, Stand};
use super::objects::Version;
use super::record::{Record, State};
use crate::clock::Moment;
use crate::patience::Patience;
use crate::{LockError, Mode};

/// Who is before this side in line, as far as it knows.
enum Ahead {
    /// It hasn't looked yet.
    Unknown,
    /// So many, and the last of them is there.
    Some(u32, Path),
    /// It is this side's turn.
    Nobody,
}

impl Ahead {
    /// The longest pause before the next look: the nearer to the front, the shorter.
    fn pause(&self, lease: Duration) -> Duration {
        let many = if let Self::Some(many, _) = self { *many } else { 1 };
        // There must be time to renew.
        (FIRST_PAUSE * many.clamp(1, 4)).min(lease / 12).max(Duration::from_millis(1))
    }
}

impl BucketLocks {
    /// Waits until nobody is before this side in line, then for the lock.
    pub(super) async fn wait_in_line(
        &self,
        stand: &mut Stand,
        patience: &mut Patience<'_>,
    ) -> Result<Option<u64>, LockError> {
        let holder = stand.holder.clone();
        let shown = self.shown_to(&holder);
        if patience.left().is_zero() {
            // Somebody who doesn't wait needs no place.
            patience.pause(FIRST_PAUSE, &shown).await?;
        }
        stand.enter_line().await?;
        let mut ahead = Ahead::Unknown;
        loop {
            match stand.look(&mut ahead, patience).await {
                Ok(Step::Had(number)) => return Ok(Some(number)),
                Ok(Step::Next) => return self.until_nobody_shares(stand, patience).await,
                Ok(Step::Lost) => return Ok(None),
                Ok(Step::Behind) => {
                    patience.answered();
                    patience.pause(ahead.pause(stand.lease), &shown).await?;
                }
                // Whoever left the line for this would stand at its end again.
                Err(error) => patience.forgive(error).await?,
            }
        }
    }
}

impl Stand {
    /// Takes the place behind all others.
    async fn enter_line(&mut self) -> Result<(), LockError> {
        let asked = Moment::now();
        let listed = self.objects.list(&self.places.line()).await?;
        let mut last = 0;
        for place in &listed {
            let Some((number, lease)) = self.places.place_in_line(&place.path) else { continue };
            self.watch.is_dead(&place.path, place.tag.as_ref(), lease, asked);
            last = last.max(number);
        }
        let number = last.saturating_add(1);
        let place = self.places.in_line(number, &self.holder.id, self.lease);
        let record = Record::new(State::InLine, number, &self.holder, self.lease);
        self.in_line.insert(Own::new(&self.objects, place, record)).make().await.map(drop)
    }

    /// Looks once whether it is this side's turn, and takes the lock if it is.
    async fn look(&mut self, ahead: &mut Ahead, patience: &mut Patience<'_>) -> Result<Step, LockError> {
        let due = self.in_line.as_ref().is_none_or(Own::is_due);
        if !self.keep_place().await? {
            return Ok(Step::Lost);
        }
        match ahead {
            // Most looks are this one.
            Ahead::Some(_, before) if !due && self.objects.is_there(before).await? => {
                return Ok(Step::Behind);
            }
            Ahead::Nobody => {}
            Ahead::Some(..) | Ahead::Unknown => {
                match self.look_ahead().await? {
                    Some(found) => *ahead = found,
                    None => return Ok(Step::Lost),
                }
                if let Ahead::Some(..) = ahead {
                    // Once it is this side's turn, it knows already since when the lock has not changed.
                    self.read_record().await?;
                    return Ok(Step::Behind);
                }
                patience.afresh();
            }
        }
        let (mut found, dead) = self.read_record().await?;
        if dead && let Some((record, version)) = found {
            // By compare-and-swap: if it isn't dead after all, it finds that it has lost.
            let free = Record::free(record.number);
            let Some(version) = self.objects.swap(&self.places.record(), &free, &version).await? else {
                return Ok(Step::Behind);
            };
            found = Some((free, version));
        }
        let is_free = found.as_ref().is_none_or(|(record, _)| record.state == State::Free);
        if !is_free && !self.has_taken(found.as_ref()) {
            return Ok(Step::Behind);
        }
        // It may have been sent away.
        let Some(in_line) = &self.in_line else { return Ok(Step::Lost) };
        if !self.objects.is_there(&in_line.path).await? {
            return Ok(Step::Lost);
        }
        match self.holder.mode {
            Mode::Exclusive => self.take_record(found, true).await,
            Mode::Shared => self.share().await,
        }
    }

    /// Looks at the whole line. `None` if this side's place is gone.
    ///
    /// All that is listed is counted from when it was first seen, so many who are dead are known to be so at the same time. Each
    /// removes those directly before it: a place gives nothing but an order, and whoever still wants its own takes another.
    async fn look_ahead(&mut self) -> Result<Option<Ahead>, LockError> {
        let Some(own) = self.in_line.as_ref().map(|own| own.path.clone()) else { return Ok(None) };
        let asked = Moment::now();
        let listed = self.objects.list(&self.places.all()).await?;
        for (shared, lease) in self.sharers(&listed) {
            self.watch.is_dead(&shared.path, shared.tag.as_ref(), lease, asked);
        }
        let (mut before, mut is_there) = (Vec::new(), false);
        for place in &listed {
            let Some((_, lease)) = self.places.place_in_line(&place.path) else { continue };
            is_there |= place.path == own;
            // Names are in order; whoever takes a number at the same time may stand before or behind.
            if place.path < own {
                let dead = self.watch.is_dead(&place.path, place.tag.as_ref(), lease, asked);
                before.push((&place.path, dead));
            }
        }
        if !is_there {
            return Ok(None);
        }
        before.sort_unstable();
        while let Some((path, true)) = before.last() {
            self.objects.delete(path).await?;
            before.pop();
        }
        Ok(Some(match before.last() {
            Some((path, _)) => Ahead::Some(u32::try_from(before.len()).unwrap_or(u32::MAX), (*path).clone()),
            None => Ahead::Nobody,
        }))
    }

    /// Reads the record, and says whether whoever has it is dead.
    async fn read_record(&mut self) -> Result<(Option<(Record, Version)>, bool), LockError> {
        let (path, asked) = (self.places.record(), Moment::now());
        let found = self.objects.read(&path).await?;
        let dead = found.as_ref().is_some_and(|(record, version)| {
            record.state != State::Free
                && self.watch.is_dead(&path, version.tag.as_ref(), record.lease(), asked)
        });
        Ok((found, dead))
    }
}
