//! The Google Cloud Storage in memory answers as the real one does.

use std::collections::BTreeSet;

use crate::ask::{Answer, ask, both, request};
use lockkeeper_remotes::gcs::{MemoryGcs, Options};
use lockkeeper_remotes::{Conditions, Remote as _};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use proptest::prelude::*;
use serde_json::Value;

const OBJECTS: &str = "/storage/v1/b/bucket/o";
const UPLOAD: &str = "/upload/storage/v1/b/bucket/o";

fn gcs() -> MemoryGcs {
    MemoryGcs::new(Options::default())
}

fn json(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or_else(|_| panic!("{answer:?}"))
}

fn quoted(name: &str) -> String {
    utf8_percent_encode(name, NON_ALPHANUMERIC).to_string()
}

/// One way to insert an object.
type Insert = fn(&MemoryGcs, &str, &str, &str) -> Answer;

fn media(gcs: &MemoryGcs, name: &str, content: &str, condition: &str) -> Answer {
    let line = format!("POST {UPLOAD}?uploadType=media&name={}{condition}", quoted(name));
    ask(gcs, &line, &[], content.to_owned())
}

fn multipart(gcs: &MemoryGcs, name: &str, content: &str, condition: &str) -> Answer {
    let metadata = serde_json::json!({ "name": name });
    let body = format!(
        "--cut\r\ncontent-type: application/json\r\n\r\n{metadata}\r\n--cut\r\n\
         content-type: text/plain\r\n\r\n{content}\r\n--cut--\r\n"
    );
    let kind = [("content-type", "multipart/related; boundary=cut")];
    ask(gcs, &format!("POST {UPLOAD}?uploadType=multipart{condition}"), &kind, body)
}

fn begin(gcs: &MemoryGcs, name: &str, condition: &str) -> Answer {
    ask(gcs, &format!("POST {UPLOAD}?uploadType=resumable&name={}{condition}", quoted(name)), &[], "")
}

fn at(begun: &Answer) -> String {
    begun.header("location").strip_prefix("http://127.0.0.1:9000").unwrap().to_owned()
}

fn resumable(gcs: &MemoryGcs, name: &str, content: &str, condition: &str) -> Answer {
    let begun = begin(gcs, name, condition);
    if begun.status != 200 {
        return begun;
    }
    ask(gcs, &format!("PUT {}", at(&begun)), &[], content.to_owned())
}

const WAYS: [(&str, Insert); 3] = [("media", media), ("multipart", multipart), ("resumable", resumable)];

#[test]
fn what_was_inserted_under_an_odd_name_is_read_listed_and_deleted() {
    let gcs = gcs();
    for (how, insert) in WAYS {
        for name in ["data/a b/c", "ü/ñ/日本", "a+b", "100%", "a%2Fb", "x&y=z?#"] {
            let inserted = insert(&gcs, name, "content\r\n--not the boundary", "");
            assert_eq!((inserted.status, json(&inserted)["name"].as_str()), (200, Some(name)), "{how}");
            let object = format!("{OBJECTS}/{}", quoted(name));
            let got = ask(&gcs, &format!("GET {object}?alt=media"), &[], "");
            assert_eq!((got.status, got.text()), (200, "content\r\n--not the boundary"), "{how} {name}");
            assert_eq!(got.header("x-goog-generation"), json(&inserted)["generation"]);
            assert_eq!(json(&ask(&gcs, &format!("GET {object}"), &[], "")), json(&inserted));
            let listed = json(&ask(&gcs, &format!("GET {OBJECTS}"), &[], ""));
            assert_eq!(listed["items"], serde_json::json!([json(&inserted)]));
            assert_eq!(ask(&gcs, &format!("DELETE {object}"), &[], "").status, 204);
            assert_eq!(ask(&gcs, &format!("GET {object}"), &[], "").status, 404);
        }
    }
}

