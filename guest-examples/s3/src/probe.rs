//! What is tried before it is trusted.

use lockkeeper_http::probe::random_name;
use lockkeeper_http::{Content, Method};
use lockkeeper_sdk::{PutNew, Remote, Result};

use crate::multipart::Upload;
use crate::refusal::Action;
use crate::remote::Bucket;

/// Where the probes' objects are.
const FOLDER: &str = ".lockkeeper/probe/";
impl Bucket {
    /// Makes sure that conditional writes can be trusted.
    pub(crate) async fn trust(&self) -> Result<()> {
        self.trust.writes(self, FOLDER).await
    }

    /// Says whether uploads in parts can be completed on a condition.
    pub(crate) async fn honours_conditional_uploads(&self) -> Result<bool> {
        self.trust.uploads(async || self.try_conditional_upload().await).await
    }

    /// Completes an upload over an object that is there, on the condition that there is none.
    async fn try_conditional_upload(&self) -> Result<bool> {
        let key = format!("{FOLDER}{}", random_name()?);
        let there = Content::bytes(&b"there"[..]);
        self.object(Action::Put, Method::PUT, &key, "").content(there).send().await?;
        let upload = Upload::begin(self, &key).await?;
        let part = Content::bytes(&b"over it"[..]);
        let completed = match upload.send_part(1, part).await {
            Ok(etag) => upload.complete(&[etag], true).await.map_err(Into::into),
            Err(error) => Err(error),
        };
        if !matches!(completed, Ok(PutNew::Created)) {
            upload.abort().await;
        }
        let _ = self.delete(&key).await;
        Ok(completed? == PutNew::Exists)
    }
}
