//! One place in line: taken, waited in, renewed and given up.

use std::time::Duration;

use etcd_client::{
    Client, Compare, CompareOp, GetOptions, PutOptions, SortOrder, SortTarget, Txn, TxnOp, TxnOpResponse,
    TxnResponse, WatchOptions,
};

use super::EtcdLocks;
use super::line::{Line, Rank, Record};
use crate::clock::Moment;
use crate::keeper::{Hold, Kept, Setback, in_background};
use crate::patience::{InLine, Patience};
use crate::{BoxFuture, Guard, Holder, Lease, LockError, LockKey, Loss, Mode, Proof, Released, Wish};

impl InLine for EtcdLocks {
    async fn attempt(&self, wish: Wish<'_>, patience: &mut Patience<'_>) -> Result<Option<Lease>, LockError> {
        let Wish { key, mode, who, .. } = wish;
        let line = self.line(key);
        let holder = Holder::new(key, mode, who, false);
        let place = line.place(mode.into(), &holder.id);
        let (start, end) = match mode {
            // Who joined is in the way as well.
            Mode::Exclusive => (line.everyone(), line.in_the_way_of(mode).1),
            Mode::Shared => line.in_the_way_of(mode),
        };
        let options = GetOptions::new().with_range(end).with_limit(1).with_keys_only();
        let before = TxnOp::get(start, Some(options));
        let Some(taken) = self.put(&holder, &place, Txn::new(), Some(before)).await? else { return Ok(None) };
        let waited = if taken.free {
            Ok(Some(taken.created))
        } else {
            self.wait(&line, &taken, &holder, patience).await
        };
        match waited {
            Ok(Some(fence)) if taken.proof.loss().is_none() => {
                let lease = Lease::new(key.clone(), mode, holder.id, patience.waited(), Box::new(taken.kept));
                Ok(Some(lease.leased(fence, taken.proof)))
            }
            Ok(_) => {
                _ = Box::new(taken.kept).release().await;
                Ok(None)
            }
            Err(error) => {
                _ = Box::new(taken.kept).release().await;
                Err(error)
            }
        }
    }
}

impl EtcdLocks {
    /// Joins a holder that shares the lock, without standing in line. `None` if there is none.
    pub(super) async fn join_holder(&self, wish: Wish<'_>) -> Result<Option<Lease>, LockError> {
        let Wish { key, who, .. } = wish;
        let line = self.line(key);
        let members = self.list(line.everyone()).await?;
        let Some(other) = members.iter().find(|it| it.rank == Rank::Shared && !it.holder.waiting) else {
            return Ok(None);
        };
        let holder = Holder::new(key, Mode::Shared, who, false);
        let place = line.place(Rank::Joined, &holder.id);
        // As long as that one is there, nobody has the lock alone, and whoever comes to it sees this key.
        let there = Compare::create_revision(other.place.clone(), CompareOp::Equal, other.created);
        let Some(taken) = self.put(&holder, &place, Txn::new().when([there]), None).await? else {
            return Ok(None);
        };
        let lease = Lease::new(key.clone(), Mode::Shared, holder.id, Duration::ZERO, Box::new(taken.kept));
        Ok(Some(lease.leased(taken.created, taken.proof)))
    }

    /// Puts a key with a lease of its own, if the conditions of `txn` hold.
    async fn put(
        &self,
        holder: &Holder,
        place: &[u8],
        txn: Txn,
        before: Option<TxnOp>,
    ) -> Result<Option<Taken>, LockError> {
        let mut client = self.client().await?;
        let lease = self.options.lease;
        let sent = Moment::now();
        let granted = self.call(client.lease_grant(seconds(lease), None)).await?;
        let orphan = Orphan(Some((client.clone(), granted.id())));
        let record = Record { holder: holder.clone(), lease_ms: milliseconds(lease), released: false };
        let put = TxnOp::put(place, self.written(&record)?, Some(PutOptions::new().with_lease(granted.id())));
        let operations: Vec<TxnOp> = before.into_iter().chain([put]).collect();
        let answer = self.call(client.txn(txn.and_then(operations))).await?;
        if !answer.succeeded() {
            return Ok(None);
        }
        let created = revision(&answer);
        let free = found(&answer, 0).is_none();
        let proof = Proof::leased(lease, sent);
        let hold = EtcdHold {
            answer_within: self.answer_within(),
            store: format!("etcd at {}", self.options.endpoints.join(", ")),
            client,
            lease: granted.id(),
            place: place.to_vec(),
            created,
            released: false,
        };
        orphan.adopted();
        let kept = Kept::new(hold, proof.clone(), lease);
        Ok(Some(Taken { kept, proof, created, free, place: place.to_vec() }))
    }

