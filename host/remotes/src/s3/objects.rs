//! What is stored, and the conditions under which it changes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use s3s::crypto::{Checksum as _, Md5};
use s3s::dto::{ETag, ETagCondition, Timestamp};
use s3s::{S3Result, s3_error};

use crate::Content;

/// All that the bucket holds.
#[derive(Debug, Clone, Default)]
pub(super) struct Objects {
    pub(super) objects: BTreeMap<String, Object>,
    pub(super) uploads: BTreeMap<String, Upload>,
    /// Writes so far: the only clock there is.
    clock: u64,
}

/// One object.
#[derive(Debug, Clone)]
pub(super) struct Object {
    pub(super) content: Content,
    pub(super) etag: String,
    modified: u64,
}

/// A multipart upload under way.
#[derive(Debug, Clone)]
pub(super) struct Upload {
    pub(super) key: String,
    pub(super) parts: BTreeMap<i32, Part>,
}

/// One part of it.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) content: Content,
    pub(super) md5: [u8; 16],
}

impl Objects {
    pub(super) fn insert(&mut self, key: &str, content: Content, etag: String) {
        self.clock += 1;
        let object = Object { content, etag, modified: self.clock };
        self.objects.insert(key.to_owned(), object);
    }

    pub(super) fn get(&self, key: &str) -> S3Result<&Object> {
        self.objects.get(key).ok_or_else(|| s3_error!(NoSuchKey, "The specified key does not exist."))
    }

    /// The name of a new upload.
    pub(super) fn begin(&mut self, key: &str) -> String {
        self.clock += 1;
        let id = format!("upload-{:08}", self.clock);
        self.uploads.insert(id.clone(), Upload { key: key.to_owned(), parts: BTreeMap::new() });
        id
    }

    pub(super) fn upload(&mut self, id: &str, key: &str) -> S3Result<&mut Upload> {
        match self.uploads.get_mut(id) {
            Some(upload) if upload.key == key => Ok(upload),
            _ => Err(s3_error!(NoSuchUpload, "The specified upload does not exist.")),
        }
    }
}

impl Object {
    pub(super) fn etag(&self) -> ETag {
        ETag::Strong(self.etag.clone())
    }

    pub(super) fn modified(&self) -> Timestamp {
        // Some day in 2025, and a second later with each write.
        Timestamp::from(SystemTime::UNIX_EPOCH + Duration::from_secs(1_750_000_000 + self.modified))
    }
}

/// The condition of a write.
#[derive(Debug, Clone, Default)]
pub(super) struct Condition {
    /// It must be this.
    pub(super) matches: Option<ETagCondition>,
    /// It must not be this; the service knows `*` only.
    pub(super) none_matches: Option<ETagCondition>,
}

impl Condition {
    /// Whether an object as it is may be written over.
    pub(super) fn allows(&self, current: Option<&Object>) -> S3Result<()> {
        match (&self.none_matches, current) {
            (Some(ETagCondition::ETag(_)), _) => {
                return Err(s3_error!(NotImplemented, "If-None-Match takes * only"));
            }
            (Some(ETagCondition::Any), Some(_)) => return Err(failed()),
            (Some(ETagCondition::Any), None) | (None, _) => {}
        }
        match (&self.matches, current) {
            (None, _) => Ok(()),
            (Some(_), None) => Err(s3_error!(NoSuchKey, "The specified key does not exist.")),
            (Some(ETagCondition::Any), Some(_)) => Ok(()),
            (Some(ETagCondition::ETag(wanted)), Some(object)) if wanted.strong_cmp(&object.etag()) => Ok(()),
            (Some(ETagCondition::ETag(_)), Some(_)) => Err(failed()),
        }
    }
}

pub(super) fn failed() -> s3s::S3Error {
    s3_error!(PreconditionFailed, "At least one of the pre-conditions you specified did not hold")
}

/// Whether a read's conditions hold: an error if not.
pub(super) fn readable(
    object: &Object,
    matches: Option<&ETagCondition>,
    none_matches: Option<&ETagCondition>,
) -> S3Result<()> {
    let is = |condition: &ETagCondition| match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(etag) => etag.weak_cmp(&object.etag()),
    };
    if matches.is_some_and(|condition| !is(condition)) {
        return Err(failed());
    }
    if none_matches.is_some_and(is) {
        return Err(s3_error!(NotModified));
    }
    Ok(())
}

/// The ETag of an object that was put in one piece.
pub(super) fn etag(content: &Content) -> String {
    let mut md5 = Md5::new();
    content.pieces().for_each(|piece| md5.update(&piece));
    hex(&md5.finalize())
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string can't fail.
        _ = write!(text, "{byte:02x}");
        text
    })
}
