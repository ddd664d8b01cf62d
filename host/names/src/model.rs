use std::fmt;

use crate::{NameError, text_conversions};

/// The longest model name in bytes. Its folder must fit into paths and lock keys everywhere.
const LONGEST_MODEL: usize = 200;

/// A model, `{type}/{id}`: at least two segments, the last one is the id.
///
/// Models sort so that each stands after its ancestors, which is the order locks are taken in.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ModelId(Vec<String>);

impl ModelId {
    /// Reads and checks a model such as `aws-ec2/web` or `@org/aws/ec2/web`.
    ///
    /// A segment has letters, digits, `.`, `_`, `-`, `@`, `+`, `=` or inner spaces, and doesn't begin with `.`.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let wrong = |problem: &str| Err(NameError::new("model", text, problem));
        if text.len() > LONGEST_MODEL {
            return wrong("is longer than 200 bytes");
        }
        if text.starts_with('/') {
            return wrong("is an absolute path; write it as type/id");
        }
        let segments: Vec<String> = text.split('/').map(str::to_owned).collect();
        for segment in &segments {
            if segment.is_empty() {
                return wrong("has an empty segment; write it as type/id");
            }
            if segment.starts_with('.') {
                return wrong("has a segment that begins with `.`");
            }
            if segment.starts_with(' ') || segment.ends_with(' ') {
                return wrong("has a segment that begins or ends with a space");
            }
            if let Some(bad) = segment.chars().find(|c| !(c.is_alphanumeric() || "._-@+= ".contains(*c))) {
                return Err(NameError::new(
                    "model",
                    text,
                    format!("holds the character {bad:?}; use letters, digits and . _ - @ + ="),
                ));
            }
        }
        if segments.len() < 2 {
            return wrong("has no id; write it as type/id");
        }
        Ok(Self(segments))
    }

    /// The models whose folders this model's folder lies in, outermost first: `a/b` for `a/b/c`.
    pub fn ancestors(&self) -> impl Iterator<Item = ModelId> + '_ {
        (2..self.0.len()).map(|length| ModelId(self.0.iter().take(length).cloned().collect()))
    }

    /// Whether the two models' folders are the same or one lies in the other.
    pub fn overlaps(&self, other: &ModelId) -> bool {
        self.0.iter().zip(&other.0).all(|(mine, theirs)| mine == theirs)
    }
}

impl fmt::Display for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("/"))
    }
}

text_conversions!(ModelId);

#[cfg(test)]
mod tests {
    use super::*;

    fn model(text: &str) -> ModelId {
        ModelId::parse(text).unwrap()
    }

    #[test]
    fn a_type_may_have_several_segments() {
        let ancestors: Vec<_> = model("@org/aws/ec2/web").ancestors().collect();
        assert_eq!(ancestors, [model("@org/aws"), model("@org/aws/ec2")]);
        assert_eq!(model("aws-ec2/web").ancestors().count(), 0);
    }

    #[test]
    fn only_nested_models_overlap() {
        assert!(model("a/b").overlaps(&model("a/b/c")));
        assert!(model("a/b/c").overlaps(&model("a/b")));
        assert!(!model("a/b").overlaps(&model("a/bc")));
        assert!(!model("a/web").overlaps(&model("a/web-2")));
    }

    #[test]
    fn names_that_are_no_model_are_refused_with_a_reason() {
        for (text, reason) in [
            ("", "empty segment"),
            ("web", "no id"),
            ("a/../b", "begins with `.`"),
            ("/etc/passwd", "absolute"),
            ("a/b\0", "'\\0'"),
            ("a/b/", "empty segment"),
            ("a\\b/c", "'\\\\'"),
            (&format!("a/{}", "x".repeat(300)), "longer than 200 bytes"),
        ] {
            let error = ModelId::parse(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
            assert!(error.len() < 300 && !error.contains('\0'), "{error}");
        }
    }
}
