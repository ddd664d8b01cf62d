//! Dividing the one index of everything into one for each scope.
//!
//! 1. Finish what pushes left undone.
//! 2. Mark the index. From here on, nobody who keeps one index for everything can read it: an older client finds a version that it
//!    doesn't know, a newer one the mark. It still lists everything.
//! 3. Write the shards, each by compare-and-swap. Cut off, this is begun again: what a shard knows already stays as it is.
//! 4. Mark the index as divided; it lists nothing any more.
//!
//! Each mark is a new version of the document, so no version that anybody remembers is current afterwards.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::TryStreamExt;

use super::finding;
use crate::index::{Index, Layout, Loaded};
use crate::path::depth;
use crate::settle::settle;
use crate::shard::{Conversion, Entry, Links, Shard, Tombstone, document_key};
use crate::shards::{MODEL_DEPTH, place};
use crate::{Error, Finding, FindingKind, Host, Level, Remote, Result};

/// The files and tombstones that one shard takes over.
#[derive(Default)]
struct Part {
    files: BTreeMap<String, Entry>,
    deleted: BTreeMap<String, Tombstone>,
}

/// Divides the index; does nothing if that is done already.
pub async fn convert<R: Remote>(
    host: &dyn Host,
    remote: &R,
    layout: Layout,
    fence: Option<u64>,
) -> Result<()> {
    if layout == Layout::Single {
        let message = "this extension keeps one index for everything; first set `extension` to one that declares `scoped-sync`, then convert";
        return Err(Error::config(message));
    }
    let index = Index::new(host, remote, layout, "", fence);
    let Some(mut root) = index.read("", None).await? else {
        host.log(Level::Info, "there is no index for everything, so there is nothing to convert");
        return Ok(());
    };
    if root.shard.conversion.is_none() {
        settle(&index, [&mut root]).await?;
        index.update(&mut root, begin).await?;
    }
    if root.shard.conversion == Some(Conversion::Done) {
        host.log(Level::Info, "the index is divided already");
        return Ok(());
    }
    let parts = divide(&root.shard);
    let scopes: BTreeSet<String> = parts.keys().cloned().collect();
    let existing: BTreeSet<String> = index.list("").map_ok(|(scope, _)| scope).try_collect().await?;
    index
        .requests
        .each(&parts, async |(scope, part): (&String, &Part)| {
            let held = if existing.contains(scope) { index.read(scope, None).await? } else { None };
            let mut loaded = held.unwrap_or_else(|| Loaded::new(scope));
            index.update(&mut loaded, |shard| Ok(take_over(shard, part, &scopes))).await?;
            let note = format!("{} files, {} deleted", part.files.len(), part.deleted.len());
            host.found(Finding { note: Some(note), ..finding(FindingKind::Converted, document_key(scope)) });
            Ok(())
        })
        .await?;
    let done = |root: &mut Shard| {
        let changed = root.conversion != Some(Conversion::Done);
        let fences = std::mem::take(&mut root.fences);
        *root = Shard::new("");
        root.fences = fences;
        root.conversion = Some(Conversion::Done);
        Ok(changed)
    };
    index.update(&mut root, done).await
}

fn begin(root: &mut Shard) -> Result<bool> {
    if root.conversion.is_some() {
        return Ok(false);
    }
    if root.unfinished != crate::shard::Unfinished::default() {
        return Err(Error::retry("somebody pushes to this remote; convert it when nobody does"));
    }
    root.conversion = Some(Conversion::Begun);
    Ok(true)
}

/// Groups what everything lists by the shard that is to list it. The same each time, since a marked index doesn't change.
fn divide(root: &Shard) -> BTreeMap<String, Part> {
    let mut paths: Vec<&String> = root.files.keys().chain(root.deleted.keys()).collect();
    // A shard that is made for a shallow path takes the deeper ones as well, as in a push.
    paths.sort_by_key(|path| depth(path));
    let mut known = BTreeSet::new();
    let mut parts: BTreeMap<String, Part> = BTreeMap::new();
    for path in paths {
        let scope = place("", &known, path).to_owned();
        known.insert(scope.clone());
        let part = parts.entry(scope).or_default();
        if let Some(entry) = root.files.get(path) {
            part.files.insert(path.clone(), entry.clone());
        } else if let Some(tombstone) = root.deleted.get(path) {
            part.deleted.insert(path.clone(), tombstone.clone());
        }
    }
    parts
}

/// Adds what a shard doesn't know; answers whether there was anything.
fn take_over(shard: &mut Shard, part: &Part, scopes: &BTreeSet<String>) -> bool {
    let new = |path: &str| !shard.lists(path);
    let files: Vec<_> = part.files.iter().filter(|(path, _)| new(path)).collect();
    let deleted: Vec<_> = part.deleted.iter().filter(|(path, _)| new(path)).collect();
    let changed = !files.is_empty() || !deleted.is_empty();
    shard.files.extend(files.into_iter().map(|(path, entry)| (path.clone(), entry.clone())));
    shard.deleted.extend(deleted.into_iter().map(|(path, tombstone)| (path.clone(), tombstone.clone())));
    if changed && depth(&shard.scope) >= MODEL_DEPTH {
        let below = scopes.iter().filter(|scope| scope.starts_with(&shard.scope) && **scope != shard.scope);
        shard.links.get_or_insert_with(Links::default).below.extend(below.cloned());
    }
    changed
}
