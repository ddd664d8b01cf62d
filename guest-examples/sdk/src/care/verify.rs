//! Checking the index against the objects.

use std::cell::RefCell;
use std::collections::BTreeSet;

use super::{Raw, finding, listed};
use crate::index::{Index, Layout, Loaded};
use crate::path::check_scope;
use crate::retry::backoff;
use crate::shard::{Entry, document_key, staged_key};
use crate::{Error, Finding, FindingKind, Host, Remote, Result};

/// How often a shard is looked at again because it changed meanwhile.
const ATTEMPTS: u32 = 5;

/// Tells the host each file of which the remote does not hold what the index lists, each shard that can't be read, and each object
/// whose shard is gone. Reads all content under the scope.
pub async fn verify<R: Remote>(
    host: &dyn Host,
    remote: &R,
    layout: Layout,
    scope: Option<&str>,
) -> Result<()> {
    let scope = scope.unwrap_or_default();
    check_scope(scope)?;
    let index = Index::new(host, remote, layout, scope, None);
    let there = RefCell::new(BTreeSet::new());
    let readable = RefCell::new(BTreeSet::new());
    let check = async |scope: String| {
        match index.read_raw(&scope).await? {
            Raw::Absent => return Ok(()),
            Raw::Damaged { problem, .. } => host.found(Finding {
                note: Some(problem),
                ..finding(FindingKind::Damaged, document_key(&scope))
            }),
            Raw::Read(loaded) => {
                if layout == Layout::Single {
                    index.check_root(&loaded.shard)?;
                }
                index.verify(loaded).await?;
                readable.borrow_mut().insert(scope.clone());
            }
        }
        there.borrow_mut().insert(scope);
        Ok(())
    };
    index.requests.each(index.names().await?, check).await?;
    index
        .unlisted(&readable.into_inner(), &there.into_inner(), |unlisted| {
            host.found(finding(FindingKind::Unlisted, unlisted.path));
        })
        .await
}

impl<R: Remote> Index<'_, R> {
    /// Checks one shard. What is wrong counts only if the shard is still the same afterwards.
    async fn verify(&self, mut loaded: Loaded) -> Result<()> {
        let scope = loaded.shard.scope.clone();
        for attempt in 1..=ATTEMPTS {
            let found = RefCell::new(Vec::new());
            let files = loaded.shard.files.iter().filter(|(path, _)| path.starts_with(self.scope));
            let check = async |(path, entry): (&String, &Entry)| {
                let kind = match self.content(path).await? {
                    Some(content) if content == *entry => return Ok(()),
                    _ if self.is_staged(&loaded, path, entry).await? => return Ok(()),
                    Some(_) => FindingKind::Different,
                    None => FindingKind::Missing,
                };
                found.borrow_mut().push(listed(kind, path, entry));
                Ok(())
            };
            self.requests.each(files, check).await?;
            let found = found.into_inner();
            if found.is_empty() {
                return Ok(());
            }
            let Some(now) = self.read(&scope, None).await? else { break };
            if now.token == loaded.token {
                found.into_iter().for_each(|finding| self.requests.host.found(finding));
                return Ok(());
            }
            loaded = now;
            self.requests.host.pause(backoff(attempt)).await;
        }
        Err(Error::retry("this shard of the index is being changed all the time").at(&document_key(&scope)))
    }

    async fn is_staged(&self, loaded: &Loaded, path: &str, entry: &Entry) -> Result<bool> {
        let staged = staged_key(&loaded.shard.scope, path, &entry.digest);
        Ok(loaded.shard.unfinished.publish.contains_key(path)
            && self.content(&staged).await?.as_ref() == Some(entry))
    }
}
