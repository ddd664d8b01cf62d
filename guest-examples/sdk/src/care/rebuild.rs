//! Making lost and damaged shards anew.
//!
//! A shard that is gone is made of the objects that it would list. Of one that is damaged, what can still be read says which
//! files were deleted, and which have new content that is staged; the objects say the rest. Links are left out, so the
//! next call searches. A shard that can be read stays as it is. The new shard is written by compare-and-swap against what was read.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use super::salvage::salvage;
use super::{Raw, finding, listed};
use crate::index::{Index, Layout};
use crate::path::check_scope;
use crate::retry::backoff;
use crate::shard::{Entry, Shard, document_key, staged_key};
use crate::{Error, Finding, FindingKind, Host, Remote, Result, Swap};

/// How often a shard is made anew because somebody wrote it meanwhile.
const ATTEMPTS: u32 = 5;

/// Makes the shards under a scope anew that are gone or damaged, and tells the host each file that is listed again.
pub async fn rebuild<R: Remote>(
    host: &dyn Host,
    remote: &R,
    layout: Layout,
    scope: Option<&str>,
    fence: Option<u64>,
) -> Result<()> {
    let scope = scope.unwrap_or_default();
    check_scope(scope)?;
    let index = Index::new(host, remote, layout, scope, fence);
    let there = RefCell::new(BTreeSet::new());
    let readable = RefCell::new(BTreeSet::new());
    let look = async |name: String| {
        match index.read_raw(&name).await? {
            Raw::Absent => return Ok(()),
            Raw::Read(loaded) => {
                if layout == Layout::Single {
                    index.check_root(&loaded.shard)?;
                }
                readable.borrow_mut().insert(name.clone());
            }
            Raw::Damaged { .. } if !name.starts_with(scope) => {
                let message = "this shard of the index is damaged and may list files of the model; rebuild it first: `lockkeeper index rebuild`";
                return Err(Error::fatal(message).at(&document_key(&name)));
            }
            Raw::Damaged { .. } => {}
        }
        there.borrow_mut().insert(name);
        Ok(())
    };
    index.requests.each(index.names().await?, look).await?;
    let (there, readable) = (there.into_inner(), readable.into_inner());

    let mut objects: BTreeMap<String, Vec<String>> =
        there.difference(&readable).map(|scope| (scope.clone(), Vec::new())).collect();
    let add = |unlisted: super::Unlisted| objects.entry(unlisted.scope).or_default().push(unlisted.path);
    index.unlisted(&readable, &there, add).await?;
    index
        .requests
        .each(objects, async |(scope, paths): (String, Vec<String>)| index.rebuild(&scope, &paths).await)
        .await
}

impl<R: Remote> Index<'_, R> {
    async fn rebuild(&self, scope: &str, paths: &[String]) -> Result<()> {
        let key = document_key(scope);
        for attempt in 1..=ATTEMPTS {
            let (held, token) = match self.read_raw(scope).await? {
                // Somebody was faster.
                Raw::Read(_) => return Ok(()),
                Raw::Absent => (Shard::new(scope), None),
                Raw::Damaged { bytes, token, .. } => (salvage(scope, &bytes), Some(token)),
            };
            let (mut shard, findings) = self.made_anew(held, paths).await?;
            self.stamp(&mut shard)?;
            match self.requests.swap_document(&key, token.as_ref(), &shard.to_bytes()?).await? {
                Swap::Swapped(_) => {
                    findings.into_iter().for_each(|finding| self.requests.host.found(finding));
                    return Ok(());
                }
                Swap::Mismatch => self.requests.host.pause(backoff(attempt)).await,
            }
        }
        Err(Error::retry("others keep writing this shard of the index").at(&key))
    }

    /// Makes a shard of the objects that it should list and of what is known of it.
    async fn made_anew(&self, held: Shard, paths: &[String]) -> Result<(Shard, Vec<Finding>)> {
        let shard = RefCell::new(Shard::new(&held.scope));
        shard.borrow_mut().fences = held.fences.clone();
        let findings = RefCell::new(Vec::new());
        let list = |path: &str, entry: Entry, staged: bool| {
            findings.borrow_mut().push(listed(FindingKind::Recovered, path, &entry));
            let mut shard = shard.borrow_mut();
            if staged {
                shard.unfinished.publish.insert(path.to_owned(), entry.digest.clone());
            }
            shard.files.insert(path.to_owned(), entry);
        };
        let paths: BTreeSet<&String> = paths.iter().chain(held.files.keys()).collect();
        self.requests
            .each(paths, async |path: &String| {
                if held.deleted.contains_key(path) && !held.files.contains_key(path) {
                    // Deleted, and its object was about to go.
                    shard.borrow_mut().unfinished.delete.insert(path.clone());
                    return Ok(());
                }
                let content = self.content(path).await?;
                let known = held.files.get(path);
                if let Some(known) = known.filter(|known| content.as_ref() != Some(known)) {
                    let staged = staged_key(&held.scope, path, &known.digest);
                    if self.content(&staged).await?.as_ref() == Some(known) {
                        list(path, known.clone(), true);
                        return Ok(());
                    }
                }
                match (content, known) {
                    (Some(content), _) => list(path, content, false),
                    (None, Some(known)) => {
                        findings.borrow_mut().push(listed(FindingKind::Missing, path, known));
                    }
                    (None, None) => {}
                }
                Ok(())
            })
            .await?;
        let mut shard = shard.into_inner();
        for (path, tombstone) in held.deleted {
            if !shard.files.contains_key(&path) {
                shard.deleted.insert(path, tombstone);
            }
        }
        let mut findings = findings.into_inner();
        findings.sort_by(|one, other| one.path.cmp(&other.path));
        if self.layout == Layout::Single && shard.files.is_empty() {
            findings.push(finding(FindingKind::Recovered, document_key("")));
        }
        Ok((shard, findings))
    }
}
