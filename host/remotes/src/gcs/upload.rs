//! The three ways to insert an object.

use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyDataStream, BodyExt as _};
use serde_json::Value;

use super::MemoryGcs;
use super::answer::{Failed, empty, json as answer};
use super::objects::{Condition, Object, Objects, Upload, md5};
use super::route::Call;
use crate::{Body, Content};

/// Chunks of a resumable upload are multiples of this, but for the last one.
const CHUNK: u64 = 256 * 1024;

impl MemoryGcs {
    pub(super) async fn insert_media(
        &self,
        call: &Call,
        request: Request<Body>,
    ) -> Result<Response<Body>, Failed> {
        let content = receive(request).await?;
        let object = self.put(&call.name, content, &Value::Null, Condition::of(call, false)?, None).await?;
        Ok(answer(StatusCode::OK, &object.describe(&self.options.bucket, &call.name)))
    }

    pub(super) async fn insert_multipart(
        &self,
        call: &mut Call,
        request: Request<Body>,
    ) -> Result<Response<Body>, Failed> {
        let boundary = boundary(request.headers())?;
        let whole = receive(request).await?.to_bytes();
        let (metadata, content) = parts(&whole, &boundary)
            .ok_or_else(|| Failed::Invalid("The body is no multipart/related of two parts".into()))?;
        let metadata: Value = serde_json::from_slice(&whole.slice(metadata))
            .map_err(|error| Failed::Invalid(format!("The metadata is no JSON: {error}")))?;
        let name = name(call, &metadata)?;
        call.name.clone_from(&name);
        let content = Content::from(whole.slice(content));
        let object = self.put(&name, content, &metadata, Condition::of(call, false)?, None).await?;
        Ok(answer(StatusCode::OK, &object.describe(&self.options.bucket, &name)))
    }

    pub(super) async fn begin(
        &self,
        call: &mut Call,
        request: Request<Body>,
    ) -> Result<Response<Body>, Failed> {
        let body = receive(request).await?.to_bytes();
        let metadata: Value = if body.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&body)
                .map_err(|error| Failed::Invalid(format!("The metadata is no JSON: {error}")))?
        };
        let name = name(call, &metadata)?;
        call.name.clone_from(&name);
        let condition = Condition::of(call, false)?;
        let upload = Upload { name: name.clone(), condition, content: Content::default() };
        let check = |all: &Objects| condition.writes(all.objects.get(&name));
        let write = |all: &mut Objects| Ok(all.begin(upload));
        let id = self.objects.write(self.options.conditions, check, write).await?;
        let at = format!(
            "{}/upload/storage/v1/b/{}/o?uploadType=resumable&upload_id={id}",
            call.origin, self.options.bucket
        );
        let mut response = empty(StatusCode::OK);
        let at = HeaderValue::from_str(&at).map_err(|_| Failed::Invalid("The host is no header".into()))?;
        response.headers_mut().insert(header::LOCATION, at);
        Ok(response)
    }

    pub(super) async fn resume(&self, id: &str, request: Request<Body>) -> Result<Response<Body>, Failed> {
        let range = request.headers().get(header::CONTENT_RANGE).and_then(|range| range.to_str().ok());
        let chunk = Chunk::read(range)?;
        let received = receive(request).await?;
        let upload = self.objects.read(|all| all.uploads.get(id).cloned()).ok_or(Failed::NotFound)?;
        let have = upload.content.size();
        let Some((first, len)) = chunk.bytes.map_or(Some((0, received.size())), |bytes| bytes) else {
            // A question how far it has got; an answer, too, if nothing is missing.
            return match chunk.total {
                Some(total) if total == have => self.finish(id, upload).await,
                _ => Ok(incomplete(have)),
            };
        };
        if len != received.size() {
            return Err(Failed::Invalid("The body is shorter or longer than Content-Range says".into()));
        }
        if first != have {
            return Err(Failed::Invalid(format!("The chunk begins at {first}, {have} bytes are here")));
        }
        let content = Content::concat([&upload.content, &received]);
        let done = match chunk.total {
            Some(total) if content.size() > total => {
                return Err(Failed::Invalid("More bytes than was said".into()));
            }
            Some(total) => content.size() == total,
            None => chunk.bytes.is_none(),
        };
        let upload = Upload { content, ..upload };
        if done {
            return self.finish(id, upload).await;
        }
        if received.size() % CHUNK != 0 || received.size() == 0 {
            return Err(Failed::Invalid("A chunk must be a multiple of 256 KiB".into()));
        }
        let have = upload.content.size();
        self.objects.step(|all| all.uploads.insert(id.to_owned(), upload));
        Ok(incomplete(have))
    }

    async fn finish(&self, id: &str, upload: Upload) -> Result<Response<Body>, Failed> {
        let object = self.put(&upload.name, upload.content, &Value::Null, upload.condition, Some(id)).await?;
        Ok(answer(StatusCode::OK, &object.describe(&self.options.bucket, &upload.name)))
    }

    pub(super) fn cancel(&self, id: &str) -> Result<Response<Body>, Failed> {
        match self.objects.step(|all| all.uploads.remove(id)) {
            // The service's own way to say that it is done.
            Some(_) => Ok(empty(StatusCode::from_u16(499).unwrap_or(StatusCode::NO_CONTENT))),
            None => Err(Failed::NotFound),
        }
    }

    async fn put(
        &self,
        name: &str,
        content: Content,
        metadata: &Value,
        condition: Condition,
        upload: Option<&str>,
    ) -> Result<Object, Failed> {
        if name.is_empty() || name.len() > 1024 || name.contains(['\r', '\n']) {
            return Err(Failed::Invalid("Invalid object name".into()));
        }
        let md5 = md5(&content);
        if metadata.get("md5Hash").is_some_and(|wanted| *wanted != md5) {
            return Err(Failed::Invalid("Provided MD5 hash doesn't match".into()));
        }
        let check = |all: &Objects| condition.writes(all.objects.get(name));
        let write = |all: &mut Objects| {
            if let Some(upload) = upload {
                // Two requests may finish one upload; the second one finds it gone.
                all.uploads.remove(upload).ok_or(Failed::Gone)?;
            }
            Ok(all.insert(name, content, md5))
        };
        self.objects.write(self.options.conditions, check, write).await
    }
}

