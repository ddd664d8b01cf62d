//! What is stored, and the conditions under which it changes.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use s3s::crypto::{Checksum as _, Md5};
use serde_json::{Value, json};

use super::answer::Failed;
use super::route::Call;
use crate::Content;

/// All that the bucket holds.
#[derive(Debug, Clone, Default)]
pub(super) struct Objects {
    pub(super) objects: BTreeMap<String, Object>,
    pub(super) uploads: BTreeMap<String, Upload>,
    /// Writes so far. Generations are taken from it, so none comes twice.
    clock: u64,
}

/// One object.
#[derive(Debug, Clone)]
pub(super) struct Object {
    pub(super) content: Content,
    pub(super) generation: u64,
    pub(super) md5: String,
}

/// A resumable upload under way.
#[derive(Debug, Clone)]
pub(super) struct Upload {
    pub(super) name: String,
    pub(super) condition: Condition,
    pub(super) content: Content,
}

impl Objects {
    pub(super) fn insert(&mut self, name: &str, content: Content, md5: String) -> Object {
        self.clock += 1;
        let object = Object { content, generation: 1_750_000_000_000_000 + self.clock, md5 };
        self.objects.insert(name.to_owned(), object.clone());
        object
    }

    pub(super) fn begin(&mut self, upload: Upload) -> String {
        self.clock += 1;
        let id = format!("upload-{:08}", self.clock);
        self.uploads.insert(id.clone(), upload);
        id
    }
}

impl Object {
    /// What the service tells of it.
    pub(super) fn describe(&self, bucket: &str, name: &str) -> Value {
        json!({
            "kind": "storage#object",
            "id": format!("{bucket}/{name}/{}", self.generation),
            "name": name,
            "bucket": bucket,
            "generation": self.generation.to_string(),
            "metageneration": "1",
            "size": self.content.size().to_string(),
            "md5Hash": self.md5,
            "etag": STANDARD.encode(self.generation.to_be_bytes()),
        })
    }
}

/// The generation that an object must have, or must not. 0 is the generation of what isn't there.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Condition {
    matches: Option<u64>,
    not_matches: Option<u64>,
}

impl Condition {
    /// Reads `ifGenerationMatch` and `ifGenerationNotMatch`, or those of the source.
    pub(super) fn of(call: &Call, source: bool) -> Result<Self, Failed> {
        let (matches, not_matches) = if source {
            ("ifSourceGenerationMatch", "ifSourceGenerationNotMatch")
        } else {
            ("ifGenerationMatch", "ifGenerationNotMatch")
        };
        Ok(Self { matches: call.number(matches)?, not_matches: call.number(not_matches)? })
    }

    /// Whether a read goes ahead.
    pub(super) fn reads(&self, object: &Object) -> Result<(), Failed> {
        if self.matches.is_some_and(|wanted| wanted != object.generation) {
            return Err(Failed::Precondition);
        }
        if self.not_matches == Some(object.generation) {
            return Err(Failed::NotModified);
        }
        Ok(())
    }

    /// Whether a write goes ahead.
    pub(super) fn writes(&self, object: Option<&Object>) -> Result<(), Failed> {
        let generation = object.map_or(0, |object| object.generation);
        let fails =
            self.matches.is_some_and(|wanted| wanted != generation) || self.not_matches == Some(generation);
        if fails { Err(Failed::Precondition) } else { Ok(()) }
    }
}

pub(super) fn md5(content: &Content) -> String {
    let mut md5 = Md5::new();
    content.pieces().for_each(|piece| md5.update(&piece));
    STANDARD.encode(md5.finalize())
}
