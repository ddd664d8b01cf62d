//! Taking from a damaged shard what can still be read.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::path::{check_digest, check_path};
use crate::shard::{Entry, Shard, Tombstone};

/// What stands between a path and its digest, in files and tombstones alike.
const BETWEEN: &str = "\":{\"digest\":\"";

/// Reads the files and tombstones that a shard's bytes still tell. Nothing else of it is taken over.
pub(super) fn salvage(scope: &str, bytes: &[u8]) -> Shard {
    let mut shard = Shard::new(scope);
    match serde_json::from_slice::<Value>(bytes) {
        Ok(document) => read(&document, &mut shard),
        Err(_) => scan(&String::from_utf8_lossy(bytes), &mut shard),
    }
    shard
}

/// Takes what is right of a document of which something is not.
fn read(document: &Value, shard: &mut Shard) {
    for (path, entry) in entries::<Entry>(document, "files") {
        add_file(shard, path, entry);
    }
    for (path, tombstone) in entries::<Tombstone>(document, "deleted") {
        add_tombstone(shard, path, tombstone.digest);
    }
    let fences = document.get("fences").and_then(|fences| Deserialize::deserialize(fences).ok());
    shard.fences = fences.unwrap_or_default();
}

fn entries<'d, T: DeserializeOwned>(
    document: &'d Value,
    name: &str,
) -> impl Iterator<Item = (String, T)> + use<'d, T> {
    let map = document.get(name).and_then(Value::as_object);
    map.into_iter().flatten().filter_map(|(path, value)| Some((path.clone(), T::deserialize(value).ok()?)))
}

/// Finds each path with its digest in a text that is no document any more.
fn scan(text: &str, shard: &mut Shard) {
    for (at, _) in text.match_indices(BETWEEN) {
        let (Some(before), Some(after)) = (text.get(..at), text.get(at + BETWEEN.len()..)) else { continue };
        // The path begins after the last quote that stands for itself.
        let quote = before.rmatch_indices('"').find(|(at, _)| {
            let before = before.get(..*at).unwrap_or_default();
            (before.len() - before.trim_end_matches('\\').len()).is_multiple_of(2)
        });
        let Some(path) = quote.and_then(|(start, _)| text.get(start..=at)) else { continue };
        let Ok(path) = serde_json::from_str::<String>(path) else { continue };
        let (Some(digest), Some(rest)) = (after.get(..64), after.get(64..)) else { continue };
        if let Some(size) = rest.strip_prefix("\",\"size\":").and_then(|rest| rest.split_once('}')) {
            if let Ok(size) = size.0.parse() {
                add_file(shard, path, Entry { digest: digest.to_owned(), size });
            }
        } else if rest.starts_with("\"}") {
            add_tombstone(shard, path, digest.to_owned());
        }
    }
}

fn add_file(shard: &mut Shard, path: String, entry: Entry) {
    if right(shard, &path, &entry.digest) {
        shard.files.insert(path, entry);
    }
}

fn add_tombstone(shard: &mut Shard, path: String, digest: String) {
    if right(shard, &path, &digest) {
        shard.deleted.insert(path, Tombstone { digest });
    }
}

fn right(shard: &Shard, path: &str, digest: &str) -> bool {
    path.starts_with(&shard.scope) && check_path(path).is_ok() && check_digest(digest).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_cut_off_the_rest_is_read() {
        let mut shard = Shard::new("data/a/b/");
        let digest = |text: &str| blake3::hash(text.as_bytes()).to_hex().to_string();
        let names = ["plain", "quo\"te", "back\\", "\\\"", "ü", "line\nbreak", "\":{\"digest\":\""];
        for name in names {
            let entry = Entry { digest: digest(name), size: name.len() as u64 };
            shard.files.insert(format!("data/a/b/{name}"), entry);
            let tombstone = Tombstone { digest: digest(name) };
            shard.deleted.insert(format!("data/a/b/old {name}"), tombstone);
        }
        let bytes = shard.to_bytes().unwrap();
        let mut most = (0, 0);
        for end in 0..bytes.len() {
            let found = salvage("data/a/b/", &bytes[..end]);
            assert!(found.files.iter().all(|(path, entry)| shard.files.get(path) == Some(entry)));
            assert!(found.deleted.iter().all(|(path, it)| shard.deleted.get(path) == Some(it)));
            assert!(found.files.len() >= most.0 && found.deleted.len() >= most.1);
            most = (found.files.len(), found.deleted.len());
        }
        assert_eq!(most, (names.len(), names.len()));
    }

    #[test]
    fn what_is_wrong_in_a_whole_document_is_left_out() {
        let digest = "0".repeat(64);
        let text = format!(
            r#"{{"files":{{"data/a/b/x":{{"digest":"{digest}","size":1}},"data/a/b/y":{{"digest":"none","size":1}},
            "data/a/b/../z":{{"digest":"{digest}","size":1}}}},"deleted":{{"data/a/b/w":{{"digest":"{digest}"}},"data/other":{{"digest":"{digest}"}}}}}}"#
        );
        let found = salvage("data/a/b/", text.as_bytes());
        assert_eq!(found.files.keys().collect::<Vec<_>>(), ["data/a/b/x"]);
        assert_eq!(found.deleted.keys().collect::<Vec<_>>(), ["data/a/b/w"]);
    }
}
