//! Copies within the bucket, which move no bytes through here.

use futures_util::{StreamExt, TryStreamExt, stream};
use lockkeeper_http::{Method, Refusal, encode_path, retrying};
use lockkeeper_sdk::{Error, Result};

use crate::multipart::{IN_MEMORY, MOST_PARTS, Upload};
use crate::refusal::{Action, late};
use crate::remote::{Bucket, NO_SUCH_KEY};
use crate::xml::{CopyPartResult, parse};

/// The largest object that one request copies. The protocol allows for 5 GiB, but a store may not answer before it is done.
const WHOLE: u64 = 1 << 30;
/// The size of the parts that a larger one is copied in, unless they would be too many.
const PART: u64 = 512 << 20;
/// The largest answer.
const ANSWER: usize = 64 * 1024;

impl Bucket {
    /// Copies an object over another one; false if there is none at `from`.
    pub(crate) async fn copy(&self, from: &str, to: &str, size: u64) -> Result<bool> {
        let source = format!("/{}/{}", self.place.bucket, encode_path(&self.key(from)));
        let copied = match size > WHOLE {
            true => self.copy_in_parts(&source, to, size).await,
            false => self.copy_whole(&source, to).await,
        };
        match copied {
            Ok(()) => Ok(true),
            Err(refusal) if refusal.code == NO_SUCH_KEY => Ok(false),
            Err(refusal) => Err(refusal.into()),
        }
    }

    async fn copy_whole(&self, source: &str, to: &str) -> Result<(), Refusal> {
        let call = self.object(Action::Put, Method::PUT, to, "").header("x-amz-copy-source", source);
        let answer = call.send().await?.bytes(ANSWER).await?;
        late(&String::from_utf8_lossy(&answer), Action::Put, &self.place.bucket).map_or(Ok(()), Err)
    }

    async fn copy_in_parts(&self, source: &str, to: &str, size: u64) -> Result<(), Refusal> {
        let upload = Upload::begin(self, to).await?;
        let size_of_part = PART.max(size.div_ceil(MOST_PARTS));
        let copied = stream::iter(0..size.div_ceil(size_of_part))
            .map(|part| {
                let first = part * size_of_part;
                upload.copy_part(part + 1, source, first, size.min(first + size_of_part))
            })
            .buffered(IN_MEMORY)
            .try_collect::<Vec<_>>()
            .await;
        let done = match copied {
            Ok(etags) => upload.complete(&etags, false).await.map(|_| ()),
            Err(refusal) => Err(refusal),
        };
        if done.is_err() {
            upload.abort().await;
        }
        done
    }
}

impl Upload<'_> {
    /// Copies the bytes from `first` up to `end` as a part.
    async fn copy_part(&self, number: u64, source: &str, first: u64, end: u64) -> Result<String, Refusal> {
        let copied = retrying(async || {
            let call = self.part(number).header("x-amz-copy-source", source);
            let range = format!("bytes={first}-{}", end.saturating_sub(1));
            let answer = match call.header("x-amz-copy-source-range", &range).send().await {
                Ok(response) => response.bytes(ANSWER).await?,
                // Not an error here, or else its code would be lost.
                Err(refusal) if refusal.code == NO_SUCH_KEY => return Ok(Err(refusal)),
                Err(refusal) => return Err(refusal.into()),
            };
            if let Some(refusal) = late(&String::from_utf8_lossy(&answer), Action::Put, self.bucket()) {
                return Err(refusal.into());
            }
            let part: CopyPartResult = parse("the copy of a part", &answer)?;
            Ok::<_, Error>(Ok(part.etag))
        });
        copied.await?
    }
}
