//! Reading, listing, copying and deleting.

use std::collections::BTreeSet;
use std::ops::Bound;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use futures::stream;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::StreamBody;
use s3s::dto::Range;
use serde_json::json;

use super::MemoryGcs;
use super::answer::{Failed, empty, json as answer};
use super::objects::{Condition, Objects};
use super::route::Call;
use crate::{Body, BodyError, Content};

impl MemoryGcs {
    pub(super) fn describe_bucket(&self) -> Response<Body> {
        answer(StatusCode::OK, &json!({ "kind": "storage#bucket", "name": self.options.bucket }))
    }

    pub(super) fn get(&self, call: &Call, headers: &HeaderMap) -> Result<Response<Body>, Failed> {
        let object = self.objects.read(|all| all.objects.get(&call.name).cloned()).ok_or(Failed::NotFound)?;
        if call.number("generation")?.is_some_and(|wanted| wanted != object.generation) {
            return Err(Failed::NotFound);
        }
        Condition::of(call, false)?.reads(&object)?;
        if call.get("alt") != Some("media") {
            return Ok(answer(StatusCode::OK, &object.describe(&self.options.bucket, &call.name)));
        }
        let whole = object.content.size();
        let range = headers.get(header::RANGE).and_then(|range| range.to_str().ok());
        let (status, content, range) = match range.and_then(|range| Range::parse(range).ok()) {
            None => (StatusCode::OK, object.content, None),
            Some(range) => {
                let range = range.check(whole).map_err(|_| Failed::Range)?;
                let said = format!("bytes {}-{}/{whole}", range.start, range.end.saturating_sub(1));
                (StatusCode::PARTIAL_CONTENT, object.content.slice(range), Some(said))
            }
        };
        let mut response = Response::new(streamed(&content));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_LENGTH, content.size().into());
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        headers.insert("x-goog-generation", object.generation.into());
        if let Ok(hash) = HeaderValue::from_str(&format!("md5={}", object.md5)) {
            headers.insert("x-goog-hash", hash);
        }
        if let Some(range) = range.and_then(|range| HeaderValue::from_str(&range).ok()) {
            headers.insert(header::CONTENT_RANGE, range);
        }
        Ok(response)
    }

    pub(super) fn list(&self, call: &Call) -> Result<Response<Body>, Failed> {
        let prefix = call.get("prefix").unwrap_or_default();
        let delimiter = call.get("delimiter").filter(|delimiter| !delimiter.is_empty());
        let page = call.number("maxResults")?.and_then(|max| usize::try_from(max).ok()).unwrap_or(1000);
        let page = page.min(self.options.page).max(1);
        let after = match call.get("pageToken") {
            Some(token) => Some(read_token(token)?),
            None => None,
        };
        let start = call.get("startOffset").unwrap_or_default().max(prefix);
        let end = call.get("endOffset").filter(|end| !end.is_empty());
        let begin = match &after {
            Some(after) => Bound::Excluded(after.as_str()),
            None => Bound::Included(start),
        };
        let mut items = Vec::new();
        let mut folders = BTreeSet::new();
        let mut last = None;
        let mut next = None;
        self.objects.read(|all| {
            let names = all.objects.range::<str, _>((begin, Bound::Unbounded));
            let wanted = |name: &str| name.starts_with(prefix) && end.is_none_or(|end| name < end);
            for (name, object) in names.take_while(|(name, _)| wanted(name)) {
                let rest = name.get(prefix.len()..).unwrap_or_default();
                let folder = delimiter.and_then(|delimiter| {
                    rest.find(delimiter).and_then(|at| name.get(..prefix.len() + at + delimiter.len()))
                });
                let seen = |folder: &str| {
                    folders.contains(folder)
                        || after.as_deref().is_some_and(|after| after.starts_with(folder))
                };
                if folder.is_some_and(seen) {
                    continue;
                }
                if items.len() + folders.len() >= page {
                    next = last.take();
                    break;
                }
                last = Some(name.clone());
                match folder {
                    Some(folder) => _ = folders.insert(folder.to_owned()),
                    None => items.push(object.describe(&self.options.bucket, name)),
                }
            }
        });
        let mut listing = json!({ "kind": "storage#objects" });
        if let Some(fields) = listing.as_object_mut() {
            // What is empty is left out, as the service does.
            if !items.is_empty() {
                fields.insert("items".into(), items.into());
            }
            if !folders.is_empty() {
                fields.insert("prefixes".into(), folders.into_iter().collect());
            }
            if let Some(next) = next {
                fields.insert("nextPageToken".into(), URL_SAFE.encode(next).into());
            }
        }
        Ok(answer(StatusCode::OK, &listing))
    }

    pub(super) async fn delete(&self, call: &Call) -> Result<Response<Body>, Failed> {
        let condition = Condition::of(call, false)?;
        let check = |all: &Objects| {
            let object = all.objects.get(&call.name).ok_or(Failed::NotFound)?;
            condition.writes(Some(object))
        };
        let write = |all: &mut Objects| all.objects.remove(&call.name).map(drop).ok_or(Failed::NotFound);
        self.objects.write(self.options.conditions, check, write).await?;
        Ok(empty(StatusCode::NO_CONTENT))
    }

    pub(super) async fn rewrite(
        &self,
        call: &Call,
        bucket: &str,
        name: &str,
        rewrite: bool,
    ) -> Result<Response<Body>, Failed> {
        if bucket != self.options.bucket {
            return Err(Failed::NoBucket);
        }
        let source = Condition::of(call, true)?;
        let target = Condition::of(call, false)?;
        let from = |all: &Objects| all.objects.get(&call.name).cloned().ok_or(Failed::NotFound);
        let check = |all: &Objects| {
            source.writes(Some(&from(all)?))?;
            target.writes(all.objects.get(name))
        };
        let write = |all: &mut Objects| {
            let object = from(all)?;
            Ok(all.insert(name, object.content, object.md5))
        };
        let object = self.objects.write(self.options.conditions, check, write).await?;
        let described = object.describe(bucket, name);
        let size = object.content.size().to_string();
        Ok(answer(
            StatusCode::OK,
            &if rewrite {
                json!({
                    "kind": "storage#rewriteResponse", "done": true, "totalBytesRewritten": size,
                    "objectSize": size, "resource": described,
                })
            } else {
                described
            },
        ))
    }
}

fn streamed(content: &Content) -> Body {
    let frames = content.pieces().map(|piece| Ok::<_, BodyError>(Frame::data(piece)));
    Body::new(StreamBody::new(stream::iter(frames)))
}

fn read_token(token: &str) -> Result<String, Failed> {
    let invalid = || Failed::Invalid("Invalid page token".into());
    let bytes = URL_SAFE.decode(token).map_err(|_| invalid())?;
    String::from_utf8(bytes).map_err(|_| invalid())
}
