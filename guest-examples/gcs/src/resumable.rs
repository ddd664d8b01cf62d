//! Uploads that are sent in pieces, so that a broken connection costs one piece.

use std::cell::Cell;

use bytes::Bytes;
use lockkeeper_http::{Content, Endpoint, Method, Refusal, StatusCode, encode, retrying};
use lockkeeper_sdk::{Body, Error, PutNew, Result};

use crate::json::{ObjectResource, parse};
use crate::refusal::Action;
use crate::remote::Bucket;
use crate::request::ANSWER;

/// The largest object that goes in one request.
pub(crate) const WHOLE: u64 = 16 << 20;
/// How many pieces may be in memory at once, of all uploads together.
pub(crate) const IN_MEMORY: usize = 4;
/// The size of a piece, which must be a multiple of 256 KiB.
const PIECE: u64 = 5 << 20;

impl Bucket {
    /// Uploads an object in pieces. If `new`, only if its key is not taken.
    pub(crate) async fn put_in_pieces(&self, key: &str, mut body: Body, new: bool) -> Result<PutNew> {
        let upload = match Upload::begin(self, key, body.size(), new).await {
            Err(refusal) if new && refusal.is(StatusCode::PRECONDITION_FAILED) => return Ok(PutNew::Exists),
            upload => upload?,
        };
        let done = upload.send_all(&mut body).await;
        if !matches!(done, Ok(PutNew::Created)) {
            upload.abort().await;
        }
        done
    }
}

/// An upload that is under way.
pub(crate) struct Upload<'a> {
    bucket: &'a Bucket,
    /// Path and query of where the pieces go.
    target: String,
    size: u64,
    new: bool,
}

/// How far an upload has come.
enum Progress {
    /// The store has this many bytes.
    Has(u64),
    /// It is an object now.
    Done,
    /// The key is taken.
    Taken,
}

impl<'a> Upload<'a> {
    pub(crate) async fn begin(bucket: &'a Bucket, key: &str, size: u64, new: bool) -> Result<Self, Refusal> {
        let condition = if new { "&ifGenerationMatch=0" } else { "" };
        let name = encode(&bucket.key(key));
        let target = format!("/upload{}?uploadType=resumable&name={name}{condition}", bucket.objects());
        let call = bucket.call(Action::Create, Method::POST, &target);
        let response = call.header("x-upload-content-length", &size.to_string()).send().await?;
        let location = response.header("location").and_then(|url| relative(&bucket.place.endpoint, url));
        let target = location.ok_or_else(|| Error::retry("the store doesn't say where an upload goes"))?;
        Ok(Self { bucket, target, size, new })
    }

    async fn send_all(&self, body: &mut Body) -> Result<PutNew> {
        let mut sent = 0;
        loop {
            let _slot = self.bucket.pieces.acquire().await;
            let size = (self.size - sent).min(PIECE);
            let piece = body
                .read(usize::try_from(size).unwrap_or(usize::MAX))
                .map_err(|error| Error::fatal(format!("can't read what is to be sent: {error}")))?;
            match self.send(sent, &piece).await? {
                Progress::Done => return Ok(PutNew::Created),
                Progress::Taken => return Ok(PutNew::Exists),
                Progress::Has(_) => sent += size,
            }
            if sent >= self.size {
                return Err(Error::retry("the store has all of an upload and makes no object of it"));
            }
        }
    }

    /// Sends a piece that begins at `first`; if something breaks, again what the store doesn't have of it.
    async fn send(&self, first: u64, piece: &Bytes) -> Result<Progress> {
        let end = first + piece.len() as u64;
        let broke = Cell::new(false);
        retrying(async || {
            let mut from = first;
            if broke.replace(true) {
                match self.exchange(&format!("bytes */{}", self.size), Bytes::new()).await? {
                    Progress::Has(count) => from = count,
                    progress => return Ok(progress),
                }
            }
            while from < end {
                let offset = from.checked_sub(first).and_then(|offset| usize::try_from(offset).ok());
                let rest = offset.map(|offset| piece.slice(offset..));
                let rest = rest.ok_or_else(|| Error::retry("the store lost a piece of an upload"))?;
                let range = format!("bytes {from}-{}/{}", end - 1, self.size);
                match self.exchange(&range, rest).await? {
                    Progress::Has(count) if count > from => from = count,
                    Progress::Has(_) => return Err(Error::retry("the store takes nothing of an upload")),
                    progress => return Ok(progress),
                }
            }
            if from == end {
                Ok(Progress::Has(end))
            } else {
                Err(Error::retry("the store has more of an upload than was sent"))
            }
        })
        .await
    }

