//! Listings, page by page.

use futures_util::StreamExt;
use futures_util::stream::LocalBoxStream;
use lockkeeper_http::{Method, encode};
use lockkeeper_sdk::{Error, Listed, Page, Result, Stored, Token, pages};
use percent_encoding::percent_decode_str;

use crate::refusal::Action;
use crate::remote::Bucket;
use crate::xml::{Contents, ListBucketResult, parse};

/// The largest page that is read: 1,000 keys of 1 KiB, encoded, with what belongs to them.
const LARGEST: usize = 8 << 20;
/// Where the SDK keeps its documents.
const DOCUMENTS: &str = ".lockkeeper/index/";

impl Bucket {
    pub(crate) fn documents_below(&self, prefix: &str) -> LocalBoxStream<'_, Result<Listed>> {
        let listed = |found: Contents| Listed { key: found.key, token: found.etag.map(Token) };
        self.below(prefix).map(move |found| found.map(listed)).boxed_local()
    }

    pub(crate) fn objects_below(&self, prefix: &str) -> LocalBoxStream<'_, Result<Stored>> {
        let stored = async |found: Result<Contents>| match found {
            Ok(found) if found.key.starts_with(DOCUMENTS) => None,
            Ok(found) => Some(Ok(Stored { key: found.key, size: found.size })),
            Err(error) => Some(Err(error)),
        };
        self.below(prefix).filter_map(stored).boxed_local()
    }

    fn below(&self, prefix: &str) -> LocalBoxStream<'_, Result<Contents>> {
        let prefix = self.key(prefix);
        pages(async move |from: Option<String>| {
            let mut query = format!("?list-type=2&encoding-type=url&prefix={}", encode(&prefix));
            if let Some(from) = from {
                query = format!("?continuation-token={}&{}", encode(&from), query.trim_start_matches('?'));
            }
            let response = self.whole(Action::List, Method::GET, &query).send().await?;
            let page: ListBucketResult = parse("a listing", &response.bytes(LARGEST).await?)?;
            self.page(page)
        })
    }

    fn page(&self, page: ListBucketResult) -> Result<Page<Contents, String>> {
        let next = match page.next_continuation_token {
            _ if !page.is_truncated => None,
            Some(token) => Some(token),
            None => return Err(Error::fatal("a listing is not complete and doesn't say how to go on")),
        };
        let encoded = page.encoding_type.as_deref() == Some("url");
        let mut items = Vec::with_capacity(page.contents.len());
        for mut found in page.contents {
            if encoded {
                found.key = decode(&found.key)?;
            }
            // An object that ends in a slash is what consoles make of an empty folder.
            let Some(key) = found.key.strip_prefix(&self.place.prefix).filter(|key| !key.ends_with('/'))
            else {
                continue;
            };
            found.key = key.to_owned();
            items.push(found);
        }
        Ok(Page { items, next })
    }
}

/// Decodes a key as a form's values are: a space may be a `+`.
fn decode(key: &str) -> Result<String> {
    let spaced = key.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8();
    decoded
        .map(String::from)
        .map_err(|_| Error::fatal(format!("a listing names a key that is no text: {key}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_decoded_however_the_store_encodes_it() {
        for encoded in ["a+b%2Bc%25%C3%A9%01", "a%20b%2Bc%25%C3%A9%01"] {
            assert_eq!(decode(encoded).unwrap(), "a b+c%é\u{1}");
        }
        assert!(decode("%ff").is_err());
    }
}
