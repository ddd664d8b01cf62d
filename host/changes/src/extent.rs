use lockkeeper_names::{CachePath, Root, Scope};

/// A part of the cache to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Extent {
    /// One model's folder below one root.
    Scope(Scope),
    /// Every root.
    Everything,
}

/// The folders that some extents stand for: prefixes that end in `/`, sorted, none inside another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Extents(Vec<String>);

impl Extents {
    pub(crate) fn new(extents: &[Extent], roots: &[Root]) -> Self {
        let roots: Vec<String> = roots.iter().map(|root| format!("{root}/")).collect();
        if extents.contains(&Extent::Everything) {
            return Self::of(roots);
        }
        let scopes = extents.iter().filter_map(|extent| match extent {
            Extent::Scope(scope) => Some(scope.as_str().to_owned()),
            Extent::Everything => None,
        });
        // Only what lies under the roots is ever synced, whatever is asked for.
        Self::of(scopes.filter(|scope| roots.iter().any(|root| scope.starts_with(root))).collect())
    }

    /// Takes prefixes as they are, without those inside another one.
    pub(crate) fn of(mut prefixes: Vec<String>) -> Self {
        prefixes.sort();
        let mut outermost: Vec<String> = Vec::new();
        for prefix in prefixes {
            if outermost.last().is_none_or(|last| !prefix.starts_with(last.as_str())) {
                outermost.push(prefix);
            }
        }
        Self(outermost)
    }

    pub(crate) fn prefixes(&self) -> &[String] {
        &self.0
    }

    /// The folders, without the final slash.
    pub(crate) fn folders(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|prefix| prefix.trim_end_matches('/'))
    }

    pub(crate) fn contains(&self, path: &CachePath) -> bool {
        self.has_below(path.as_str())
    }

    /// Whether the folder lies strictly below one of these.
    pub(crate) fn has_below(&self, path: &str) -> bool {
        self.0.iter().any(|prefix| path.starts_with(prefix.as_str()))
    }

    /// Whether the folder, given without a final slash, lies in, is, or holds one of these.
    pub(crate) fn touches(&self, folder: &str) -> bool {
        let folder = format!("{folder}/");
        self.0.iter().any(|prefix| prefix.starts_with(&folder) || folder.starts_with(prefix.as_str()))
    }

    /// Whether each of the other's folders lies in one of these.
    pub(crate) fn cover(&self, other: &Self) -> bool {
        other.0.iter().all(|theirs| self.0.iter().any(|mine| theirs.starts_with(mine.as_str())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extents(prefixes: &[&str]) -> Extents {
        Extents::of(prefixes.iter().map(|&prefix| prefix.to_owned()).collect())
    }

    #[test]
    fn nested_folders_count_once() {
        assert_eq!(extents(&["d/a/b/c/", "d/a/b/", "d/a/bc/", "d/a/b/"]), extents(&["d/a/b/", "d/a/bc/"]));
    }

    #[test]
    fn siblings_with_a_common_prefix_do_not_touch() {
        let web = extents(&["d/a/web/"]);
        assert!(!web.touches("d/a/web-2") && !web.touches("d/a/we"));
        assert!(web.touches("d/a/web") && web.touches("d/a") && web.touches("d/a/web/x"));
        assert!(extents(&["d/a/"]).cover(&extents(&["d/a/web/"])));
        assert!(!extents(&["d/a/web/"]).cover(&extents(&["d/a/"])));
    }

    #[test]
    fn a_scope_outside_the_roots_stands_for_nothing() {
        let (data, other) = (Root::parse("data").unwrap(), Root::parse("other").unwrap());
        let scope = Extent::Scope(Scope::new(&other, &lockkeeper_names::ModelId::parse("a/b").unwrap()));
        assert_eq!(Extents::new(&[scope], &[data]), extents(&[]));
    }
}