    /// Waits until nobody is in the way any more, and returns etcd's revision at that moment. `None` if the place was lost.
    async fn wait(
        &self,
        line: &Line,
        taken: &Taken,
        holder: &Holder,
        patience: &mut Patience<'_>,
    ) -> Result<Option<u64>, LockError> {
        let mut client = self.client().await?;
        let shown = || -> BoxFuture<'_, _> { Box::pin(self.shown_except(&holder.key, &holder.id)) };
        loop {
            if taken.proof.loss().is_some() {
                return Ok(None);
            }
            let (start, end) = line.in_the_way_of(holder.mode);
            let last_before = GetOptions::new()
                .with_range(end)
                .with_max_create_revision(i64::try_from(taken.created).unwrap_or(i64::MAX) - 1)
                .with_sort(SortTarget::Create, SortOrder::Descend)
                .with_limit(1)
                .with_keys_only();
            let mut look = vec![TxnOp::get(start, Some(last_before))];
            if holder.mode == Mode::Exclusive {
                let any = GetOptions::new().with_prefix().with_limit(1).with_keys_only();
                look.push(TxnOp::get(line.joined(), Some(any)));
            }
            let answer = self.call(client.txn(Txn::new().when([taken.is_there()]).and_then(look))).await;
            let answer = match answer {
                Ok(answer) => answer,
                Err(error) => {
                    patience.forgive(error).await?;
                    continue;
                }
            };
            patience.answered();
            if !answer.succeeded() {
                return Ok(None);
            }
            let Some(in_the_way) = found(&answer, 0).or_else(|| found(&answer, 1)) else {
                return Ok(Some(revision(&answer)));
            };
            let gone = async {
                tokio::select! {
                    () = until_gone(&mut client, in_the_way, revision(&answer)) => {}
                    _ = taken.proof.lost() => {}
                }
            };
            patience.until(gone, &shown).await?;
        }
    }

    /// Ends a hold of a lock, or a wait for it, whoever it belongs to.
    pub(super) async fn end(&self, key: &LockKey, id: &str) -> Result<Released, LockError> {
        loop {
            let members = self.list(self.line(key).everyone()).await?;
            let Some(member) = members.into_iter().find(|member| member.holder.id == id) else {
                return Err(LockError::NotHeld { key: key.clone(), id: id.to_owned() });
            };
            let mut client = self.client().await?;
            let unchanged = Compare::mod_revision(member.place.clone(), CompareOp::Equal, member.modified);
            if member.holder.waiting {
                let delete = TxnOp::delete(member.place, None);
                let answer = self.call(client.txn(Txn::new().when([unchanged]).and_then([delete]))).await?;
                if answer.succeeded() {
                    return Ok(Released::Waiting);
                }
                continue;
            }
            let record = member.record.unwrap_or_else(|| Record {
                holder: member.holder.clone(),
                lease_ms: milliseconds(self.options.lease),
                released: false,
            });
            let within = Duration::from_millis(record.lease_ms);
            if record.released {
                return Ok(Released::Ending { within });
            }
            // The key now hangs on a lease that nobody renews, and which is over no sooner than the holder's own.
            let lease = self.call(client.lease_grant(seconds(within), None)).await?;
            let text = self.written(&Record { released: true, ..record })?;
            let put = TxnOp::put(member.place, text, Some(PutOptions::new().with_lease(lease.id())));
            let answer = self.call(client.txn(Txn::new().when([unchanged]).and_then([put]))).await?;
            if answer.succeeded() {
                return Ok(Released::Ending { within });
            }
        }
    }

    fn written(&self, record: &Record) -> Result<Vec<u8>, LockError> {
        let store = || format!("etcd at {}", self.options.endpoints.join(", "));
        serde_json::to_vec(record)
            .map_err(|error| LockError::Refused { store: store(), source: error.into() })
    }
}

