//! The documents that the API speaks in.

use lockkeeper_sdk::{Error, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// What went wrong.
#[derive(Debug, Deserialize)]
pub(crate) struct Answer {
    pub(crate) error: Fault,
}

/// What went wrong, in the store's words.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Fault {
    #[serde(default)]
    pub(crate) message: String,
    #[serde(default)]
    pub(crate) errors: Vec<Detail>,
}

/// One reason of several.
#[derive(Debug, Deserialize)]
pub(crate) struct Detail {
    #[serde(default)]
    pub(crate) reason: String,
}

impl Fault {
    /// Reads an answer; `None` if it is not the store's word for a failure.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok().map(|answer: Answer| answer.error)
    }

    pub(crate) fn reason(&self) -> &str {
        self.errors.first().map_or("", |detail| detail.reason.as_str())
    }
}

/// An object, without its content.
#[derive(Debug, Deserialize)]
pub(crate) struct ObjectResource {
    /// Absent in answers that don't ask for it.
    #[serde(default)]
    pub(crate) name: String,
    /// A number, written as text.
    pub(crate) generation: String,
    /// A number, written as text.
    #[serde(default)]
    pub(crate) size: String,
}

impl ObjectResource {
    /// Makes sure that the store took all of what was sent.
    pub(crate) fn must_have(&self, size: u64) -> Result<()> {
        if self.size.parse() == Ok(size) {
            return Ok(());
        }
        let message =
            format!("the store made an object of {:?} bytes of the {size} that it was sent", self.size);
        Err(Error::retry(message))
    }
}

/// One page of a listing.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Objects {
    /// Says that this is a listing; an empty one says nothing else.
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) items: Vec<ObjectResource>,
    pub(crate) next_page_token: Option<String>,
}

/// How far a copy has come.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RewriteResponse {
    pub(crate) done: bool,
    pub(crate) rewrite_token: Option<String>,
}

/// Reads an answer that should be a document of this kind.
pub(crate) fn parse<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes)
        .map_err(|error| Error::retry(format!("the answer to {what} can't be read: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_told_from_any_other_answer() {
        let text = r#"{"error":{"code":404,"message":"No such object: b/k","errors":[{"domain":"global","reason":"notFound"}]}}"#;
        let fault = Fault::parse(text).unwrap();
        assert_eq!((fault.message.as_str(), fault.reason()), ("No such object: b/k", "notFound"));
        for other in ["", "Not Found", "{}", "<html></html>", r#"{"error":"no"}"#] {
            assert!(Fault::parse(other).is_none(), "{other}");
        }
    }

    #[test]
    fn an_object_that_is_not_whole_is_noticed() {
        let object = br#"{"kind":"storage#object","name":"a","generation":"1","size":"3"}"#;
        let object: ObjectResource = parse("an upload", object).unwrap();
        assert_eq!(object.must_have(3), Ok(()));
        assert!(matches!(object.must_have(4), Err(Error::Retry(_))));
    }

    #[test]
    fn a_listing_must_say_that_it_is_one() {
        let page: Objects = parse("a listing", br#"{"kind":"storage#objects"}"#).unwrap();
        assert!(page.items.is_empty() && page.next_page_token.is_none());
        let page = br#"{"kind":"storage#objects","nextPageToken":"t","items":[{"name":"a","generation":"1","size":"3"}]}"#;
        let page: Objects = parse("a listing", page).unwrap();
        assert_eq!(page.next_page_token.as_deref(), Some("t"));
        assert_eq!(page.items.first().map(|item| item.size.as_str()), Some("3"));
        for other in [&b"{}"[..], b"", b"<html></html>", br#"{"kind":"storage#obj"#] {
            assert!(matches!(parse::<Objects>("a listing", other), Err(Error::Retry(_))));
        }
    }
}
