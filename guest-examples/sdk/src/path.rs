//! Checking the paths and scopes that come from outside.

use crate::{Error, Result};

/// The folder of the remote that is the SDK's own.
pub(crate) const OWN: &str = ".lockkeeper";

/// Refuses a path that could mean anything but a file of the cache.
pub(crate) fn check_path(path: &str) -> Result<()> {
    let bad = |segment: &str| matches!(segment, "" | "." | "..") || segment.contains('\0');
    if path.split('/').any(bad) || path.split('/').next() == Some(OWN) {
        return Err(Error::fatal(format!("not a path of the cache: {path:?}")));
    }
    Ok(())
}

/// Refuses what is not a folder prefix that ends in `/`; the empty one stands for everything.
pub(crate) fn check_scope(scope: &str) -> Result<()> {
    if scope.is_empty() {
        return Ok(());
    }
    match scope.strip_suffix('/') {
        Some(folder) => check_path(folder),
        None => Err(Error::fatal(format!("not a scope: {scope:?}"))),
    }
}

/// Refuses what is not a digest.
pub(crate) fn check_digest(digest: &str) -> Result<()> {
    if digest.len() == 64 && digest.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return Ok(());
    }
    Err(Error::fatal(format!("not a digest: {digest:?}")))
}

/// Every folder prefix of a path, the empty one first: ``, `data/`, `data/web/` for `data/web/state.json`.
pub(crate) fn folders(path: &str) -> impl DoubleEndedIterator<Item = &str> + Clone {
    let slashes = path.match_indices('/').filter_map(|(at, _)| path.get(..=at));
    std::iter::once("").chain(slashes)
}

/// How many segments a scope has.
pub(crate) fn depth(scope: &str) -> usize {
    scope.matches('/').count()
}
