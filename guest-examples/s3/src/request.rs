//! Requests to the bucket.

use lockkeeper_http::{Content, Method, Refusal, Request, Response, encode_path};

use crate::refusal::{Action, read};
use crate::remote::Bucket;

/// A request to the bucket, or to an object in it.
pub(crate) struct Call<'a> {
    bucket: &'a Bucket,
    action: Action,
    request: Request<'a>,
}

impl Bucket {
    /// A request for an object. `query` is empty or begins with `?`.
    pub(crate) fn object(&self, action: Action, method: Method, key: &str, query: &str) -> Call<'_> {
        let target = format!("/{}{query}", encode_path(&self.key(key)));
        Call { bucket: self, action, request: Request::new(method, &self.place.endpoint, &target) }
    }

    /// A request for the bucket itself.
    pub(crate) fn whole(&self, action: Action, method: Method, query: &str) -> Call<'_> {
        // Some stores take a path without the slash for another resource, some one with it.
        let slash = if self.place.endpoint.path.is_empty() { "/" } else { "" };
        let target = format!("{slash}{query}");
        Call { bucket: self, action, request: Request::new(method, &self.place.endpoint, &target) }
    }

    /// The key in the bucket of what the SDK knows by `key`.
    pub(crate) fn key(&self, key: &str) -> String {
        format!("{}{key}", self.place.prefix)
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
        let response = self.request.send().await?;
        if response.status.is_success() {
            return Ok(response);
        }
        Err(read(response, self.action, &self.bucket.place.bucket).await)
    }
}
