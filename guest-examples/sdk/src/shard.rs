//! The document that lists the files of one scope.
//!
//! ```json
//! {
//!   "version": 1,
//!   "scope": "data/aws-ec2/web/",
//!   "files": { "data/aws-ec2/web/state.json": { "digest": "…", "size": 120 } },
//!   "deleted": { "data/aws-ec2/web/old.json": { "digest": "…" } },
//!   "unfinished": { "publish": { "data/aws-ec2/web/state.json": "…" }, "delete": ["data/aws-ec2/web/old.json"] },
//!   "links": { "above": [], "below": ["data/aws-ec2/web/blue/"] },
//!   "fences": { "data/aws-ec2/web/": 17 }
//! }
//! ```
//!
//! Version 1 has neither links nor fences and is read as well. Nothing in it belongs to one machine. A shard is never deleted: one without files stays where it is.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::path::{OWN, check_digest, check_path, check_scope};
use crate::{Error, Result};

const VERSION: u32 = 2;
/// The name of a shard's document.
const DOCUMENT: &str = ".shard";

/// The version alone, whatever else there is.
#[derive(Deserialize)]
struct Version {
    version: u32,
}

/// The files of one scope.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Shard {
    version: u32,
    /// The folder prefix that all its paths start with.
    pub scope: String,
    /// The files there are.
    pub files: BTreeMap<String, Entry>,
    /// The files that were deleted, and have not been created again since.
    pub deleted: BTreeMap<String, Tombstone>,
    /// What the last commit left to be done.
    pub unfinished: Unfinished,
    /// Which other shards may list files under its scope; absent if nobody looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub links: Option<Links>,
    /// The highest fencing number that it was written under, for each scope that wrote it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fences: BTreeMap<String, u64>,
    /// That it is, or was, the one index of everything and is divided into one for each scope.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversion: Option<Conversion>,
}

/// The other shards that may list files under a shard's scope. Some may not exist.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Links {
    /// Scopes that enclose it and whose shards list files under it.
    pub above: BTreeSet<String>,
    /// Scopes that it encloses and that have shards, unless another one of these leads to them.
    pub below: BTreeSet<String>,
}

/// How far the division of an index into one for each scope has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Conversion {
    /// Its files are being copied to the shards of their scopes.
    Begun,
    /// Its files are in the shards of their scopes.
    Done,
}

/// A file that there is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The digest of its content.
    pub digest: String,
    /// Its size in bytes.
    pub size: u64,
}

/// A file that was deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tombstone {
    /// The digest of the content that was deleted.
    pub digest: String,
}

/// What a commit promised and whoever pushes next under the same lock has to finish.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unfinished {
    /// Staged objects to move to their own path, with their digests.
    pub publish: BTreeMap<String, String>,
    /// Objects to delete.
    pub delete: BTreeSet<String>,
}

impl Shard {
    /// Makes the shard of a scope that has no files yet.
    pub fn new(scope: &str) -> Self {
        Self {
            version: VERSION,
            scope: scope.to_owned(),
            files: BTreeMap::new(),
            deleted: BTreeMap::new(),
            unfinished: Unfinished::default(),
            links: None,
            fences: BTreeMap::new(),
            conversion: None,
        }
    }

    /// Reads a shard and checks everything that it will be trusted for. A damaged one is an error, never empty.
    pub fn parse(scope: &str, bytes: &[u8]) -> Result<Self> {
        let key = document_key(scope);
        let damaged =
            |what: String| Error::fatal(format!("this shard of the index is damaged: {what}")).at(&key);
        let Version { version } =
            serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
        if !(1..=VERSION).contains(&version) {
            let message = format!(
                "the index has version {version}, this extension knows {VERSION}: upgrade the extension"
            );
            return Err(Error::fatal(message).at(&key));
        }
        let mut shard: Self = serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
        if shard.scope != scope {
            return Err(damaged(format!("it says to be that of {:?}", shard.scope)));
        }
        shard.check().map_err(|error| error.at(&key))?;
        shard.version = VERSION;
        Ok(shard)
    }

    /// Says whether the bytes are those of a version that is not known here, which is no damage.
    pub(crate) fn is_later(bytes: &[u8]) -> bool {
        serde_json::from_slice(bytes).is_ok_and(|Version { version }| version > VERSION)
    }

