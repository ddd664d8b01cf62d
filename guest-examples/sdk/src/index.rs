//! Finding, reading and committing the shards of the index.

use crate::path::folders;
use crate::retry::{backoff, retry};
use crate::shard::{Shard, document_key, index_prefix, scope_of};
use crate::{Error, Host, Remote, Result, Swap, Token};

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
#[derive(Clone, Copy)]
pub(crate) struct Index<'a> {
    pub(crate) host: &'a dyn Host,
    pub(crate) remote: &'a dyn Remote,
    pub(crate) layout: Layout,
}

/// A shard, and the version of the document that it was read from.
pub(crate) struct Loaded {
    pub(crate) shard: Shard,
    token: Option<Token>,
}

impl<'a> Index<'a> {
    /// Names each shard that may list files under a scope; some of them may not exist.
    ///
    /// Scopes nest, and a path stays in the shard that first listed it: besides the scope's own shard,
    /// those above and below it count.
    pub(crate) fn candidates(&self, scope: &str) -> Result<Box<dyn Iterator<Item = Result<String>> + 'a>> {
        match self.layout {
            Layout::Single => {
                if let Some(other) =
                    self.list("")?.find(|found| found.as_ref().map_or(true, |found| !found.is_empty()))
                {
                    return Err(wrong_layout("one index for each scope", &other?));
                }
                Ok(Box::new(std::iter::once(Ok(String::new()))))
            }
            Layout::PerScope => {
                if !scope.is_empty() && self.read("")?.is_some() {
                    return Err(wrong_layout("one index for everything", ""));
                }
                let above: Vec<_> = folders(scope)
                    .filter(|folder| !folder.is_empty())
                    .map(|folder| Ok(folder.to_owned()))
                    .collect();
                let own = scope.to_owned();
                let below = self.list(scope)?.filter(move |found| {
                    found.as_ref().map_or(true, |found| *found != own || own.is_empty())
                });
                let below = below.map(|found| match found?.as_str() {
                    "" => Err(wrong_layout("one index for everything", "")),
                    found => Ok(found.to_owned()),
                });
                Ok(Box::new(above.into_iter().chain(below)))
            }
        }
    }

    /// Reads a shard, `None` if there is none.
    pub(crate) fn read(&self, scope: &str) -> Result<Option<Loaded>> {
        let key = document_key(scope);
        match retry(self.host, || self.remote.read_document(&key)).map_err(|error| error.at(&key))? {
            Some(document) => {
                Ok(Some(Loaded { shard: Shard::parse(scope, &document.bytes)?, token: Some(document.token) }))
            }
            None => Ok(None),
        }
    }

    /// Reads a shard, or makes a new one if there is none.
    pub(crate) fn open(&self, scope: &str) -> Result<Loaded> {
        Ok(self.read(scope)?.unwrap_or_else(|| Loaded { shard: Shard::new(scope), token: None }))
    }

    /// Commits a change to a shard; `change` answers false if there is nothing to commit.
    ///
    /// If somebody else was faster, the change is made again to what they wrote: a commit merges, it never replaces.
    pub(crate) fn update(
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
            let swap = retry(self.host, || self.remote.swap_document(&key, loaded.token.as_ref(), &bytes));
            match swap.map_err(|error| error.at(&key))? {
                Swap::Swapped(token) => {
                    *loaded = Loaded { shard: next, token: Some(token) };
                    return Ok(());
                }
                Swap::Mismatch => {
                    if attempt > 1 {
                        self.host.pause(backoff(attempt));
                    }
                    *loaded = self
                        .read(&scope)?
                        .ok_or_else(|| Error::retry("this shard of the index came and went").at(&key))?;
                }
            }
        }
        Err(Error::retry("others keep writing this shard of the index").at(&key))
    }

    fn list(&self, scope: &str) -> Result<impl Iterator<Item = Result<String>> + use<'a>> {
        let found = retry(self.host, || self.remote.list_documents(&index_prefix(scope)))?;
        Ok(found.map(|key| scope_of(&key?)))
    }
}

fn wrong_layout(kept: &str, scope: &str) -> Error {
    Error::config(format!("this remote is kept by another extension, with {kept}")).at(&document_key(scope))
}