    async fn exchange(&self, range: &str, content: Bytes) -> Result<Progress> {
        let call = self.bucket.call(Action::Create, Method::PUT, &self.target);
        let call = call.header("content-range", range).content(Content::bytes(content));
        let more = StatusCode::PERMANENT_REDIRECT;
        match call.send_for(|status| status.is_success() || status == more).await {
            Ok(response) if response.status == more => Ok(Progress::Has(received(response.header("range"))?)),
            Ok(response) => {
                let object: ObjectResource = parse("an upload", &response.bytes(ANSWER).await?)?;
                object.must_have(self.size).map(|()| Progress::Done)
            }
            Err(refusal) if self.new && refusal.is(StatusCode::PRECONDITION_FAILED) => Ok(Progress::Taken),
            // The upload has to begin anew.
            Err(refusal) if refusal.is(StatusCode::NOT_FOUND) || refusal.is(StatusCode::GONE) => {
                Err(Error::retry("the store has forgotten an upload"))
            }
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// Sends all of an upload that is one piece.
    pub(crate) async fn send_only(&self, piece: &Bytes) -> Result<PutNew> {
        match self.send(0, piece).await? {
            Progress::Done => Ok(PutNew::Created),
            Progress::Taken => Ok(PutNew::Exists),
            Progress::Has(_) => Err(Error::retry("the store has all of an upload and makes no object of it")),
        }
    }

    /// Takes the pieces back. If that fails, the store forgets them in a week.
    pub(crate) async fn abort(&self) {
        let _ = self.bucket.call(Action::Create, Method::DELETE, &self.target).send().await;
    }
}

/// How many bytes the store has, as it says with a range that begins at 0.
fn received(range: Option<&str>) -> Result<u64> {
    let Some(range) = range else { return Ok(0) };
    let last = range.strip_prefix("bytes=0-").and_then(|last| last.parse::<u64>().ok());
    let last = last.ok_or_else(|| Error::retry("the store doesn't say how much of an upload it has"))?;
    Ok(last.saturating_add(1))
}

/// Path and query of a URL, below an endpoint: the only place that the host lets requests go to.
fn relative(endpoint: &Endpoint, url: &str) -> Option<String> {
    let below = match url.split_once("://") {
        Some((_, rest)) => rest.find('/').and_then(|path| rest.get(path..))?,
        None => url,
    };
    below.strip_prefix(&endpoint.path).filter(|target| target.starts_with('/')).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_uploads_place_is_taken_below_the_endpoint() {
        let google = Endpoint::parse("endpoint", "https://storage.googleapis.com").unwrap();
        let proxied = Endpoint::parse("endpoint", "http://localhost:1/gcs").unwrap();
        let url = "https://storage.googleapis.com/upload/storage/v1/b/b/o?upload_id=1";
        assert_eq!(relative(&google, url).as_deref(), Some("/upload/storage/v1/b/b/o?upload_id=1"));
        assert_eq!(relative(&proxied, "http://inner:2/gcs/upload?u=1").as_deref(), Some("/upload?u=1"));
        assert_eq!(relative(&proxied, "/gcs/upload").as_deref(), Some("/upload"));
        assert_eq!(relative(&proxied, "https://elsewhere"), None);
    }

    #[test]
    fn what_the_store_has_is_read_from_its_range() {
        assert_eq!(received(None), Ok(0));
        assert_eq!(received(Some("bytes=0-8388607")), Ok(8 << 20));
        assert!(matches!(received(Some("bytes=5-9")), Err(Error::Retry(_))));
    }
}
