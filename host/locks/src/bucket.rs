//! Locks in the bucket itself: small objects, written only under conditions.
//!
//! ```text
//! {prefix}/model/aws-ec2/web/.locked/record                 who has it alone, or wants it next, and the number
//!                                  /shared/{id}.{lease}     one for each who shares it
//!                                  /line/{n}-{id}.{lease}   one for each who waits
//! ```
//!
//! **Alone**: take the record by compare-and-swap, then list who shares. **Shared**: write an object of one's own, then read the
//! record. Each side writes its own before it reads the other's, so at least one sees the other. Whoever shares touches no object that
//! others write, and reads one.
//!
//! **Leases.** A holder writes its object again and again, by compare-and-swap. Whoever is in its way looks at it, and takes it for dead
//! when it hasn't changed for the whole length of its lease, by the looker's own clock; then takes it over by compare-and-swap, too, so a
//! holder who is only slow finds that it has lost. Two clocks are never compared.
//!
//! **Nothing is deleted that could be somebody else's.** The record stays, free, and keeps the number. Other objects have names that are never used
//! again, and are deleted once they say that they have ended.
//!
//! **The line** is for fairness and costs only those who wait: each looks whether the one before it is still there, and the first of them
//! at the lock. As often as it renews its own place, each also looks at the whole line and at the lock, and so has seen long ago
//! since when those before it have been dead.

mod acquire;
mod hold;
mod http;
mod line;
mod objects;
mod probe;
mod record;
mod watch;

use std::time::Duration;

use tokio::sync::OnceCell;
use tokio::time::Instant;

use self::objects::{Listed, Objects};
use self::record::{Places, Record, State};
use crate::patience::insist;
use crate::{BoxFuture, Holder, Lease, LockError, LockKey, LockStore, Released, Tls, Wish};

/// Where a bucket is and how it is used.
#[derive(Clone)]
pub struct BucketOptions {
    /// Where it is, as `s3://bucket/prefix`, `gs://…` or `az://…`.
    pub url: String,
    /// How to get there: endpoint, region, credentials, as the crate `object_store` names them.
    pub settings: Vec<(String, String)>,
    /// Sets these locks apart from others below the same prefix.
    pub space: String,
    /// How long a lock outlives its last renewal.
    pub lease: Duration,
    /// For `https`.
    pub tls: Tls,
}

/// Locks in a bucket whose store honours conditions on writes.
pub struct BucketLocks {
    objects: Objects,
    lease: Duration,
    /// Whether the store was found to honour conditions.
    trusted: OnceCell<()>,
}

impl BucketLocks {
    /// Names the store. It is connected to when it is first used.
    pub fn new(options: &BucketOptions) -> Result<Self, LockError> {
        Ok(Self { objects: Objects::open(options)?, lease: options.lease, trusted: OnceCell::new() })
    }

    /// Makes sure that the store honours conditions, once.
    async fn trust(&self) -> Result<(), LockError> {
        self.trusted.get_or_try_init(|| probe::probe(&self.objects)).await.copied()
    }

    fn places(&self, key: &LockKey) -> Places {
        Places::new(self.objects.prefix(), key)
    }

    /// Those of the listed objects that say who has or wants a lock.
    async fn read(&self, listed: impl Iterator<Item = Listed>) -> Result<Vec<Record>, LockError> {
        let mut records = Vec::new();
        // Most records are free, and a look at their size tells.
        for listed in listed.filter(|listed| listed.size > record::LONGEST_NAMELESS) {
            if let Some((record, _)) = self.objects.read(&listed.path).await?
                && record.is_at(self.objects.prefix(), &listed.path)
            {
                records.push(record);
            }
        }
        records.sort_by_key(Record::rank);
        Ok(records)
    }

    /// Says to somebody who waits who else there is.
    fn shown_to<'a>(&'a self, who: &'a Holder) -> impl Fn() -> BoxFuture<'a, Vec<Holder>> {
        move || Box::pin(self.all_but(&who.key, &who.id))
    }

    /// Lists for a message: one that can't be had must not end the wait. Leaves out who asks, and those behind the first in line:
    /// they may be many, and each of them would look at all others.
    async fn all_but(&self, key: &LockKey, id: &str) -> Vec<Holder> {
        let places = self.places(key);
        let listed = self.objects.list(&places.all()).await.unwrap_or_default();
        let in_line = listed.iter().filter(|it| places.place_in_line(&it.path).is_some());
        let first = in_line.map(|it| it.path.clone()).min();
        let shown = listed
            .into_iter()
            .filter(|it| places.place_in_line(&it.path).is_none() || Some(&it.path) == first.as_ref());
        let records = self.read(shown).await.unwrap_or_default();
        records.into_iter().filter_map(Record::into_holder).filter(|holder| holder.id != id).collect()
    }
}

impl LockStore for BucketLocks {
    fn kind(&self) -> &'static str {
        "bucket"
    }

    fn place(&self) -> String {
        self.objects.place().to_owned()
    }

    fn ping(&self) -> BoxFuture<'_, Result<Duration, LockError>> {
        Box::pin(async {
            let begun = Instant::now();
            self.objects.read(&probe::verdict(&self.objects)).await?;
            Ok(begun.elapsed())
        })
    }

    /// The number of the widest lock comes first: it grows only when somebody has that one alone. After it comes the sum of
    /// all others, which lie within each other: who has one of them alone raises its number above all sums below.
    fn fence(&self, numbers: &[u64]) -> Option<u64> {
        const LARGEST: u64 = u32::MAX as u64;
        let (first, others) = numbers.split_first()?;
        let sum = others.iter().copied().fold(0, u64::saturating_add);
        Some((*first).min(LARGEST) << 32 | sum.min(LARGEST))
    }

    fn acquire<'a>(&'a self, wish: Wish<'a>) -> BoxFuture<'a, Result<Lease, LockError>> {
        Box::pin(async move {
            self.trust().await?;
            insist(self, wish).await
        })
    }

    fn pass<'a>(&'a self, wish: Wish<'a>) -> BoxFuture<'a, Result<Option<Lease>, LockError>> {
        Box::pin(async move {
            self.trust().await?;
            self.join_holder(wish).await
        })
    }

    fn holders(&self) -> BoxFuture<'_, Result<Vec<Holder>, LockError>> {
        Box::pin(async {
            let listed = self.objects.list(self.objects.prefix()).await?;
            let records = self.read(listed.into_iter()).await?;
            Ok(records.into_iter().filter_map(Record::into_holder).collect())
        })
    }

    fn release<'a>(&'a self, key: &'a LockKey, id: &'a str) -> BoxFuture<'a, Result<Released, LockError>> {
        Box::pin(async move {
            let places = self.places(key);
            for listed in self.objects.list(&places.all()).await? {
                let Some((record, version)) = self.objects.read(&listed.path).await? else { continue };
                if record.holder.as_ref().is_none_or(|holder| holder.id != id) {
                    continue;
                }
                if record.state == State::InLine {
                    self.objects.delete(&listed.path).await?;
                    return Ok(Released::Waiting);
                }
                let within = record.lease();
                // Written by somebody else, it can't be renewed any more, and counts as dead a lease later.
                let released = Record { released: true, ..record };
                if self.objects.swap(&listed.path, &released, &version).await?.is_some() {
                    return Ok(Released::Ending { within });
                }
            }
            Err(LockError::NotHeld { key: key.clone(), id: id.to_owned() })
        })
    }
}