async fn receive(request: Request<Body>) -> Result<Content, Failed> {
    let announced =
        request.headers().get(header::CONTENT_LENGTH).and_then(|len| len.to_str().ok()?.parse().ok());
    let body = BodyDataStream::new(request.into_body().map_err(|error| error.to_string()).boxed_unsync());
    let content = Content::collect(body, |_| ())
        .await
        .map_err(|error| Failed::Invalid(format!("The body could not be read: {error}")))?;
    if announced.is_some_and(|announced: u64| announced != content.size()) {
        return Err(Failed::Invalid("The body is shorter or longer than was said".into()));
    }
    Ok(content)
}

fn name(call: &Call, metadata: &Value) -> Result<String, Failed> {
    let named = metadata.get("name").and_then(Value::as_str);
    match named.or(Some(call.name.as_str())).filter(|name| !name.is_empty()) {
        Some(name) => Ok(name.to_owned()),
        None => Err(Failed::Invalid("Required: name".into())),
    }
}

/// How far a resumable upload has got.
fn incomplete(have: u64) -> Response<Body> {
    let mut response = empty(StatusCode::PERMANENT_REDIRECT);
    if let Some(last) = have.checked_sub(1)
        && let Ok(range) = HeaderValue::from_str(&format!("bytes=0-{last}"))
    {
        response.headers_mut().insert(header::RANGE, range);
    }
    response
}

/// What `Content-Range` says of a chunk.
struct Chunk {
    /// Where it begins and how long it is. Without the header all bytes are meant; `None` in it asks how far it has got.
    bytes: Option<Option<(u64, u64)>>,
    /// How long the whole is, if that is known.
    total: Option<u64>,
}

impl Chunk {
    fn read(range: Option<&str>) -> Result<Self, Failed> {
        let Some(range) = range else { return Ok(Self { bytes: None, total: None }) };
        let invalid = || Failed::Invalid(format!("Invalid Content-Range: {range}"));
        let (bytes, total) =
            range.strip_prefix("bytes ").and_then(|rest| rest.split_once('/')).ok_or_else(invalid)?;
        let total = match total {
            "*" => None,
            total => Some(total.parse().map_err(|_| invalid())?),
        };
        let bytes = match bytes.split_once('-') {
            None if bytes == "*" => None,
            None => return Err(invalid()),
            Some((first, last)) => {
                let first: u64 = first.parse().map_err(|_| invalid())?;
                let last: u64 = last.parse().map_err(|_| invalid())?;
                Some((first, (last + 1).checked_sub(first).ok_or_else(invalid)?))
            }
        };
        Ok(Self { bytes: Some(bytes), total })
    }
}

fn boundary(headers: &HeaderMap) -> Result<Vec<u8>, Failed> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let boundary = kind.strip_prefix("multipart/related").and_then(|rest| rest.split_once("boundary="));
    match boundary {
        Some((_, boundary)) => {
            let boundary = boundary.split(';').next().unwrap_or_default().trim().trim_matches('"');
            Ok(format!("--{boundary}").into_bytes())
        }
        None => Err(Failed::Invalid("Expected multipart/related with a boundary".into())),
    }
}

type Place = std::ops::Range<usize>;

/// Where the two parts of a body are.
fn parts(whole: &[u8], boundary: &[u8]) -> Option<(Place, Place)> {
    let delimiter = [b"\r\n", boundary].concat();
    // The first one may stand at the very beginning.
    let first = if whole.starts_with(boundary) { boundary.len() } else { find(whole, &delimiter, 0)?.end };
    let second = find(whole, &delimiter, first)?;
    let third = find(whole, &delimiter, second.end)?;
    if !whole.get(third.end..)?.starts_with(b"--") {
        return None;
    }
    Some((content(whole, first..second.start)?, content(whole, second.end..third.start)?))
}

/// A part without its headers.
fn content(whole: &[u8], part: Place) -> Option<Place> {
    let headers = find(whole.get(..part.end)?, b"\r\n\r\n", part.start)?;
    Some(headers.end..part.end)
}

fn find(text: &[u8], what: &[u8], from: usize) -> Option<Place> {
    let at = memchr::memmem::find(text.get(from..)?, what)? + from;
    Some(at..at + what.len())
}
