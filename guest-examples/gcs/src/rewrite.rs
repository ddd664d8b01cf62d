//! Copies within the bucket, which move no bytes through here.

use lockkeeper_http::{Method, encode};
use lockkeeper_sdk::{Error, Result};

use crate::json::{RewriteResponse, parse};
use crate::refusal::Action;
use crate::remote::Bucket;
use crate::request::ANSWER;

impl Bucket {
    /// Copies an object over another one, which gets its new content at once; false if there is none at `from`.
    pub(crate) async fn rewrite(&self, from: &str, to: &str) -> Result<bool> {
        let base =
            format!("{}/rewriteTo{}", self.object(from), self.object(to).trim_start_matches("/storage/v1"));
        let mut target = base.clone();
        loop {
            let response = match self.call(Action::Rewrite, Method::POST, &target).send().await {
                Ok(response) => response,
                Err(refusal) => return self.is_absent(refusal, from).await.map(|_| false),
            };
            let progress: RewriteResponse = parse("a copy", &response.bytes(ANSWER).await?)?;
            if progress.done {
                return Ok(true);
            }
            // A large object takes several calls.
            let token = progress.rewrite_token.filter(|token| !token.is_empty());
            let token =
                token.ok_or_else(|| Error::fatal("a copy is not done and doesn't say how to go on"))?;
            target = format!("{base}?rewriteToken={}", encode(&token));
        }
    }
}