/// A place in line.
struct Taken {
    kept: Kept<EtcdHold>,
    proof: Proof,
    place: Vec<u8>,
    created: u64,
    /// Whether nobody was in the way when it was taken.
    free: bool,
}

impl Taken {
    fn is_there(&self) -> Compare {
        is_there(&self.place, self.created)
    }
}

fn is_there(place: &[u8], created: u64) -> Compare {
    Compare::mod_revision(place, CompareOp::Equal, i64::try_from(created).unwrap_or(i64::MAX))
}

/// Comes back when a key is gone, or when that can't be watched any longer.
async fn until_gone(client: &mut Client, key: Vec<u8>, since: u64) {
    let options = WatchOptions::new().with_start_revision(i64::try_from(since).unwrap_or(i64::MAX - 1) + 1);
    let Ok(mut stream) = client.watch(key, Some(options)).await else {
        // Whoever waits looks again after this.
        return tokio::time::sleep(Duration::from_millis(500)).await;
    };
    while let Ok(Some(message)) = stream.message().await {
        let gone = message.events().iter().any(|event| event.event_type() == etcd_client::EventType::Delete);
        if gone || message.canceled() {
            return;
        }
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
}

/// The key that a transaction's get found, if it was among its operations and found one.
fn found(answer: &TxnResponse, operation: usize) -> Option<Vec<u8>> {
    match answer.op_responses().into_iter().nth(operation)? {
        TxnOpResponse::Get(get) => get.kvs().first().map(|key| key.key().to_vec()),
        _ => None,
    }
}

fn revision(answer: &TxnResponse) -> u64 {
    answer.header().and_then(|header| u64::try_from(header.revision()).ok()).unwrap_or(0)
}

fn seconds(lease: Duration) -> i64 {
    // Rounded up: a longer lease is never wrong.
    i64::try_from(lease.as_millis().div_ceil(1000)).unwrap_or(i64::MAX)
}

fn milliseconds(lease: Duration) -> u64 {
    u64::try_from(lease.as_millis()).unwrap_or(u64::MAX)
}

/// A lease that nothing renews yet. Revoked if it is dropped.
struct Orphan(Option<(Client, i64)>);

impl Orphan {
    fn adopted(mut self) {
        self.0 = None;
    }
}

impl Drop for Orphan {
    fn drop(&mut self) {
        if let Some((mut client, lease)) = self.0.take() {
            // If it fails, the lease runs out.
            in_background(async move { _ = client.lease_revoke(lease).await });
        }
    }
}

/// A key in line, and the lease that it hangs on.
struct EtcdHold {
    client: Client,
    store: String,
    answer_within: Duration,
    lease: i64,
    place: Vec<u8>,
    created: u64,
    /// Whether somebody has put another lease under the key, to end it.
    released: bool,
}

impl EtcdHold {
    fn unreachable(&self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> LockError {
        LockError::Unreachable { store: self.store.clone(), source: source.into() }
    }
}

impl Hold for EtcdHold {
    async fn renew(&mut self) -> Result<(), Setback> {
        let kept = self.client.lease_keep_alive(self.lease).await;
        kept.map_err(|error| self.unreachable(error))?;
        // Only if the key is as it was put does the lease mean anything.
        let look = Txn::new()
            .when([is_there(&self.place, self.created)])
            .or_else([TxnOp::get(self.place.clone(), Some(GetOptions::new().with_keys_only()))]);
        let answer = self.client.txn(look).await.map_err(|error| self.unreachable(error))?;
        if answer.succeeded() {
            return Ok(());
        }
        self.released = found(&answer, 0).is_some();
        Err(Setback::Lost(if self.released { Loss::Released } else { Loss::Gone }))
    }

    async fn give_back(mut self) -> Result<(), LockError> {
        let mut client = self.client.clone();
        let work = async {
            if self.released {
                client.delete(std::mem::take(&mut self.place), None).await?;
            }
            match client.lease_revoke(self.lease).await {
                // It has run out.
                Err(etcd_client::Error::GRpcStatus(status)) if i32::from(status.code()) == NOT_FOUND => {
                    Ok(())
                }
                other => other.map(drop),
            }
        };
        match tokio::time::timeout(self.answer_within, work).await {
            Ok(done) => done.map_err(|error| self.unreachable(error)),
            Err(silence) => Err(self.unreachable(silence)),
        }
    }
}

const NOT_FOUND: i32 = 5;
