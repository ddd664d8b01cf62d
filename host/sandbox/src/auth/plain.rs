//! `bearer` and `basic`: a secret as it is.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::HeaderValue;
use http::request::Parts;

use super::Unsigned;
use crate::secret::{Environment, Secret, SecretSource};

pub(super) const REMEDY: &str = "renew the secret";

/// How long a file's content is taken for its content: a token file may be written again while a command runs.
const FRESH: Duration = Duration::from_secs(60);

/// A secret that goes into the `Authorization` header.
pub(super) struct Plain {
    user: Option<String>,
    place: SecretSource,
    environment: Arc<dyn Environment>,
    read: Mutex<Option<(Instant, HeaderValue)>>,
}

impl Plain {
    pub(super) fn bearer(token: SecretSource, environment: &Arc<dyn Environment>) -> Self {
        Self { user: None, place: token, environment: environment.clone(), read: Mutex::default() }
    }

    pub(super) fn basic(user: String, password: SecretSource, environment: &Arc<dyn Environment>) -> Self {
        Self { user: Some(user), place: password, environment: environment.clone(), read: Mutex::default() }
    }

    pub(super) fn source(&self) -> String {
        self.place.to_string()
    }

    pub(super) fn sign(&self, parts: &mut Parts) -> Result<(), Unsigned> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let value = match &*read {
            Some((when, value)) if when.elapsed() < FRESH => value.clone(),
            _ => {
                let value = self.value()?;
                *read = Some((Instant::now(), value.clone()));
                value
            }
        };
        parts.headers.insert(http::header::AUTHORIZATION, value);
        Ok(())
    }

    fn value(&self) -> Result<HeaderValue, Unsigned> {
        let unsigned = |problem| Unsigned { problem, remedy: format!("put the secret into {}", self.place) };
        let secret = self.place.read(&*self.environment).map_err(|error| unsigned(error.to_string()))?;
        let text = match &self.user {
            Some(user) => basic(user, &secret),
            None => format!("Bearer {}", secret.reveal()),
        };
        let mut value = HeaderValue::from_str(&text)
            .map_err(|_| unsigned(format!("{} holds what no header can hold", self.place)))?;
        value.set_sensitive(true);
        Ok(value)
    }
}

fn basic(user: &str, password: &Secret) -> String {
    let pair = format!("{user}:{}", password.reveal());
    format!("Basic {}", reqsign_core::hash::base64_encode(pair.as_bytes()))
}
