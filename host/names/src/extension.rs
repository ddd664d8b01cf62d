use std::fmt;

use crate::{NameError, text_conversions};

/// The name of an extension, `@collective/name`: lowercase letters, digits and inner hyphens.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ExtensionName(String);

impl ExtensionName {
    /// Reads and checks a name.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let valid = text.len() <= 128
            && text
                .strip_prefix('@')
                .and_then(|rest| rest.split_once('/'))
                .is_some_and(|(collective, name)| is_word(collective) && is_word(name));
        if !valid {
            let problem = "is not of the form `@collective/name` (lowercase letters, digits, inner hyphens)";
            return Err(NameError::new("extension name", text, problem));
        }
        Ok(Self(text.to_owned()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with('-')
        && !text.ends_with('-')
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

impl fmt::Display for ExtensionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_conversions!(ExtensionName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_a_collective_and_a_name() {
        assert!(ExtensionName::parse("@lockkeeper/shared-index").is_ok());
        for text in ["", "filesystem", "@a", "@a/", "@/b", "@A/b", "@a/b/c", "@a/-b", "a/b", "@a/b c"] {
            assert!(ExtensionName::parse(text).is_err(), "{text}");
        }
    }
}