#[test]
fn each_way_to_write_is_conditional() {
    let gcs = gcs();
    for (how, insert) in WAYS {
        gcs.remove("name");
        let absent = "&ifGenerationMatch=0";
        let first = json(&insert(&gcs, "name", "first", absent))["generation"].as_str().unwrap().to_owned();
        let again = insert(&gcs, "name", "again", absent);
        assert_eq!(again.status, 412, "{how}");
        assert_eq!(json(&again)["error"]["errors"][0]["reason"], "conditionNotMet");
        let is_first = format!("&ifGenerationMatch={first}");
        assert_eq!(insert(&gcs, "name", "second", &is_first).status, 200, "{how}");
        assert_eq!(insert(&gcs, "name", "third", &is_first).status, 412, "{how}");
        let unchanged = format!("&ifGenerationNotMatch={first}");
        assert_eq!(insert(&gcs, "name", "third", &unchanged).status, 200, "{how}");
        assert_eq!(gcs.object("name").unwrap().to_bytes(), "third");
    }
    let generation = json(&ask(&gcs, &format!("GET {OBJECTS}/name"), &[], ""))["generation"].clone();
    let generation = generation.as_str().unwrap();
    let read =
        |condition: &str| ask(&gcs, &format!("GET {OBJECTS}/name?alt=media&{condition}"), &[], "").status;
    assert_eq!(read(&format!("ifGenerationNotMatch={generation}")), 304);
    assert_eq!(read(&format!("ifGenerationMatch={generation}")), 200);
    assert_eq!(read("ifGenerationMatch=7"), 412);
    for verb in ["rewriteTo", "copyTo"] {
        let copy = |condition: &str| {
            ask(&gcs, &format!("POST {OBJECTS}/name/{verb}/b/bucket/o/new?{condition}"), &[], "").status
        };
        gcs.remove("new");
        assert_eq!(copy("ifSourceGenerationMatch=7"), 412);
        assert_eq!(copy("ifGenerationMatch=7"), 412);
        assert_eq!(copy("ifGenerationMatch=0"), 200);
        assert_eq!(copy("ifGenerationMatch=0"), 412);
        assert_eq!(gcs.object("new"), gcs.object("name"));
    }
    let delete = |condition: &str| ask(&gcs, &format!("DELETE {OBJECTS}/name?{condition}"), &[], "").status;
    assert_eq!(delete("ifGenerationMatch=7"), 412);
    assert_eq!(delete(&format!("ifGenerationMatch={generation}")), 204);
}

#[test]
fn of_two_writers_at_once_one_wins_unless_the_store_lies() {
    for (conditions, expected) in [
        (Conditions::Honoured, (200, 412)),
        (Conditions::Ignored, (200, 200)),
        (Conditions::NotAtomic, (200, 200)),
    ] {
        let gcs = MemoryGcs::new(Options { conditions, ..Options::default() });
        let line = format!("POST {UPLOAD}?uploadType=media&name=x&ifGenerationMatch=0");
        let put = |content: &'static str| request(&line, &[], content);
        assert_eq!(both(&gcs, put("one"), put("two")), expected, "{conditions:?}");
    }
}

#[test]
fn a_resumable_upload_goes_on_where_it_was_and_appears_at_its_end() {
    let gcs = gcs();
    let at = at(&begin(&gcs, "big", "&ifGenerationMatch=0"));
    let chunk = 256 * 1024;
    let send =
        |range: &str, len: usize| ask(&gcs, &format!("PUT {at}"), &[("content-range", range)], vec![7; len]);
    let whole = 2 * chunk + 10;
    let first = send(&format!("bytes 0-{}/{whole}", chunk - 1), chunk);
    assert_eq!((first.status, first.header("range")), (308, format!("bytes=0-{}", chunk - 1).as_str()));
    assert_eq!(send(&format!("bytes 0-{}/{whole}", chunk - 1), chunk).status, 400, "it is there already");
    assert_eq!(send(&format!("bytes {chunk}-{}/{whole}", chunk + 9), 10).status, 400, "no whole chunk");
    let asked = send(&format!("bytes */{whole}"), 0);
    assert_eq!((asked.status, asked.header("range")), (308, first.header("range")));
    assert!(gcs.objects().is_empty());
    let last = send(&format!("bytes {chunk}-{}/{whole}", whole - 1), chunk + 10);
    assert_eq!((last.status, json(&last)["size"].as_str()), (200, Some(whole.to_string().as_str())));
    assert_eq!(gcs.object("big").unwrap().to_bytes(), vec![7; whole]);
    assert_eq!(send(&format!("bytes */{whole}"), 0).status, 404);
}

