//! What is tried before it is trusted.

use bytes::Bytes;
use lockkeeper_http::probe::random_name;
use lockkeeper_http::{Content, StatusCode};
use lockkeeper_sdk::{PutNew, Remote, Result};

use crate::remote::Bucket;
use crate::resumable::Upload;

/// Where the probes' objects are.
const FOLDER: &str = ".lockkeeper/probe/";

impl Bucket {
    /// Makes sure that conditional writes can be trusted.
    pub(crate) async fn trust(&self) -> Result<()> {
        self.trust.writes(self, FOLDER).await
    }

    /// Says whether uploads in pieces can be made on a condition.
    pub(crate) async fn honours_conditional_uploads(&self) -> Result<bool> {
        self.trust.uploads(async || self.try_conditional_upload().await).await
    }

    /// Uploads in pieces over an object that is there, on the condition that there is none.
    async fn try_conditional_upload(&self) -> Result<bool> {
        let key = format!("{FOLDER}{}", random_name()?);
        self.upload(&key, Content::bytes(&b"there"[..]), None).await?;
        let piece = Bytes::from_static(b"over it");
        let outcome = match Upload::begin(self, &key, piece.len() as u64, true).await {
            Err(refusal) if refusal.is(StatusCode::PRECONDITION_FAILED) => Ok(PutNew::Exists),
            Ok(upload) => upload.send_only(&piece).await,
            Err(refusal) => Err(refusal.into()),
        };
        let _ = self.delete(&key).await;
        Ok(outcome? == PutNew::Exists)
    }
}