    /// The bytes to store.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(|error| Error::fatal(format!("can't write the index: {error}")))
    }

    /// Says whether the shard knows a path, be it deleted.
    pub fn lists(&self, path: &str) -> bool {
        self.files.contains_key(path) || self.deleted.contains_key(path)
    }

    /// Says whether the shard knows any path under a scope, be it deleted.
    pub(crate) fn lists_under(&self, scope: &str) -> bool {
        let first = |paths: &mut dyn Iterator<Item = &String>| {
            paths.next().is_some_and(|path| path.starts_with(scope))
        };
        first(&mut self.files.range(scope.to_owned()..).map(|(path, _)| path))
            || first(&mut self.deleted.range(scope.to_owned()..).map(|(path, _)| path))
    }

    /// The highest fencing number of a scope that overlaps with this one.
    pub(crate) fn fence_over(&self, scope: &str) -> Option<u64> {
        let overlapping =
            self.fences.iter().filter(|(other, _)| other.starts_with(scope) || scope.starts_with(*other));
        overlapping.map(|(_, fence)| *fence).max()
    }

    /// Notes the fencing number that a scope writes under. It says what those below it said as well.
    pub(crate) fn fence(&mut self, scope: &str, fence: u64) {
        self.fences.retain(|other, _| !other.starts_with(scope));
        self.fences.insert(scope.to_owned(), fence);
    }

    fn check(&self) -> Result<()> {
        let Unfinished { publish, delete } = &self.unfinished;
        let paths = self.files.keys().chain(self.deleted.keys()).chain(publish.keys()).chain(delete);
        for path in paths {
            check_path(path)?;
            if !path.starts_with(&self.scope) {
                return Err(Error::fatal(format!("{path:?} does not belong to {:?}", self.scope)));
            }
        }
        let links = self.links.iter();
        let above = links
            .clone()
            .flat_map(|links| &links.above)
            .map(|above| (above, self.scope.starts_with(above.as_str())));
        let below = links.flat_map(|links| &links.below).map(|below| (below, below.starts_with(&self.scope)));
        for (scope, right) in above.chain(below) {
            check_scope(scope)?;
            if !right || *scope == self.scope {
                return Err(Error::fatal(format!("{scope:?} has nothing to do with {:?}", self.scope)));
            }
        }
        self.fences.keys().try_for_each(|scope| check_scope(scope))?;
        let files = self.files.values().map(|entry| &entry.digest);
        let deleted = self.deleted.values().map(|tombstone| &tombstone.digest);
        files.chain(deleted).chain(publish.values()).try_for_each(|digest| check_digest(digest))
    }
}

/// The folder of the index that belongs to a scope.
///
/// A segment that begins with a dot gets another one, so that none is taken for a document.
pub(crate) fn index_prefix(scope: &str) -> String {
    let mut prefix = format!("{OWN}/index/");
    for segment in scope.split_terminator('/') {
        let dot = if segment.starts_with('.') { "." } else { "" };
        prefix.extend([dot, segment, "/"]);
    }
    prefix
}

/// The key of the shard of a scope, in the scope's own folder of the index.
pub(crate) fn document_key(scope: &str) -> String {
    index_prefix(scope) + DOCUMENT
}

/// The scope of the shard with this key.
pub(crate) fn scope_of(key: &str) -> Result<String> {
    let foreign = || Error::fatal("the index holds a document that is not a shard").at(key);
    let folder = key.strip_prefix(OWN).and_then(|key| key.strip_prefix("/index/")?.strip_suffix(DOCUMENT));
    let segments = folder.ok_or_else(foreign)?.split_inclusive('/');
    let scope: String = segments.map(|segment| segment.strip_prefix('.').unwrap_or(segment)).collect();
    check_scope(&scope)?;
    Ok(scope)
}

/// The key of new content that waits for its commit. Two files with the same content don't share it.
pub(crate) fn staged_key(scope: &str, path: &str, digest: &str) -> String {
    let name = blake3::hash(path.as_bytes()).to_hex();
    format!("{OWN}/staged/{scope}{digest}.{}", name.get(..16).unwrap_or_default())
}
