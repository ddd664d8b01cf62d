//! The shards that a push works on, and which of them a path belongs to.

use std::collections::{BTreeMap, BTreeSet};

use crate::index::{Index, Layout, Loaded};
use crate::path::{depth, folders};
use crate::settle::settle;
use crate::{Error, Remote, Result};

/// How many segments the scope of a model has at least: `data/{type}/{id}/`.
///
/// A shard above that keeps the files of its own folder alone, lest it become the index of everything.
const MODEL_DEPTH: usize = 3;

/// The shards of one push.
pub(crate) struct Shards<'a, R> {
    index: &'a Index<'a, R>,
    scope: &'a str,
    known: BTreeSet<String>,
    loaded: BTreeMap<String, Loaded>,
}

/// The folder to list a new file's model in when nobody says which model it belongs to: `data/{type}/{id}/`.
///
/// All of a model's files in one shard are committed at once. A type that begins with `@` has more segments, nobody here
/// knows how many; its files are listed by their own folder.
fn model(parent: &str) -> &str {
    let several_segments = parent.split('/').nth(1).is_some_and(|segment| segment.starts_with('@'));
    if several_segments { parent } else { folders(parent).nth(MODEL_DEPTH).unwrap_or(parent) }
}

impl<'a, R: Remote> Shards<'a, R> {
    /// Finds the shards that may list files under a scope. Given a scope, reads them; they are few.
    pub(crate) async fn load(index: &'a Index<'a, R>, scope: &'a str) -> Result<Self> {
        let mut shards = Self { index, scope, known: BTreeSet::new(), loaded: BTreeMap::new() };
        for candidate in index.candidates(scope).await? {
            if scope.is_empty() {
                shards.known.insert(candidate);
            } else if let Some(loaded) = index.read(&candidate).await? {
                shards.add(loaded).await?;
            }
        }
        Ok(shards)
    }

    /// Names the shard that a path belongs to: the one that lists it, or else the one to list it from now on.
    pub(crate) async fn owner(&mut self, path: &str) -> Result<String> {
        if !path.starts_with(self.scope) {
            return Err(Error::fatal(format!("not under the scope {:?}", self.scope)).at(path));
        }
        let parent = folders(path).next_back().unwrap_or_default();
        if self.index.layout == Layout::Single {
            return Ok(String::new());
        }
        if parent.is_empty() {
            return Err(Error::fatal("a file outside of any folder belongs to no scope").at(path));
        }
        let known: Vec<_> = folders(path).rev().filter(|folder| self.known.contains(*folder)).collect();
        for folder in &known {
            if self.get(folder).await?.shard.lists(path) {
                return Ok((*folder).to_owned());
            }
        }
        let owner = match self.scope {
            "" => {
                known.into_iter().find(|folder| depth(folder) >= MODEL_DEPTH).unwrap_or_else(|| model(parent))
            }
            scope => scope,
        };
        self.known.insert(owner.to_owned());
        Ok(owner.to_owned())
    }

    /// The shard of a scope, read when it is first asked for.
    pub(crate) async fn get(&mut self, scope: &str) -> Result<&mut Loaded> {
        if !self.loaded.contains_key(scope) {
            let loaded = self.index.open(scope).await?;
            self.add(loaded).await?;
        }
        self.loaded.get_mut(scope).ok_or_else(|| Error::fatal("a shard that was read is not there"))
    }

    /// Takes a shard in, having finished what an earlier push left undone.
    async fn add(&mut self, mut loaded: Loaded) -> Result<()> {
        settle(self.index, &mut loaded, self.scope).await?;
        self.known.insert(loaded.shard.scope.clone());
        self.loaded.insert(loaded.shard.scope.clone(), loaded);
        Ok(())
    }
}
