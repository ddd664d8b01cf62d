//! What is tried before it is trusted.

use bytes::Bytes;
use lockkeeper_http::probe::{conditional_writes, held, random_name, remember};
use lockkeeper_http::{Content, Method};
use lockkeeper_sdk::{PutNew, Remote, Result};

use crate::multipart::Upload;
use crate::refusal::Action;
use crate::remote::Bucket;

/// Where the probes' objects are.
const FOLDER: &str = ".lockkeeper/probe/";
/// The names under which it is remembered what held.
const WRITES: &str = "conditional-writes";
const UPLOADS: &str = "conditional-uploads";

impl Bucket {
    /// Makes sure that conditional writes can be trusted, once.
    pub(crate) async fn trust(&self) -> Result<()> {
        let trusted = self.trusted.get_or_try_init(async || {
            let name = self.name();
            if !held(WRITES, &name) {
                conditional_writes(self, &name, FOLDER).await?;
                remember(WRITES, &name);
            }
            Ok(())
        });
        trusted.await.copied()
    }

    /// Says whether uploads in parts can be completed on a condition; not all stores know that.
    pub(crate) async fn honours_conditional_uploads(&self) -> Result<bool> {
        let honours = self.conditional_uploads.get_or_try_init(async || {
            let name = self.name();
            let yes = held(UPLOADS, &name) || self.try_conditional_upload().await?;
            if yes {
                remember(UPLOADS, &name);
            }
            Ok(yes)
        });
        honours.await.copied()
    }

    /// Completes an upload over an object that is there, on the condition that there is none.
    async fn try_conditional_upload(&self) -> Result<bool> {
        let key = format!("{FOLDER}{}", random_name()?);
        let there = Content::Bytes(Bytes::from_static(b"there"));
        self.object(Action::Put, Method::PUT, &key, "").content(there).send().await?;
        let upload = Upload::begin(self, &key).await?;
        let part = Content::Bytes(Bytes::from_static(b"over it"));
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

    fn name(&self) -> String {
        format!("{}, bucket {:?},", self.place.endpoint.origin(), self.place.bucket)
    }
}
