//! ListObjectsV2.

use std::collections::BTreeSet;
use std::ops::Bound;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::dto::{CommonPrefix, EncodingType, ListObjectsV2Input, ListObjectsV2Output, Object as Listed};
use s3s::{S3Result, s3_error};

use super::objects::{Objects, hex};

/// Begins a continuation token, so that a key isn't taken for one.
const TOKEN: &str = "1-";

/// What stands for itself in `encoding-type=url`.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'*').remove(b'/');

/// One page of a listing.
pub(super) fn list(all: &Objects, page: usize, input: ListObjectsV2Input) -> S3Result<ListObjectsV2Output> {
    let prefix = input.prefix.clone().unwrap_or_default();
    let delimiter = input.delimiter.clone().filter(|delimiter| !delimiter.is_empty());
    let max = match input.max_keys {
        Some(max) => usize::try_from(max).map_err(|_| s3_error!(InvalidArgument, "max-keys is negative"))?,
        None => 1000,
    };
    let after = match &input.continuation_token {
        Some(token) => Some(unhide(token)?),
        None => input.start_after.clone(),
    };
    let url = input.encoding_type.as_ref().is_some_and(|kind| kind.as_str() == EncodingType::URL);
    let encoded = |text: &str| if url { encode(text) } else { text.to_owned() };

    let begin = match &after {
        Some(after) if *after >= prefix => Bound::Excluded(after.as_str()),
        _ => Bound::Included(prefix.as_str()),
    };
    let mut contents = Vec::new();
    let mut folders = BTreeSet::new();
    let mut last = None;
    let mut truncated = false;
    let keys = all.objects.range::<str, _>((begin, Bound::Unbounded));
    for (key, object) in keys.take_while(|(key, _)| key.starts_with(&prefix)) {
        let rest = key.get(prefix.len()..).unwrap_or_default();
        let folder = delimiter.as_ref().and_then(|delimiter| {
            rest.find(delimiter.as_str()).and_then(|at| key.get(..prefix.len() + at + delimiter.len()))
        });
        if let Some(folder) = folder
            && (folders.contains(folder) || after.as_deref().is_some_and(|after| after.starts_with(folder)))
        {
            // The rest of a folder that this page or the one before it has named.
            continue;
        }
        if contents.len() + folders.len() >= max.min(page) {
            truncated = max > 0;
            break;
        }
        last = Some(key.clone());
        match folder {
            Some(folder) => _ = folders.insert(folder.to_owned()),
            None => contents.push(Listed {
                key: Some(encoded(key)),
                e_tag: Some(object.etag()),
                size: i64::try_from(object.content.size()).ok(),
                last_modified: Some(object.modified()),
                ..Listed::default()
            }),
        }
    }
    Ok(ListObjectsV2Output {
        name: Some(input.bucket),
        prefix: Some(encoded(&prefix)),
        delimiter: input.delimiter.as_deref().map(encoded),
        start_after: input.start_after.as_deref().map(encoded),
        max_keys: i32::try_from(max.min(1000)).ok(),
        key_count: i32::try_from(contents.len() + folders.len()).ok(),
        is_truncated: Some(truncated),
        continuation_token: input.continuation_token,
        next_continuation_token: last.filter(|_| truncated).map(|key| hide(&key)),
        common_prefixes: Some(
            folders.iter().map(|folder| CommonPrefix { prefix: Some(encoded(folder)) }).collect(),
        ),
        contents: Some(contents),
        encoding_type: input.encoding_type,
        ..ListObjectsV2Output::default()
    })
}

/// Writes a key as `encoding-type=url` does: a space is a `+`.
fn encode(key: &str) -> String {
    utf8_percent_encode(key, PLAIN).to_string().replace("%20", "+")
}

/// A key as a token that nobody reads as one.
fn hide(key: &str) -> String {
    format!("{TOKEN}{}", hex(key.as_bytes()))
}

fn unhide(token: &str) -> S3Result<String> {
    let wrong = || s3_error!(InvalidArgument, "The continuation token provided is incorrect");
    let digits = token.strip_prefix(TOKEN).ok_or_else(wrong)?;
    let bytes: Option<Vec<u8>> = (0..digits.len())
        .step_by(2)
        .map(|at| digits.get(at..at + 2).and_then(|two| u8::from_str_radix(two, 16).ok()))
        .collect();
    String::from_utf8(bytes.ok_or_else(wrong)?).map_err(|_| wrong())
}
