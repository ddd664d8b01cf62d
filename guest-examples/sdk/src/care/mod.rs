//! Looking after the index: showing it, checking it against the objects, making lost parts of it anew, dividing it.

mod convert;
mod rebuild;
mod salvage;
mod verify;

use std::collections::BTreeSet;

use futures_util::TryStreamExt;

pub use self::convert::convert;
pub use self::rebuild::rebuild;
pub use self::verify::verify;
use crate::body::copy;
use crate::index::{Index, Layout, Loaded};
use crate::path::{OWN, check_path, check_scope, depth, folders};
use crate::shard::{Entry, Shard, document_key};
use crate::shards::{MODEL_DEPTH, place};
use crate::{DocumentRead, Error, Finding, FindingKind, Host, Object, Remote, Result, Token};

/// Tells the host each file that the index lists under a scope, and each that it knows to be deleted.
pub async fn show<R: Remote>(host: &dyn Host, remote: &R, layout: Layout, scope: Option<&str>) -> Result<()> {
    let scope = scope.unwrap_or_default();
    check_scope(scope)?;
    let index = Index::new(host, remote, layout, scope, None);
    let show = async |loaded: Loaded| {
        let Shard { files, deleted, .. } = loaded.shard;
        for (path, entry) in files.into_iter().filter(|(path, _)| path.starts_with(scope)) {
            host.found(listed(FindingKind::Listed, path, &entry));
        }
        for (path, tombstone) in deleted.into_iter().filter(|(path, _)| path.starts_with(scope)) {
            host.found(Finding { digest: Some(tombstone.digest), ..finding(FindingKind::Deleted, path) });
        }
        Ok(())
    };
    index.each_shard(show).await
}

fn finding(kind: FindingKind, path: impl Into<String>) -> Finding {
    Finding { kind, path: path.into(), digest: None, size: None, note: None }
}

fn listed(kind: FindingKind, path: impl Into<String>, entry: &Entry) -> Finding {
    Finding { digest: Some(entry.digest.clone()), size: Some(entry.size), ..finding(kind, path) }
}

/// A shard's document, read though it may be damaged.
enum Raw {
    Absent,
    Read(Loaded),
    Damaged { bytes: Vec<u8>, token: Token, problem: String },
}

/// An object that no shard lists, and the scope of the one that would.
struct Unlisted {
    scope: String,
    path: String,
}

impl<R: Remote> Index<'_, R> {
    async fn read_raw(&self, scope: &str) -> Result<Raw> {
        let key = document_key(scope);
        let document = match self.requests.read_document(&key, None).await? {
            DocumentRead::Absent => return Ok(Raw::Absent),
            DocumentRead::Changed(document) => document,
            DocumentRead::Unchanged => {
                return Err(Error::fatal("the remote compares with a version that nobody named").at(&key));
            }
        };
        match Shard::parse(scope, &document.bytes) {
            Ok(shard) => Ok(Raw::Read(Loaded { shard, token: Some(document.token) })),
            Err(error) if Shard::is_later(&document.bytes) => Err(error),
            Err(error) => {
                Ok(Raw::Damaged { bytes: document.bytes, token: document.token, problem: error.to_string() })
            }
        }
    }

    /// Names each shard that could list files under the scope, whatever the shards say themselves.
    async fn names(&self) -> Result<BTreeSet<String>> {
        if self.layout == Layout::Single {
            return Ok(BTreeSet::from([String::new()]));
        }
        let mut names: BTreeSet<String> =
            self.list(self.scope).map_ok(|(scope, _)| scope).try_collect().await?;
        if (names.remove("") || !self.scope.is_empty())
            && let Some(root) = self.read("", None).await?
        {
            self.check_root(&root.shard)?;
        }
        names.extend(folders(self.scope).filter(|folder| !folder.is_empty()).map(str::to_owned));
        Ok(names)
    }

    /// Hands each object under the scope to `each` whose shard is not there or can't be read.
    ///
    /// What a readable shard covers and doesn't list was left by a push that was cut off.
    async fn unlisted(
        &self,
        readable: &BTreeSet<String>,
        there: &BTreeSet<String>,
        mut each: impl FnMut(Unlisted),
    ) -> Result<()> {
        // Besides the deepest shard, one above that can be read may list a file: a shallow one, or one above a damaged one.
        let unreadable = there.difference(readable).map(String::as_str).chain([self.scope]);
        let above: BTreeSet<&str> = unreadable
            .flat_map(folders)
            .chain(there.iter().map(String::as_str).filter(|scope| depth(scope) < MODEL_DEPTH))
            .filter(|scope| readable.contains(*scope))
            .collect();
        let above = self.read_all(above.into_iter().map(|scope| (scope.to_owned(), None))).await?;
        let mut objects = std::pin::pin!(self.requests.list_objects(self.scope));
        while let Some(object) = objects.try_next().await? {
            let path = object.key;
            if path.split('/').next() == Some(OWN)
                || !path.starts_with(self.scope)
                || check_path(&path).is_err()
            {
                continue;
            }
            let scope = match self.layout {
                Layout::Single => "",
                Layout::PerScope => place(self.scope, there, &path),
            };
            if !readable.contains(scope) && !above.iter().any(|above| above.shard.lists(&path)) {
                each(Unlisted { scope: scope.to_owned(), path });
            }
        }
        Ok(())
    }

    /// What an object holds, `None` if there is none.
    async fn content(&self, key: &str) -> Result<Option<Entry>> {
        let content = self.requests.get(key, async |object: Object| {
            let (size, digest) =
                copy(object, std::io::sink(), |_| ()).await.map_err(|error| error.at(key))?;
            Ok(Entry { digest, size })
        });
        content.await
    }
}
