//! Finding the shards that may list files under a scope.
//!
//! Scopes nest, and a path stays in the shard that first listed it: besides a scope's own shard, those above and below it
//! count. A shard's [links](crate::shard::Links) name them, so that a call with nothing to do makes one request.
//!
//! Why following the links misses nothing. A new file goes to the deepest shard that covers it, so a shard above lists files
//! under a scope only if it did so when the scope's own shard was made, and then the own shard says so. A shard that
//! is made names those that are there below it, and before it is written it is named by the nearest one above. Hence, of any two of
//! which one lies below the other, the lower one is found from the upper one, if need be over others in between. All this
//! holds since the host's locks keep calls on overlapping scopes apart; two scopes side by side name themselves in a shard above them by
//! compare-and-swap. If no shard is there, or one without links, the remote is searched: the same few requests, however much it holds.

use std::collections::BTreeSet;

use futures_util::{StreamExt, TryStreamExt, stream};

use crate::index::{Index, Layout, Loaded, Named};
use crate::path::folders;
use crate::{Remote, Result};

/// What there is around a scope.
pub(crate) struct Around {
    /// The shards that were read.
    pub(crate) loaded: Vec<Loaded>,
    /// The shards that are there and were not read; they lie below the scope.
    pub(crate) unread: Vec<Named>,
}

impl<R: Remote> Index<'_, R> {
    /// Hands each shard that may list files under the scope of this call to `task`, several at once.
    pub(crate) async fn each_shard(&self, task: impl AsyncFn(Loaded) -> Result<()>) -> Result<()> {
        let tasks = self.requests.tasks();
        match (self.layout, self.scope) {
            (Layout::Single, _) => task(self.open_single().await?).await,
            (Layout::PerScope, "") => {
                let read = async |(scope, token): Named| {
                    let Some(loaded) = self.read(&scope, token.as_ref()).await? else { return Ok(()) };
                    if scope.is_empty() { self.check_root(&loaded.shard) } else { task(loaded).await }
                };
                self.list("").try_for_each_concurrent(tasks, read).await
            }
            (Layout::PerScope, _) => {
                let around = self.around().await?;
                let loaded = stream::iter(around.loaded).map(Ok);
                let unread = stream::iter(around.unread)
                    .then(async |(scope, token)| self.read(&scope, token.as_ref()).await)
                    .try_filter_map(async |loaded| Ok(loaded));
                loaded.chain(unread).try_for_each_concurrent(tasks, async |loaded| task(loaded).await).await
            }
        }
    }

    /// Finds the shards around the scope of this call, which is not empty.
    pub(crate) async fn around(&self) -> Result<Around> {
        let own = self.read(self.scope, None).await?;
        if let Some(own) = &own
            && let Some(loaded) = self.follow(own).await?
        {
            return Ok(Around { loaded: [vec![own.clone()], loaded].concat(), unread: Vec::new() });
        }
        self.search(own).await
    }

    /// Reads what a shard links to; `None` if the links don't tell all.
    async fn follow(&self, own: &Loaded) -> Result<Option<Vec<Loaded>>> {
        let Some(links) = &own.shard.links else { return Ok(None) };
        let mut seen: BTreeSet<String> = links.above.union(&links.below).cloned().collect();
        let mut next: Vec<String> = seen.iter().cloned().collect();
        let mut found = Vec::new();
        while !next.is_empty() {
            for loaded in self.read_all(next.drain(..).map(|scope| (scope, None)).collect::<Vec<_>>()).await?
            {
                if loaded.shard.scope.starts_with(self.scope) {
                    let Some(links) = &loaded.shard.links else { return Ok(None) };
                    next.extend(links.below.iter().filter(|scope| seen.insert((*scope).clone())).cloned());
                }
                found.push(loaded);
            }
        }
        Ok(Some(found))
    }

    /// Looks at all places where a shard could be.
    async fn search(&self, own: Option<Loaded>) -> Result<Around> {
        let above = folders(self.scope).filter(|folder| *folder != self.scope);
        let mut loaded = self.read_all(above.map(|folder| (folder.to_owned(), None))).await?;
        for root in loaded.extract_if(.., |loaded| loaded.shard.scope.is_empty()) {
            self.check_root(&root.shard)?;
        }
        loaded.extend(own);
        let unread = self.list(self.scope).try_filter(|(scope, _)| std::future::ready(scope != self.scope));
        Ok(Around { loaded, unread: unread.try_collect().await? })
    }
}
