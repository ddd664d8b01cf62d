//! Reading and committing the shards of the index.

use futures_util::{Stream, StreamExt, TryStreamExt, stream};

use crate::mirror::Mirror;
use crate::requests::Requests;
use crate::retry::backoff;
use crate::shard::{Conversion, Shard, document_key, index_prefix, scope_of};
use crate::{DocumentRead, Error, Host, Remote, Result, Swap, Token};

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

/// The index of one remote, as one call sees it.
pub(crate) struct Index<'a, R> {
    pub(crate) requests: Requests<'a, R>,
    pub(crate) layout: Layout,
    /// The scope of the call.
    pub(crate) scope: &'a str,
    /// The fencing number that the call writes under.
    fence: Option<u64>,
    mirror: Mirror<'a>,
}

/// A shard, and the version of the document that it was read from; none if it is new.
#[derive(Clone)]
pub(crate) struct Loaded {
    pub(crate) shard: Shard,
    pub(crate) token: Option<Token>,
}

impl Loaded {
    pub(crate) fn new(scope: &str) -> Self {
        Self { shard: Shard::new(scope), token: None }
    }
}

/// The scope of a shard that there is, and its version if a listing told.
pub(crate) type Named = (String, Option<Token>);

impl<'a, R: Remote> Index<'a, R> {
    pub(crate) fn new(
        host: &'a dyn Host,
        remote: &'a R,
        layout: Layout,
        scope: &'a str,
        fence: Option<u64>,
    ) -> Self {
        Self { requests: Requests::new(host, remote), layout, scope, fence, mirror: Mirror::new(host) }
    }

    /// Reads a shard, `None` if there is none.
    ///
    /// What a listing of this call tells about its version saves the request if that is the version seen last.
    pub(crate) async fn read(&self, scope: &str, listed: Option<&Token>) -> Result<Option<Loaded>> {
        let key = document_key(scope);
        let mirrored = self.mirror.read(&key).and_then(|document| {
            let shard = Shard::parse(scope, &document.bytes).ok()?;
            Some(Loaded { shard, token: Some(document.token) })
        });
        let known = mirrored.as_ref().and_then(|mirrored| mirrored.token.as_ref());
        if listed.is_some() && listed == known {
            return Ok(mirrored);
        }
        match self.requests.read_document(&key, known).await? {
            DocumentRead::Unchanged if mirrored.is_some() => Ok(mirrored),
            DocumentRead::Unchanged => {
                Err(Error::fatal("the remote compares with a version that nobody named").at(&key))
            }
            DocumentRead::Changed(document) => {
                let shard = Shard::parse(scope, &document.bytes)?;
                self.mirror.write(&key, &document.token, &document.bytes);
                Ok(Some(Loaded { shard, token: Some(document.token) }))
            }
            DocumentRead::Absent => {
                self.mirror.forget(&key);
                Ok(None)
            }
        }
    }

    /// Reads the shards that there are among these, several at once.
    pub(crate) async fn read_all(&self, named: impl IntoIterator<Item = Named>) -> Result<Vec<Loaded>> {
        let reads = stream::iter(named)
            .map(async |(scope, listed)| self.read(&scope, listed.as_ref()).await)
            .buffer_unordered(self.requests.tasks());
        reads.try_filter_map(async |loaded| Ok(loaded)).try_collect().await
    }

    /// Names the shards whose scope begins with this one.
    pub(crate) fn list(&self, scope: &str) -> impl Stream<Item = Result<Named>> + use<'_, 'a, R> {
        let found = self.requests.list_documents(&index_prefix(scope));
        found.map(|listed| listed.and_then(|listed| Ok((scope_of(&listed.key)?, listed.token))))
    }

    /// Refuses to go on if a shard was written under a later lock than that of this call.
    pub(crate) fn check_fence(&self, shard: &Shard) -> Result<()> {
        match (self.fence, shard.fence_over(self.scope)) {
            (Some(own), Some(other)) if other > own => Err(Error::Fenced(other)),
            _ => Ok(()),
        }
    }

    /// Notes the lock that a shard is written under, if it is not an earlier one.
    pub(crate) fn stamp(&self, shard: &mut Shard) -> Result<()> {
        self.check_fence(shard)?;
        if let Some(fence) = self.fence {
            shard.fence(self.scope, fence);
        }
        Ok(())
    }

    /// Commits a change to a shard; `change` answers false if there is nothing to commit.
    ///
    /// If somebody else was faster, the change is made again to what they wrote: a commit merges, it never replaces.
    pub(crate) async fn update(
        &self,
        loaded: &mut Loaded,
        change: impl Fn(&mut Shard) -> Result<bool>,
    ) -> Result<()> {
        let scope = loaded.shard.scope.clone();
        let key = document_key(&scope);
        for attempt in 1..=COMMIT_ATTEMPTS {
            self.check_fence(&loaded.shard)?;
            let mut next = loaded.shard.clone();
            if !change(&mut next)? {
                return Ok(());
            }
            self.stamp(&mut next)?;
            let bytes = next.to_bytes()?;
            match self.requests.swap_document(&key, loaded.token.as_ref(), &bytes).await? {
                Swap::Swapped(token) => {
                    self.mirror.write(&key, &token, &bytes);
                    *loaded = Loaded { shard: next, token: Some(token) };
                    return Ok(());
                }
                Swap::Mismatch => {
                    if attempt > 1 {
                        self.requests.host.pause(backoff(attempt)).await;
                    }
                    *loaded = self
                        .read(&scope, None)
                        .await?
                        .ok_or_else(|| Error::retry("this shard of the index came and went").at(&key))?;
                }
            }
        }
        Err(Error::retry("others keep writing this shard of the index").at(&key))
    }

    /// Refuses the remote if this shard, that of everything, says that another layout keeps it.
    pub(crate) fn check_root(&self, root: &Shard) -> Result<()> {
        let message = match (self.layout, root.conversion) {
            (Layout::PerScope, Some(Conversion::Done)) | (Layout::Single, None) => return Ok(()),
            (Layout::PerScope, None) => {
                "this remote is kept by another extension, with one index for everything; `lockkeeper index convert` divides it"
            }
            (_, Some(Conversion::Begun)) => {
                "this remote's index is being converted to one for each scope; if nobody is at it, run `lockkeeper index convert` again"
            }
            (Layout::Single, Some(Conversion::Done)) => {
                "this remote's index was converted to one for each scope; use an extension that keeps it so"
            }
        };
        Err(Error::config(message).at(&document_key("")))
    }

    /// Reads the one index of a remote that has no other.
    pub(crate) async fn open_single(&self) -> Result<Loaded> {
        if let Some(loaded) = self.read("", None).await? {
            self.check_root(&loaded.shard)?;
            return Ok(loaded);
        }
        let mut other = std::pin::pin!(self.list(""));
        while let Some(found) = other.next().await {
            let (scope, _) = found?;
            if !scope.is_empty() {
                let message = "this remote is kept by another extension, with one index for each scope";
                return Err(Error::config(message).at(&document_key(&scope)));
            }
        }
        Ok(Loaded::new(""))
    }
}
