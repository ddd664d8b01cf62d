//! Failing together: requests that wait for the same credentials need not each find out anew that there are none.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqsign_core::{Context, Error, ErrorKind, ProvideCredential, Result};

use super::described;

/// How long a failure is taken for an answer.
const FRESH: Duration = Duration::from_secs(2);

/// A provider that doesn't ask again right after it failed. The signer lets one request ask at a time.
#[derive(Debug)]
pub(super) struct Recent<P> {
    provider: P,
    failed: Mutex<Option<(Instant, ErrorKind, String)>>,
}

impl<P> Recent<P> {
    pub(super) fn new(provider: P) -> Self {
        Self { provider, failed: Mutex::default() }
    }

    fn failure(&self) -> Option<Error> {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let (when, kind, problem) = failed.as_ref()?;
        (when.elapsed() < FRESH).then(|| Error::new(*kind, problem))
    }
}

impl<P: ProvideCredential> ProvideCredential for Recent<P> {
    type Credential = P::Credential;

    async fn provide_credential(&self, context: &Context) -> Result<Option<P::Credential>> {
        if let Some(error) = self.failure() {
            return Err(error);
        }
        let provided = self.provider.provide_credential(context).await;
        if let Err(error) = &provided {
            let failed = (Instant::now(), error.kind(), described(error));
            *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(failed);
        }
        provided
    }
}
