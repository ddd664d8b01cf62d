use std::fmt;

use crate::{CachePath, ModelId, NameError, text_conversions};

/// Folders that hold secrets by convention. They are refused as roots: a synced key has leaked.
const SECRET_STORES: [&str; 6] = ["secret", "secrets", "vault", "credentials", "keys", "private"];

/// A top folder of the cache that is synced, such as `data`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Root(String);

impl Root {
    /// Reads and checks a root: one folder name, not hidden, not one that holds secrets by convention.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let wrong = |problem: &str| Err(NameError::new("root", text, problem));
        let fine = |c: char| c.is_alphanumeric() || "._-".contains(c);
        if text.is_empty() || text.len() > 100 || !text.chars().all(fine) {
            return wrong("is not a single folder name of letters, digits, `.`, `_` and `-`");
        }
        if text.starts_with('.') {
            return wrong("is a hidden folder, which is never synced");
        }
        if SECRET_STORES.contains(&text.to_lowercase().as_str()) {
            return wrong("looks like a store of secrets, which is never synced");
        }
        Ok(Self(text.to_owned()))
    }

    /// The root as text, without a slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the path lies below this root.
    pub fn contains(&self, path: &CachePath) -> bool {
        path.as_str().strip_prefix(&self.0).is_some_and(|rest| rest.starts_with('/'))
    }
}

impl fmt::Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_conversions!(Root);

/// A model's folder below one root, as a prefix that ends in `/`: `data/aws-ec2/web/`.
///
/// The final slash matters: `data/aws-ec2/web` is also a prefix of the files of `web-2`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(into = "String")]
pub struct Scope(String);

impl Scope {
    /// The scope of a model below a root.
    pub fn new(root: &Root, model: &ModelId) -> Self {
        Self(format!("{root}/{model}/"))
    }

    /// The scope as text, with its final slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The folder, without the final slash.
    pub fn folder(&self) -> &str {
        self.0.trim_end_matches('/')
    }

    /// Whether the path lies in this scope.
    pub fn contains(&self, path: &CachePath) -> bool {
        path.as_str().starts_with(&self.0)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> String {
        scope.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_does_not_contain_its_siblings_files() {
        let scope = Scope::new(&Root::parse("data").unwrap(), &ModelId::parse("aws-ec2/web").unwrap());
        assert_eq!(scope.as_str(), "data/aws-ec2/web/");
        assert!(scope.contains(&CachePath::parse("data/aws-ec2/web/a").unwrap()));
        assert!(!scope.contains(&CachePath::parse("data/aws-ec2/web-2/a").unwrap()));
        assert!(!scope.contains(&CachePath::parse("data/aws-ec2/web").unwrap()));
    }

    #[test]
    fn what_looks_like_a_secret_store_is_no_root() {
        for text in [".ssh", ".aws", "secrets", "Vault", "..", ".", "a/b", "", "/"] {
            assert!(Root::parse(text).is_err(), "{text}");
        }
    }
}
