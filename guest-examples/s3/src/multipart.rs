//! Uploads in parts.

use futures_util::stream::FuturesUnordered;
use futures_util::{TryStreamExt, future::LocalBoxFuture};
use lockkeeper_http::{Content, Method, Refusal, StatusCode, encode, retrying};
use lockkeeper_sdk::{Body, Error, PutNew, Result};

use crate::refusal::{Action, late};
use crate::remote::Bucket;
use crate::request::Call;
use crate::xml::{InitiateMultipartUploadResult, complete_multipart_upload, parse};

/// The largest object that goes in one request.
pub(crate) const WHOLE: u64 = 16 << 20;
/// How many parts may be in memory at once, of all uploads together.
pub(crate) const IN_MEMORY: usize = 4;
/// The size of a part that is kept in memory, so that it can be sent again.
const PART: u64 = 5 << 20;
/// How many parts an upload may have.
pub(crate) const MOST_PARTS: u64 = 10_000;
/// The largest answer.
const ANSWER: usize = 64 * 1024;

impl Bucket {
    /// Uploads an object in parts, several at once. If `new`, only if its key is not taken.
    pub(crate) async fn put_in_parts(&self, key: &str, mut body: Body, new: bool) -> Result<PutNew> {
        let upload = Upload::begin(self, key).await?;
        let size = body.size();
        let sent = match size.div_ceil(MOST_PARTS) {
            ..=PART => upload.send_from_memory(&mut body, size).await,
            // Too large to be kept in memory.
            part => upload.send_as_read(&mut body, size, part).await,
        };
        let done = match sent {
            Ok(etags) => upload.complete_again(&etags, new).await,
            Err(error) => Err(error),
        };
        if !matches!(done, Ok(PutNew::Created)) {
            upload.abort().await;
        }
        done
    }
}

/// An upload that is under way.
pub(crate) struct Upload<'a> {
    bucket: &'a Bucket,
    key: &'a str,
    id: String,
}

impl<'a> Upload<'a> {
    pub(crate) async fn begin(bucket: &'a Bucket, key: &'a str) -> Result<Self> {
        let response = bucket.object(Action::Put, Method::POST, key, "?uploads=").send().await?;
        let begun: InitiateMultipartUploadResult =
            parse("the beginning of an upload", &response.bytes(ANSWER).await?)?;
        Ok(Self { bucket, key, id: begun.upload_id })
    }

    pub(crate) fn bucket(&self) -> &str {
        &self.bucket.place.bucket
    }

    /// A request that sends a part; they are numbered from 1.
    pub(crate) fn part(&self, number: u64) -> Call<'_> {
        let query = format!("?partNumber={number}&uploadId={}", encode(&self.id));
        self.bucket.object(Action::Put, Method::PUT, self.key, &query)
    }

    /// Reads part after part and sends them side by side, each again if it fails.
    async fn send_from_memory(&self, body: &mut Body, size: u64) -> Result<Vec<String>> {
        let mut sending: FuturesUnordered<LocalBoxFuture<'_, Result<(u64, String)>>> =
            FuturesUnordered::new();
        let mut sent = Vec::new();
        for number in 1..=size.div_ceil(PART) {
            // Those under way go on while this one waits for memory.
            let slot = loop {
                if let Some(slot) = self.bucket.parts.try_acquire() {
                    break slot;
                }
                match sending.try_next().await? {
                    Some(part) => sent.push(part),
                    None => break self.bucket.parts.acquire().await,
                }
            };
            let bytes = body.read(usize::try_from(PART).unwrap_or(usize::MAX)).map_err(unreadable)?;
            sending.push(Box::pin(async move {
                let etag =
                    retrying(async || self.send_part(number, Content::bytes(bytes.clone())).await).await;
                drop(slot);
                Ok((number, etag?))
            }));
        }
        while let Some(part) = sending.try_next().await? {
            sent.push(part);
        }
        sent.sort_unstable();
        Ok(sent.into_iter().map(|(_, etag)| etag).collect())
    }

    /// Sends one part after the other as it is read.
    async fn send_as_read(&self, body: &mut Body, size: u64, part: u64) -> Result<Vec<String>> {
        let mut etags = Vec::new();
        let mut left = size;
        for number in 1..=size.div_ceil(part) {
            let now = left.min(part);
            etags.push(self.send_part(number, Content::stream(body, now)).await?);
            left -= now;
        }
        Ok(etags)
    }

    pub(crate) async fn send_part(&self, number: u64, content: Content<'_>) -> Result<String> {
        let response = self.part(number).content(content).send().await?;
        let etag = response.header("etag").filter(|tag| !tag.is_empty());
        etag.map(str::to_owned).ok_or_else(|| Error::retry("the answer to a part of an upload has no ETag"))
    }

    /// Makes an object of the parts, and tries again if something breaks, rather than to send the parts anew.
    async fn complete_again(&self, etags: &[String], new: bool) -> Result<PutNew> {
        let completed = retrying(async || match self.complete(etags, new).await {
            // It is too old, or it was completed and the answer was lost, or a part isn't what the store said it was.
            Err(refusal) if matches!(refusal.code.as_str(), "NoSuchUpload" | "InvalidPart") => Ok(None),
            completed => Ok(Some(completed?)),
        });
        completed.await?.ok_or_else(|| Error::retry("the store knows an upload, or a part of it, no longer"))
    }

    /// Makes an object of the parts, all at once.
    pub(crate) async fn complete(&self, etags: &[String], new: bool) -> Result<PutNew, Refusal> {
        let query = format!("?uploadId={}", encode(&self.id));
        let mut call = self.bucket.object(Action::Put, Method::POST, self.key, &query);
        if new {
            call = call.header("if-none-match", "*");
        }
        let content = Content::bytes(complete_multipart_upload(etags));
        let answer = match call.content(content).send().await {
            Err(refusal) if new && refusal.is(StatusCode::PRECONDITION_FAILED) => return Ok(PutNew::Exists),
            answer => answer?.bytes(ANSWER).await?,
        };
        match late(&String::from_utf8_lossy(&answer), Action::Put, self.bucket()) {
            Some(refusal) if new && refusal.code == "PreconditionFailed" => Ok(PutNew::Exists),
            Some(refusal) => Err(refusal),
            None => Ok(PutNew::Created),
        }
    }

    /// Takes the parts back, so that nobody pays for them. If that fails, the bucket's own rule for unfinished uploads does it.
    pub(crate) async fn abort(&self) {
        let query = format!("?uploadId={}", encode(&self.id));
        let _ = self.bucket.object(Action::Abort, Method::DELETE, self.key, &query).send().await;
    }
}

fn unreadable(error: std::io::Error) -> Error {
    Error::fatal(format!("can't read what is to be sent: {error}"))
}
