//! The shards that a push works on, and which of them a path belongs to.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::StreamExt;

use crate::index::{Index, Layout, Loaded, Named};
use crate::path::{depth, folders};
use crate::settle::settle;
use crate::shard::{Links, Shard};
use crate::{Change, Error, Remote, Result};

/// How many segments the scope of a model has at least: `data/{type}/{id}/`.
///
/// A shard above that keeps the files of its own folder alone, lest it become the index of everything, and has no links.
pub(crate) const MODEL_DEPTH: usize = 3;

/// The shards of one push.
pub(crate) struct Shards {
    /// The scopes of the shards that there are, or will be, as far as they matter to the changes.
    known: BTreeSet<String>,
    loaded: BTreeMap<String, Loaded>,
}

/// The folder to list a new file's model in when nobody says which model it belongs to: `data/{type}/{id}/`.
///
/// All of a model's files in one shard are committed at once. A type that begins with `@` has more segments, nobody here
/// knows how many; its files are listed by their own folder.
pub(crate) fn model(parent: &str) -> &str {
    let several_segments = parent.split('/').nth(1).is_some_and(|segment| segment.starts_with('@'));
    if several_segments { parent } else { folders(parent).nth(MODEL_DEPTH).unwrap_or(parent) }
}

fn parent(path: &str) -> &str {
    folders(path).next_back().unwrap_or_default()
}

/// Names the shard that is to list a file which none lists: the deepest that covers it, if there is one.
pub(crate) fn place<'p>(scope: &'p str, known: &BTreeSet<String>, path: &'p str) -> &'p str {
    let mut known = folders(path).rev().filter(|folder| known.contains(*folder));
    match scope {
        "" => known.find(|folder| depth(folder) >= MODEL_DEPTH).unwrap_or_else(|| model(parent(path))),
        scope => known.find(|folder| folder.starts_with(scope)).unwrap_or(scope),
    }
}

impl Shards {
    /// Reads the shards that may list the changed files, and finishes what earlier pushes left undone in them.
    pub(crate) async fn load<R: Remote>(index: &Index<'_, R>, changes: &[Change]) -> Result<Self> {
        let mut shards = Self { known: BTreeSet::new(), loaded: BTreeMap::new() };
        match (index.layout, index.scope) {
            (Layout::Single, _) => shards.add(index, vec![index.open_single().await?]).await?,
            (Layout::PerScope, "") => {
                let named = shards.search(index, changes).await?;
                shards.add(index, index.read_all(named).await?).await?;
            }
            (Layout::PerScope, _) => {
                let around = index.around().await?;
                let below = index.read_all(around.unread).await?;
                shards.add(index, [around.loaded, below].concat()).await?;
            }
        }
        Ok(shards)
    }

    /// Notes all shards that matter to the changes, and names those that could list one of them.
    async fn search<R: Remote>(&mut self, index: &Index<'_, R>, changes: &[Change]) -> Result<Vec<Named>> {
        let above: BTreeSet<&str> = changes.iter().flat_map(|change| folders(change.path())).collect();
        let new: BTreeSet<&str> = changes.iter().map(|change| model(parent(change.path()))).collect();
        let mut named = Vec::new();
        let mut listing = std::pin::pin!(index.list(""));
        while let Some(found) = listing.next().await {
            let (scope, token) = found?;
            if scope.is_empty() {
                if let Some(root) = index.read("", token.as_ref()).await? {
                    index.check_root(&root.shard)?;
                }
            } else if above.contains(scope.as_str()) {
                self.known.insert(scope.clone());
                named.push((scope, token));
            } else if folders(&scope).any(|folder| new.contains(folder)) {
                self.known.insert(scope);
            }
        }
        Ok(named)
    }

    async fn add<R: Remote>(&mut self, index: &Index<'_, R>, mut loaded: Vec<Loaded>) -> Result<()> {
        loaded.iter().try_for_each(|loaded| index.check_fence(&loaded.shard))?;
        settle(index, &mut loaded).await?;
        for loaded in loaded {
            self.known.insert(loaded.shard.scope.clone());
            self.loaded.insert(loaded.shard.scope.clone(), loaded);
        }
        Ok(())
    }

