//! Requests to the API.

use lockkeeper_http::{Content, Method, Refusal, Request, Response, StatusCode, encode};
use lockkeeper_sdk::{Error, Result};

use crate::json::{Objects, parse};
use crate::name::name_of;
use crate::refusal::{Action, NO_SUCH_OBJECT, read};
use crate::remote::Bucket;

/// The largest answer that holds no content.
pub(crate) const ANSWER: usize = 256 * 1024;

/// A request, and the right that it takes.
pub(crate) struct Call<'a> {
    bucket: &'a Bucket,
    action: Action,
    request: Request<'a>,
}

impl Bucket {
    /// A request for something below the endpoint. `target` is encoded.
    pub(crate) fn call(&self, action: Action, method: Method, target: &str) -> Call<'_> {
        Call { bucket: self, action, request: Request::new(method, &self.place.endpoint, target) }
    }

    /// Where the API has an object.
    pub(crate) fn object(&self, key: &str) -> String {
        format!("{}/{}", self.objects(), encode(&self.key(key)))
    }

    /// Where the API has the objects of the bucket.
    pub(crate) fn objects(&self) -> String {
        format!("/storage/v1/b/{}/o", encode(&self.place.bucket))
    }

    /// The name in the bucket of what the SDK knows by `key`, or what such names begin with.
    pub(crate) fn key(&self, key: &str) -> String {
        format!("{}{}", self.place.prefix, name_of(key))
    }

    /// Finds out whether a refusal says that there is no such object; otherwise it is an error.
    ///
    /// Where the store doesn't say so in its own words, a listing tells: that of a bucket that is not there fails.
    pub(crate) async fn is_absent(&self, refusal: Refusal, key: &str) -> Result<bool> {
        if refusal.code == NO_SUCH_OBJECT {
            return Ok(true);
        }
        if !refusal.is(StatusCode::NOT_FOUND) || matches!(refusal.error, Error::Config(_)) {
            return Err(refusal.into());
        }
        let name = self.key(key);
        let target = format!("{}?prefix={}&maxResults=1", self.objects(), encode(&name));
        let response = self.call(Action::List, Method::GET, &target).send().await?;
        let page: Objects = parse("a listing", &response.bytes(ANSWER).await?)?;
        // The key itself comes before all that it is a prefix of.
        if page.items.iter().any(|item| item.name == name) {
            return Err(Error::retry("the store said that this object is not there, and lists it"));
        }
        Ok(true)
    }
}

impl<'a> Call<'a> {
    #[must_use]
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    #[must_use]
    pub(crate) fn content(mut self, content: Content<'a>) -> Self {
        self.request = self.request.content(content);
        self
    }

    /// Sends it; an answer without success is a refusal.
    pub(crate) async fn send(self) -> Result<Response, Refusal> {
        self.send_for(|status| status.is_success()).await
    }

    /// Sends it; an answer whose status is not `wanted` is a refusal.
    pub(crate) async fn send_for(self, wanted: impl Fn(StatusCode) -> bool) -> Result<Response, Refusal> {
        let response = self.request.send().await?;
        if wanted(response.status) {
            return Ok(response);
        }
        Err(read(response, self.action, &self.bucket.place.bucket).await)
    }
}