#[test]
fn a_resumable_upload_that_was_overtaken_fails_at_its_end() {
    let gcs = gcs();
    let begun = begin(&gcs, "name", "&ifGenerationMatch=0");
    gcs.insert("name", "theirs");
    assert_eq!(ask(&gcs, &format!("PUT {}", at(&begun)), &[], "mine").status, 412);
    assert_eq!(gcs.object("name").unwrap().to_bytes(), "theirs");
    assert_eq!(begin(&gcs, "name", "&ifGenerationMatch=0").status, 412);
}

#[test]
fn a_stranger_and_another_bucket_are_refused() {
    let gcs = MemoryGcs::new(Options { token: Some("token".into()), ..Options::default() });
    let list = |headers: &[(&str, &str)], bucket: &str| {
        ask(&gcs, &format!("GET /storage/v1/b/{bucket}/o"), headers, "").status
    };
    assert_eq!(list(&[], "bucket"), 401);
    assert_eq!(list(&[("authorization", "Bearer other")], "bucket"), 401);
    assert_eq!(list(&[("authorization", "Bearer token")], "bucket"), 200);
    assert_eq!(list(&[("authorization", "Bearer token")], "other"), 404);
    assert_eq!(gcs.log().counts()["objects.list"], 4);
}

#[test]
fn the_same_requests_get_the_same_answers_after_a_restore() {
    let gcs = gcs();
    let snapshot = gcs.snapshot();
    let script = |gcs: &MemoryGcs| {
        WAYS.map(|(how, insert)| {
            let mut answer = insert(gcs, how, "content", "");
            answer.headers.remove("x-guploader-uploadid");
            answer
        })
    };
    let first = script(&gcs);
    gcs.restore(&snapshot);
    assert!(gcs.objects().is_empty());
    assert_eq!(script(&gcs), first);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn the_pages_of_a_listing_are_the_whole_listing(
        names in proptest::collection::btree_set("[ab/+ ü]{1,6}", 0..30),
        prefix in "[ab/]{0,2}",
        delimited in any::<bool>(),
        page in 1_usize..5,
    ) {
        let gcs = MemoryGcs::new(Options { page, ..Options::default() });
        for name in &names {
            gcs.insert(name, "x");
        }
        let mut found = Vec::new();
        let mut token = String::new();
        let delimiter = if delimited { "&delimiter=/" } else { "" };
        loop {
            let listed = json(&ask(&gcs, &format!("GET {OBJECTS}?prefix={prefix}{delimiter}{token}"), &[], ""));
            let items = listed["items"].as_array().into_iter().flatten().map(|item| &item["name"]);
            let folders = listed["prefixes"].as_array().into_iter().flatten();
            let here: Vec<_> = items.chain(folders).map(|name| name.as_str().unwrap().to_owned()).collect();
            prop_assert!(here.len() <= page);
            found.extend(here);
            match listed["nextPageToken"].as_str() {
                Some(next) => token = format!("&pageToken={}", quoted(next)),
                None => break,
            }
        }
        let expected: BTreeSet<String> = names.iter().filter(|name| name.starts_with(&prefix)).map(|name| {
            match name[prefix.len()..].find('/') {
                Some(at) if delimited => name[..=prefix.len() + at].to_owned(),
                _ => name.clone(),
            }
        }).collect();
        prop_assert_eq!(found.len(), expected.len(), "something was listed twice");
        prop_assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected);
    }
}