    /// Groups the changes by the shard that lists their path, or is to list it from now on.
    pub(crate) fn divide<R: Remote>(
        &mut self,
        index: &Index<'_, R>,
        mut changes: Vec<Change>,
    ) -> Result<BTreeMap<String, Vec<Change>>> {
        // A shard that is made for a shallow path takes the deeper ones as well.
        changes.sort_by_key(|change| depth(change.path()));
        let mut work: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for change in changes {
            let owner = self.owner(index, change.path())?;
            work.entry(owner).or_default().push(change);
        }
        for scope in work.keys() {
            self.known.insert(scope.clone());
            self.loaded.entry(scope.clone()).or_insert_with(|| Loaded::new(scope));
        }
        Ok(work)
    }

    fn owner<R: Remote>(&mut self, index: &Index<'_, R>, path: &str) -> Result<String> {
        if !path.starts_with(index.scope) {
            return Err(Error::fatal(format!("not under the scope {:?}", index.scope)).at(path));
        }
        if index.layout == Layout::Single {
            return Ok(String::new());
        }
        let parent = parent(path);
        if parent.is_empty() {
            return Err(Error::fatal("a file outside of any folder belongs to no scope").at(path));
        }
        let lists = |folder: &&str| self.loaded.get(*folder).is_some_and(|held| held.shard.lists(path));
        if let Some(lists) = folders(path).rev().find(lists) {
            return Ok(lists.to_owned());
        }
        let owner = place(index.scope, &self.known, path);
        self.known.insert(owner.to_owned());
        Ok(owner.to_owned())
    }

    /// The shard of a scope.
    pub(crate) fn get(&self, scope: &str) -> Result<&Loaded> {
        self.loaded.get(scope).ok_or_else(|| Error::fatal("a shard that was read is not there"))
    }

    /// The shards that were read or made.
    pub(crate) fn all(&mut self) -> impl Iterator<Item = &mut Loaded> {
        self.loaded.values_mut()
    }

    /// The links that a shard is to have, unless it has some; none for one that keeps none.
    pub(crate) fn links(&self, scope: &str) -> Option<Links> {
        if depth(scope) < MODEL_DEPTH {
            return None;
        }
        let above = folders(scope).filter(|folder| {
            *folder != scope && self.loaded.get(*folder).is_some_and(|above| above.shard.lists_under(scope))
        });
        let below = self.known.range(scope.to_owned()..).take_while(|below| below.starts_with(scope));
        let below = below.filter(|below| *below != scope).cloned().collect();
        Some(Links { above: above.map(str::to_owned).collect(), below })
    }

    /// Names the shards that are about to be written for the first time in the nearest shards above them that are there already.
    pub(crate) async fn register<R: Remote>(
        &mut self,
        index: &Index<'_, R>,
        scopes: impl Iterator<Item = &String>,
    ) -> Result<()> {
        let mut names: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for scope in scopes.filter(|scope| depth(scope) >= MODEL_DEPTH) {
            if self.get(scope)?.shard.links.is_some() {
                continue;
            }
            // One that is only about to be written may never be, if this push is cut off.
            let there = |folder: &&str| {
                *folder != scope && self.loaded.get(*folder).is_some_and(|above| above.token.is_some())
            };
            if let Some(above) = folders(scope).rev().find(there) {
                names.entry(above.to_owned()).or_default().insert(scope.clone());
            }
        }
        let named = self.loaded.iter_mut().filter_map(|(scope, loaded)| Some((loaded, names.get(scope)?)));
        let name = async |(loaded, names): (&mut Loaded, &BTreeSet<String>)| {
            let add = |shard: &mut Shard| {
                let Some(links) = &mut shard.links else { return Ok(false) };
                let before = links.below.len();
                links.below.extend(names.iter().cloned());
                Ok(links.below.len() > before)
            };
            index.update(loaded, add).await
        };
        index.requests.each(named, name).await
    }
}
