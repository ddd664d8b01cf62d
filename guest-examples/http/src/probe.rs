//! Conditional writes, tried before they are trusted.
//!
//! A store that ignores `If-Match` answers like one that honours it, until two writers meet: then one of them loses what it
//! wrote. So before a store is trusted for the first time, several writers are made to meet on an object of the
//! probe's own. That it held is remembered in `/state`, and so is paid for once in each state folder.

use std::fs;
use std::path::Path;

use async_lock::OnceCell;
use futures_util::future::join_all;
use lockkeeper_sdk::{DocumentRead, Error, Result, Swap, Token};

use crate::documents::{Conditional, certain_swap};
use crate::retry::retrying;

/// Where the guest may keep what it found out.
const STATE: &str = "/state";
/// The files there that say what held.
const WRITES: &str = "conditional-writes";
const UPLOADS: &str = "conditional-uploads";
/// How many writers meet.
const WRITERS: usize = 4;

/// What was found out about a store.
pub struct Trust {
    store: String,
    writes: OnceCell<()>,
    uploads: OnceCell<bool>,
}

impl Trust {
    /// Nothing is known yet of this store; its name is for errors, and for `/state`.
    pub fn new(store: String) -> Self {
        Self { store, writes: OnceCell::new(), uploads: OnceCell::new() }
    }

    /// Makes sure, once, that conditional writes can be trusted. Tries them on an object below `folder`, which ends in `/`.
    pub async fn writes(&self, store: &impl Conditional, folder: &str) -> Result<()> {
        let tried = self.writes.get_or_try_init(async || {
            if !self.held(WRITES) {
                let key = format!("{folder}{}", random_name()?);
                let result = meet(store, &self.store, &key).await;
                // What is left of a probe is in nobody's way.
                let _ = store.delete(&key).await;
                result?;
                self.remember(WRITES);
            }
            Ok(())
        });
        tried.await.copied()
    }

    /// Finds out, once, whether large uploads can be made on a condition; not all stores that know conditional
    /// writes know that. `attempt` makes one that must be refused, and says whether it was.
    pub async fn uploads(&self, attempt: impl AsyncFn() -> Result<bool>) -> Result<bool> {
        let tried = self.uploads.get_or_try_init(async || {
            let refused = self.held(UPLOADS) || attempt().await?;
            if refused {
                self.remember(UPLOADS);
            }
            Ok(refused)
        });
        tried.await.copied()
    }

    fn held(&self, what: &str) -> bool {
        fs::read_to_string(Path::new(STATE).join(what)).is_ok_and(|found| found == self.store)
    }

    fn remember(&self, what: &str) {
        // It is tried again if this fails.
        let _ = fs::write(Path::new(STATE).join(what), &self.store);
    }
}

async fn meet(store: &impl Conditional, name: &str, key: &str) -> Result<()> {
    let created = race(store, key, None).await?;
    let token = one(created, name, "create an object only if there is none")?;
    if let Swap::Swapped(_) = store.swap(key, Some(&store.wrong_token()), b"wrong").await? {
        return Err(refused(
            name,
            "it replaced an object on the condition that it is a version that it never was",
        ));
    }
    let replaced = race(store, key, Some(&token)).await?;
    let token = one(replaced, name, "replace one version of an object")?;
    match store.read_document(key, Some(&token)).await? {
        DocumentRead::Unchanged => Ok(()),
        // A store may send what is known already, if it is that.
        DocumentRead::Changed(document) if document.token == token => Ok(()),
        _ => Err(refused(name, "the version that it says to hold is not the one that was written last")),
    }
}

/// Lets several writers meet, and answers with the tokens of those who wrote.
async fn race(store: &impl Conditional, key: &str, expected: Option<&Token>) -> Result<Vec<Token>> {
    let writers = (0..WRITERS).map(async |writer| {
        // Different bytes, or else one couldn't be told from the other.
        let bytes = format!("writer {writer} on {expected:?}");
        match store.swap(key, expected, bytes.as_bytes()).await {
            Err(Error::Retry(_)) => {
                retrying(async || certain_swap(store, key, expected, bytes.as_bytes()).await).await
            }
            result => result,
        }
    });
    let mut won = Vec::new();
    for swap in join_all(writers).await {
        if let Swap::Swapped(token) = swap? {
            won.push(token);
        }
    }
    Ok(won)
}

fn one(won: Vec<Token>, name: &str, asked: &str) -> Result<Token> {
    let count = won.len();
    let mut won = won.into_iter();
    match (won.next(), won.next()) {
        (Some(token), None) => Ok(token),
        _ => Err(refused(name, &format!("of {WRITERS} writers that asked at once to {asked}, {count} did"))),
    }
}

fn refused(name: &str, what: &str) -> Error {
    Error::config(format!(
        "{name} can't be trusted with conditional writes: {what}. Concurrent pushes would lose data, so nothing is written there; \
         use a store that honours them"
    ))
}

/// A name that nobody else uses.
pub fn random_name() -> Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| Error::fatal(format!("no random numbers: {error}")))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
