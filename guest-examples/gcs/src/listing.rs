//! Listings, page by page.

use futures_util::StreamExt;
use futures_util::stream::LocalBoxStream;
use lockkeeper_http::{Method, encode};
use lockkeeper_sdk::{Error, Listed, Page, Result, Stored, Token, pages};

use crate::json::{ObjectResource, Objects, parse};
use crate::name::key_of;
use crate::refusal::Action;
use crate::remote::Bucket;

/// The largest page that is read: 1,000 objects, should the store say more about each than it was asked.
const LARGEST: usize = 16 << 20;
/// Where the SDK keeps its documents.
const DOCUMENTS: &str = ".lockkeeper/index/";

impl Bucket {
    pub(crate) fn documents_below(&self, prefix: &str) -> LocalBoxStream<'_, Result<Listed>> {
        let listed = |found: ObjectResource| Listed { key: found.name, token: Some(Token(found.generation)) };
        self.below(prefix).map(move |found| found.map(listed)).boxed_local()
    }

    pub(crate) fn objects_below(&self, prefix: &str) -> LocalBoxStream<'_, Result<Stored>> {
        let stored = async |found: Result<ObjectResource>| match found {
            Ok(found) if found.name.starts_with(DOCUMENTS) => None,
            Ok(found) => Some(match found.size.parse() {
                Ok(size) => Ok(Stored { key: found.name, size }),
                Err(_) => Err(Error::fatal("a listing has no size of this object").at(&found.name)),
            }),
            Err(error) => Some(Err(error)),
        };
        self.below(prefix).filter_map(stored).boxed_local()
    }

    fn below(&self, prefix: &str) -> LocalBoxStream<'_, Result<ObjectResource>> {
        let prefix = self.key(prefix);
        pages(async move |from: Option<String>| {
            let mut target = format!(
                "{}?prefix={}&fields=kind,items(name,size,generation),nextPageToken",
                self.objects(),
                encode(&prefix)
            );
            if let Some(from) = from {
                target.push_str(&format!("&pageToken={}", encode(&from)));
            }
            let response = self.call(Action::List, Method::GET, &target).send().await?;
            let page: Objects = parse("a listing", &response.bytes(LARGEST).await?)?;
            self.page(page)
        })
    }

    fn page(&self, page: Objects) -> Result<Page<ObjectResource, String>> {
        if page.kind != "storage#objects" {
            return Err(Error::retry("the answer to a listing is none"));
        }
        let mut items = Vec::with_capacity(page.items.len());
        for mut found in page.items {
            // An object that ends in a slash is what consoles make of an empty folder.
            let key = found.name.strip_prefix(&self.place.prefix).filter(|key| !key.ends_with('/'));
            let Some(key) = key.map(key_of) else { continue };
            found.name = key;
            items.push(found);
        }
        Ok(Page { items, next: page.next_page_token.filter(|token| !token.is_empty()) })
    }
}
