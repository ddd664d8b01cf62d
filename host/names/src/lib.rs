//! The names that lockkeeper speaks of, validated once at the edge.
//!
//! A [`ModelId`] names what a command works on, a [`Root`] a folder of the cache that is synced. Together they
//! make a [`Scope`], the folder prefix that a call is bound to. A [`CachePath`] is a file below a root, a
//! [`Digest`] its content, an [`ExtensionName`] who moves it.

mod digest;
mod extension;
mod model;
mod path;
mod scope;

pub use digest::Digest;
pub use extension::ExtensionName;
pub use model::ModelId;
pub use path::CachePath;
pub use scope::{Root, Scope};

/// Why a text is not a valid name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} `{}` {problem}", shown(.text))]
pub struct NameError {
    kind: &'static str,
    text: String,
    problem: String,
}

impl NameError {
    fn new(kind: &'static str, text: &str, problem: impl Into<String>) -> Self {
        Self { kind, text: text.to_owned(), problem: problem.into() }
    }
}

/// The text as it is safe to print: control characters escaped, a long one cut.
fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(80).flat_map(char::escape_debug).collect();
    if text.chars().nth(80).is_some() {
        shown.push('…');
    }
    shown
}

/// Implements the conversions that every validated name shares, over its `parse` function.
macro_rules! text_conversions {
    ($name:ty) => {
        impl std::str::FromStr for $name {
            type Err = crate::NameError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::parse(text)
            }
        }
        impl TryFrom<String> for $name {
            type Error = crate::NameError;
            fn try_from(text: String) -> Result<Self, Self::Error> {
                Self::parse(&text)
            }
        }
        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.to_string()
            }
        }
    };
}
use text_conversions;
