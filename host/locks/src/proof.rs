//! What this process can prove about a lock that it holds.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::clock::Moment;

/// Timers stand still while the machine sleeps, so a long one is cut up: this late, at most, a lost lock is noticed
/// by those who only wait. Whoever asks gets the right answer at any time.
const LOOK: Duration = Duration::from_millis(200);

/// Why a lock that was held is held no longer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Loss {
    /// It was not renewed in time: the store was out of reach, or this process or machine stood still.
    #[error("it could not be renewed in time{}", .problem.as_ref().map(|it| format!(": {it}")).unwrap_or_default())]
    Expired {
        /// What the last try to renew it came to, if it failed.
        problem: Option<String>,
    },
    /// Somebody released it with `locks release`.
    #[error("somebody released it")]
    Released,
    /// The connection that it hung on broke.
    #[error("the connection to the lock store broke{}", .problem.as_ref().map(|it| format!(": {it}")).unwrap_or_default())]
    Cut {
        /// What the connection said.
        problem: Option<String>,
    },
    /// The store no longer has it.
    #[error("the lock store no longer has it")]
    Gone,
}

/// Whether a lock is still held, as far as this process can prove it. Clones speak of the same lock.
///
/// A lease counts on this machine's own clock, from before its last renewal was sent, and ends a margin before the
/// store would give the lock to somebody else. What was lost once stays lost.
#[derive(Clone, Default)]
pub struct Proof(Option<Arc<Term>>);

struct Term {
    lease: Duration,
    state: Mutex<State>,
    lost: CancellationToken,
}

struct State {
    until: Moment,
    problem: Option<String>,
    loss: Option<Loss>,
}

/// What is kept back of a lease, for requests that are on their way when it ends and for clocks that run at
/// slightly different speeds.
pub(crate) fn margin(lease: Duration) -> Duration {
    lease / 5
}

impl Proof {
    /// For a lock that only its holder can end.
    pub fn endless() -> Self {
        Self(None)
    }

    /// For a lease that was granted in answer to a request sent at `sent`.
    pub(crate) fn leased(lease: Duration, sent: Moment) -> Self {
        let until = sent.plus(lease - margin(lease));
        let state = Mutex::new(State { until, problem: None, loss: None });
        Self(Some(Arc::new(Term { lease, state, lost: CancellationToken::new() })))
    }

    /// Says why the lock is lost, if it is.
    pub fn loss(&self) -> Option<Loss> {
        self.0.as_ref()?.look().loss.clone()
    }

    /// Comes back when the lock is lost.
    pub async fn lost(&self) -> Loss {
        let Some(term) = &self.0 else { return std::future::pending().await };
        loop {
            let left = {
                let state = term.look();
                if let Some(loss) = &state.loss {
                    return loss.clone();
                }
                state.until.left()
            };
            tokio::select! {
                () = term.lost.cancelled() => {}
                () = tokio::time::sleep(left.min(LOOK)) => {}
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn left(&self) -> Duration {
        let Some(term) = &self.0 else { return Duration::MAX };
        let state = term.look();
        if state.loss.is_some() { Duration::ZERO } else { state.until.left() }
    }

    /// Prolongs the lease by an answer to a request that was sent at `sent`. Too late, and it is lost all the same.
    pub(crate) fn renewed(&self, sent: Moment) {
        let Some(term) = &self.0 else { return };
        let mut state = term.look();
        state.problem = None;
        state.until = state.until.max(sent.plus(term.lease - margin(term.lease)));
    }

    /// Notes why a renewal failed, for the message if no other one succeeds.
    pub(crate) fn failed(&self, problem: String) {
        if let Some(term) = &self.0 {
            term.look().problem = Some(problem);
        }
    }

    /// Ends it.
    pub(crate) fn lose(&self, loss: Loss) {
        if let Some(term) = &self.0 {
            term.look().loss.get_or_insert(loss);
            term.lost.cancel();
        }
    }
}

impl Term {
    /// The state as it is at this moment.
    fn look(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.loss.is_none() && state.until.left().is_zero() {
            state.loss = Some(Loss::Expired { problem: state.problem.take() });
            self.lost.cancel();
        }
        state
    }
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.loss() {
            None => f.write_str("Proof(held)"),
            Some(loss) => write!(f, "Proof({loss})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(3600);

    #[test]
    fn a_lease_ends_a_margin_before_the_store_counts_it_as_over() {
        let proof = Proof::leased(LEASE, Moment::now());
        assert!(proof.left() <= LEASE - margin(LEASE) && proof.left() > LEASE / 2);
        assert_eq!(proof.loss(), None);
    }

    #[test]
    fn what_is_lost_stays_lost_though_a_renewal_is_answered_late() {
        let proof = Proof::leased(Duration::ZERO, Moment::now());
        assert_eq!(proof.loss(), Some(Loss::Expired { problem: None }));
        proof.renewed(Moment::now());
        assert_eq!(proof.loss(), Some(Loss::Expired { problem: None }));
        proof.lose(Loss::Gone);
        assert_eq!(proof.loss(), Some(Loss::Expired { problem: None }));
    }

    #[test]
    fn a_renewal_counts_from_when_it_was_sent_and_never_shortens() {
        let early = Moment::now();
        let proof = Proof::leased(LEASE, Moment::now());
        let before = proof.left();
        proof.renewed(early);
        assert!(proof.left() <= before && proof.loss().is_none());
    }

    #[tokio::test]
    async fn whoever_waits_learns_of_a_loss_and_of_its_reason() {
        let proof = Proof::leased(LEASE, Moment::now());
        let waiting = tokio::spawn({
            let proof = proof.clone();
            async move { proof.lost().await }
        });
        proof.lose(Loss::Released);
        assert_eq!(waiting.await.unwrap(), Loss::Released);
        let proof = Proof::leased(Duration::from_millis(50), Moment::now());
        proof.failed("no route".to_owned());
        assert_eq!(proof.lost().await, Loss::Expired { problem: Some("no route".to_owned()) });
    }

    #[tokio::test]
    async fn an_endless_lock_is_never_lost() {
        let proof = Proof::endless();
        proof.lose(Loss::Gone);
        assert_eq!(proof.loss(), None);
        assert!(tokio::time::timeout(Duration::from_millis(10), proof.lost()).await.is_err());
    }
}
