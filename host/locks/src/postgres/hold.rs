//! A lock that is held: a session that goes on speaking.

use std::time::Duration;

use super::session::Session;
use crate::clock::Moment;
use crate::keeper::{Hold, Kept, Setback};
use crate::{LockError, Loss, Proof};

/// Begins to renew what a session has locked in answer to a request sent at `sent`.
pub(super) fn keep(session: Session, lease: Duration, id: &str, sent: Moment) -> (Kept<PostgresHold>, Proof) {
    let proof = Proof::leased(lease, sent);
    let (gone, watched) = (session.gone(), proof.clone());
    tokio::spawn(async move {
        tokio::select! {
            // Locks go with their session.
            () = gone.now.cancelled() => watched.lose(Loss::Cut { problem: gone.problem.get().cloned() }),
            _ = watched.lost() => {}
        }
    });
    (Kept::new(PostgresHold { session, id: id.to_owned() }, proof.clone(), lease), proof)
}

/// What is locked in a session.
pub(super) struct PostgresHold {
    session: Session,
    id: String,
}

impl Hold for PostgresHold {
    async fn renew(&mut self) -> Result<(), Setback> {
        match self.session.renew(&self.id).await? {
            Some(false) => Ok(()),
            Some(true) => Err(Setback::Lost(Loss::Released)),
            None => Err(Setback::Lost(Loss::Gone)),
        }
    }

    async fn give_back(self) -> Result<(), LockError> {
        self.session.give_back(&self.id).await
    }
}
