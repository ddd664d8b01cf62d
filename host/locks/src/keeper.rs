//! Renews a lease for as long as its lock is held, and stops before the lock is given back.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::clock::Moment;
use crate::{BoxFuture, Guard, LockError, Loss, Proof};

/// How long to wait for an answer of a store whose leases are this long: there must be time for another try.
pub(crate) fn answer_within(lease: Duration) -> Duration {
    (lease / 4).min(Duration::from_secs(10))
}

/// What a store knows of one hold of a lock.
pub(crate) trait Hold: Send + 'static {
    /// Renews its lease, once.
    fn renew(&mut self) -> impl Future<Output = Result<(), Setback>> + Send;

    /// Gives it back. Called once no renewal is under way any more.
    fn give_back(self) -> impl Future<Output = Result<(), LockError>> + Send;
}

/// Why a lease was not renewed.
pub(crate) enum Setback {
    /// There is nothing left to renew.
    Lost(Loss),
    /// It may work the next time.
    Failed(LockError),
}

impl From<LockError> for Setback {
    fn from(error: LockError) -> Self {
        Self::Failed(error)
    }
}

/// A hold whose lease is renewed. Dropping it gives the lock back in the background.
pub(crate) struct Kept<H: Hold> {
    stop: CancellationToken,
    task: Option<JoinHandle<H>>,
}

impl<H: Hold> Kept<H> {
    /// Begins to renew.
    pub(crate) fn new(hold: H, proof: Proof, lease: Duration) -> Self {
        let stop = CancellationToken::new();
        let task = Some(tokio::spawn(keep(hold, proof, lease, stop.clone())));
        Self { stop, task }
    }
}

async fn keep<H: Hold>(mut hold: H, proof: Proof, lease: Duration, stop: CancellationToken) -> H {
    let mut pause = lease / 3;
    loop {
        tokio::select! {
            () = stop.cancelled() => return hold,
            _ = proof.lost() => return hold,
            () = tokio::time::sleep(pause) => {}
        }
        let sent = Moment::now();
        let renewed = tokio::select! {
            // A renewal that is given up may still arrive: stores see to it that it changes nothing then.
            () = stop.cancelled() => return hold,
            _ = proof.lost() => return hold,
            renewed = tokio::time::timeout(answer_within(lease), hold.renew()) => renewed,
        };
        match renewed {
            Ok(Ok(())) => {
                proof.renewed(sent);
                pause = lease / 3;
            }
            Ok(Err(Setback::Lost(loss))) => proof.lose(loss),
            Ok(Err(Setback::Failed(error))) => {
                proof.failed(error.full());
                pause = lease / 12;
            }
            Err(_) => {
                proof.failed("the lock store does not answer".to_owned());
                pause = lease / 12;
            }
        }
    }
}

/// Gives a lock back once nothing renews it any more.
async fn give_back<H: Hold>(task: JoinHandle<H>) -> Result<(), LockError> {
    match task.await {
        Ok(hold) => hold.give_back().await,
        // Renewing panicked, or the process ends: the lease runs out.
        Err(_) => Ok(()),
    }
}

impl<H: Hold> Guard for Kept<H> {
    fn release(mut self: Box<Self>) -> BoxFuture<'static, Result<(), LockError>> {
        self.stop.cancel();
        let task = self.task.take();
        Box::pin(async move {
            match task {
                Some(task) => give_back(task).await,
                None => Ok(()),
            }
        })
    }
}

impl<H: Hold> Drop for Kept<H> {
    fn drop(&mut self) {
        self.stop.cancel();
        let Some(task) = self.task.take() else { return };
        // Nobody can be told if it fails; the lease then runs out by itself.
        in_background(async move { _ = give_back(task).await });
    }
}

/// Does something that nobody waits for, if there still is something to run it.
pub(crate) fn in_background(work: impl Future<Output = ()> + Send + 'static) {
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        runtime.spawn(work);
    }
}
