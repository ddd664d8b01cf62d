//! Finding, reading and committing the shards of the index.

use futures_util::StreamExt;

use crate::path::folders;
use crate::requests::Requests;
use crate::retry::backoff;
use crate::shard::{Shard, document_key, index_prefix, scope_of};
use crate::{DocumentRead, Error, Remote, Result, Swap, Token};

/// How often a commit is tried against a shard that others write.
const COMMIT_ATTEMPTS: u32 = 8;

/// How the index is divided into documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// One shard for each scope: no push writes the index on behalf of a scope that it wasn't given.
    PerScope,
    /// One document for everything.
    Single,
}

/// The index of one remote.
pub(crate) struct Index<'a, R> {
    pub(crate) requests: Requests<'a, R>,
    pub(crate) layout: Layout,
}

/// A shard, and the version of the document that it was read from.
pub(crate) struct Loaded {
    pub(crate) shard: Shard,
    token: Option<Token>,
}

impl<R: Remote> Index<'_, R> {
    /// Names each shard that may list files under a scope; some of them may not exist.
    ///
    /// Scopes nest, and a path stays in the shard that first listed it: besides the scope's own shard,
    /// those above and below it count.
    pub(crate) async fn candidates(&self, scope: &str) -> Result<Vec<String>> {
        match self.layout {
            Layout::Single => match self.list("").await?.iter().find(|found| !found.is_empty()) {
                Some(other) => Err(wrong_layout("one index for each scope", other)),
                None => Ok(vec![String::new()]),
            },
            Layout::PerScope => {
                if !scope.is_empty() && self.read("").await?.is_some() {
                    return Err(wrong_layout("one index for everything", ""));
                }
                let above = folders(scope).filter(|folder| !folder.is_empty()).map(str::to_owned);
                let below = self.list(scope).await?;
                if below.iter().any(String::is_empty) {
                    return Err(wrong_layout("one index for everything", ""));
                }
                Ok(above
                    .chain(below.into_iter().filter(|found| found != scope || scope.is_empty()))
                    .collect())
            }
        }
    }

    /// Reads a shard, `None` if there is none.
    pub(crate) async fn read(&self, scope: &str) -> Result<Option<Loaded>> {
        match self.requests.read_document(&document_key(scope), None).await? {
            DocumentRead::Changed(document) => {
                Ok(Some(Loaded { shard: Shard::parse(scope, &document.bytes)?, token: Some(document.token) }))
            }
            DocumentRead::Absent => Ok(None),
            DocumentRead::Unchanged => {
                Err(Error::fatal("the remote compares with a version that nobody named"))
            }
        }
    }

    /// Reads a shard, or makes a new one if there is none.
    pub(crate) async fn open(&self, scope: &str) -> Result<Loaded> {
        Ok(self.read(scope).await?.unwrap_or_else(|| Loaded { shard: Shard::new(scope), token: None }))
    }

    /// Commits a change to a shard; `change` answers false if there is nothing to commit.
    ///
    /// If somebody else was faster, the change is made again to what they wrote: a commit merges, it never replaces.
    pub(crate) async fn update(
        &self,
        loaded: &mut Loaded,
        mut change: impl FnMut(&mut Shard) -> Result<bool>,
    ) -> Result<()> {
        let scope = loaded.shard.scope.clone();
        let key = document_key(&scope);
        for attempt in 1..=COMMIT_ATTEMPTS {
            let mut next = loaded.shard.clone();
            if !change(&mut next)? {
                return Ok(());
            }
            let bytes = next.to_bytes()?;
            match self.requests.swap_document(&key, loaded.token.as_ref(), &bytes).await? {
                Swap::Swapped(token) => {
                    *loaded = Loaded { shard: next, token: Some(token) };
                    return Ok(());
                }
                Swap::Mismatch => {
                    if attempt > 1 {
                        self.requests.host.pause(backoff(attempt)).await;
                    }
                    *loaded = self
                        .read(&scope)
                        .await?
                        .ok_or_else(|| Error::retry("this shard of the index came and went").at(&key))?;
                }
            }
        }
        Err(Error::retry("others keep writing this shard of the index").at(&key))
    }

    async fn list(&self, scope: &str) -> Result<Vec<String>> {
        let prefix = index_prefix(scope);
        let mut found = Vec::new();
        let mut listing = std::pin::pin!(self.requests.list_documents(&prefix));
        while let Some(listed) = listing.next().await {
            found.push(scope_of(&listed?.key)?);
        }
        Ok(found)
    }
}

fn wrong_layout(kept: &str, scope: &str) -> Error {
    Error::config(format!("this remote is kept by another extension, with {kept}")).at(&document_key(scope))
}
