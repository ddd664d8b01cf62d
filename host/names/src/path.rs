use std::fmt;

use crate::{NameError, text_conversions};

/// A file's path in the cache: relative, `/` between segments, never leading out.
///
/// Segments may hold anything a file system takes as a name, but `\` and control characters other than those
/// a file name may carry are left alone: odd names are synced, not judged. What is refused is what
/// could lead elsewhere: an empty, `.` or `..` segment, a leading `/`, a NUL.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CachePath(String);

impl CachePath {
    /// Reads and checks a path.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let wrong = |problem: &str| Err(NameError::new("path", text, problem));
        if text.is_empty() {
            return wrong("is empty");
        }
        if text.contains('\0') {
            return wrong("holds a NUL");
        }
        for segment in text.split('/') {
            match segment {
                "" => return wrong("is absolute or has an empty segment"),
                "." | ".." => return wrong("has a `.` or `..` segment"),
                _ if segment.len() > 255 => return wrong("has a segment of more than 255 bytes"),
                _ => {}
            }
        }
        Ok(Self(text.to_owned()))
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The folder the file is in and the file's name.
    pub fn split(&self) -> (Option<&str>, &str) {
        match self.0.rsplit_once('/') {
            Some((folder, name)) => (Some(folder), name),
            None => (None, &self.0),
        }
    }
}

impl fmt::Display for CachePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_conversions!(CachePath);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_could_lead_out_are_refused() {
        for text in ["", "/", "/etc/passwd", "a/../b", "..", "a/./b", "a//b", "a/", "a\0b"] {
            assert!(CachePath::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn odd_names_are_fine() {
        for text in ["a", "data/a b/ü\n.txt", "-rf", "a/...", "C:\\x", "data/.hidden"] {
            assert!(CachePath::parse(text).is_ok(), "{text:?}");
        }
    }
}
