//! Objects that one hold of a lock, or one wait for it, has written.

use std::time::Duration;

use object_store::path::Path;

use super::objects::{Objects, Version};
use super::record::{Places, Record, State};
use super::watch::Watch;
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

    /// Writes it again with another content; says how it was lost if it is this side's own no longer.
    ///
    /// Done only once it is written: what an earlier try wrote whose answer never came is found again, but others
    /// may have counted from then on.
    pub(super) async fn set(&mut self, state: State, number: u64) -> Result<Option<Loss>, LockError> {
        let Some(own) = self.record.holder.clone() else { return Ok(Some(Loss::Gone)) };
        loop {
            // Taken: if this fails or is given up, what is there isn't known.
            if let Some(version) = self.version.take() {
                let record = Record { state, number, ..self.record.clone() };
                let sent = Moment::now();
                if let Some(version) = self.objects.swap(&self.path, &record, &version).await? {
                    (self.version, self.record, self.sent) = (Some(version), record, sent);
                    return Ok(None);
                }
            }
            match self.objects.read(&self.path).await? {
                Some((record, _)) if record.is_of(&own.id) && record.released => {
                    return Ok(Some(Loss::Released));
                }
                Some((record, version)) if record.is_of(&own.id) => self.version = Some(version),
                _ => return Ok(Some(Loss::Gone)),
            }
        }
    }

    /// Writes it again as it is; says how it was lost if it is this side's own no longer.
    pub(super) async fn renew(&mut self) -> Result<Option<Loss>, LockError> {
        self.set(self.record.state, self.record.number).await
    }

    /// Whether the last write of it is known to have been made.
    pub(super) fn is_certain(&self) -> bool {
        self.version.is_some()
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
            (_, Mode::Shared) => Record::ended(),
        };
        let mut version = self.version.take();
        // Twice: a renewal whose answer was lost, or a release by somebody else, has left another version.
        for _ in 0..2 {
            let known = match version.take() {
                Some(version) => version,
                None => match self.objects.read(&self.path).await? {
                    Some((record, version)) if record.is_of(&own.id) => version,
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
    /// Who is or was in the way.
    pub(super) watch: Watch,
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
        match Own::renew(self).await? {
            None => Ok(()),
            Some(loss) => Err(Setback::Lost(loss)),
        }
    }

    async fn give_back(self) -> Result<(), LockError> {
        self.give_up().await
    }
}

#[cfg(test)]
mod tests {
    use lockkeeper_remotes::s3::{MemoryS3, Options};
    use lockkeeper_remotes::tcp;

    use super::*;
    use crate::bucket::BucketOptions;
    use crate::{Identity, LockKey, Tls};

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_renewal_after_one_whose_answer_is_not_known_is_written_and_not_only_looked_up() {
        let server = tcp::Server::start(MemoryS3::new(Options::default()).unwrap()).await.unwrap();
        let origin = server.origin();
        let settings =
            [("aws_endpoint", &*origin), ("aws_allow_http", "true"), ("aws_skip_signature", "true")];
        let objects = Objects::open(&BucketOptions {
            url: "s3://bucket/locks".to_owned(),
            settings: settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            space: "test".to_owned(),
            lease: Duration::from_secs(60),
            tls: Tls::default(),
        })
        .unwrap();
        let who = Identity { user: "ada".into(), host: "mill".into(), pid: 1, command: "test".into() };
        let holder = Holder::new(&LockKey::parse("sync").unwrap(), Mode::Exclusive, &who, false);
        let record = Record::new(State::Held, 1, &holder, Duration::from_secs(60));
        let path = objects.prefix().clone().join("record");
        let mut own = Own::new(&objects, path.clone(), record);
        assert!(own.make().await.unwrap());
        let before = own.version.take().unwrap();
        let asked = Moment::now();
        assert_eq!(own.renew().await.unwrap(), None);
        let (_, after) = objects.read(&path).await.unwrap().unwrap();
        assert_ne!(after, before);
        assert!(own.sent >= asked);
        // Somebody else has taken it.
        objects.swap(&path, &Record::free(1), &after).await.unwrap().unwrap();
        assert_eq!(own.renew().await.unwrap(), Some(Loss::Gone));
    }
}
