use std::fmt;
use std::str::FromStr;

/// What a lock is taken on: segments with `/` between them, such as `repository` or `model/aws-ec2/web`.
///
/// Keys are independent of one another: a lock on `model/a/b` says nothing about `model/a/b/c`. Each segment has
/// 1 to 255 bytes, doesn't begin with `.`, and holds no `\` and no control character, so that a key is also a
/// relative path that leads nowhere else.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LockKey(String);

impl LockKey {
    /// Reads and checks a key.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let wrong = |problem| Err(KeyError { text: text.to_owned(), problem });
        for segment in text.split('/') {
            if segment.is_empty() {
                return wrong("has an empty segment");
            }
            if segment.starts_with('.') {
                return wrong("has a segment that begins with `.`");
            }
            if segment.len() > 255 {
                return wrong("has a segment of more than 255 bytes");
            }
            if segment.contains(|c: char| c == '\\' || c.is_control()) {
                return wrong("holds a `\\` or a control character");
            }
        }
        Ok(Self(text.to_owned()))
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key's segments, at least one.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }
}

impl fmt::Display for LockKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for LockKey {
    type Err = KeyError;
    fn from_str(text: &str) -> Result<Self, KeyError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for LockKey {
    type Error = KeyError;
    fn try_from(text: String) -> Result<Self, KeyError> {
        Self::parse(&text)
    }
}

impl From<LockKey> for String {
    fn from(key: LockKey) -> String {
        key.0
    }
}

/// Why a text is not a lock key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("lock key {} {problem}", crate::holder::quoted(text))]
pub struct KeyError {
    text: String,
    problem: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_one_or_more_plain_segments() {
        for text in ["repository", "sync", "model/aws-ec2/web", "model/@org/aws/ec2/web 1", "model/ä/日本"]
        {
            assert_eq!(LockKey::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_key_that_could_lead_elsewhere_is_refused() {
        let long = "x".repeat(256);
        for text in [
            "", "/", "/a", "a/", "a//b", ".", "..", "a/..", "a/../b", ".gate", "a/.lock", "a\\b", "a\0",
            "a\nb", &long,
        ] {
            assert!(LockKey::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_refused_key_is_shown_escaped_and_cut() {
        let message = LockKey::parse(&format!("\u{1b}[2J{}", "x".repeat(1000))).unwrap_err().to_string();
        assert!(message.contains("\\u{1b}") && message.len() < 300, "{message}");
    }

    #[test]
    fn a_key_is_checked_when_it_is_deserialized() {
        assert_eq!(serde_json::from_str::<LockKey>("\"a/b\"").unwrap().as_str(), "a/b");
        assert!(serde_json::from_str::<LockKey>("\"a/../b\"").is_err());
    }
}
