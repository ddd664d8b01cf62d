//! The S3 in memory answers as the real one does.

use std::collections::BTreeSet;

use crate::ask::{ask, both, request};
use lockkeeper_remotes::s3::{Keys, MemoryS3, Options};
use lockkeeper_remotes::{Conditions, Remote as _};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use proptest::prelude::*;

fn s3() -> MemoryS3 {
    MemoryS3::new(Options::default()).unwrap()
}

fn path(key: &str) -> String {
    format!("/bucket/{}", utf8_percent_encode(key, NON_ALPHANUMERIC))
}

const ODD: [&str; 8] =
    ["data/a b/c", "ü/ñ/日本", "a+b", "100%", "a%2Fb", "quo'te\"", "x&y=z?#", "data/.lock/../up"];

#[test]
fn what_was_put_under_an_odd_key_is_got_listed_and_deleted() {
    let s3 = s3();
    for (at, key) in ODD.iter().enumerate() {
        let put = ask(&s3, &format!("PUT {}", path(key)), &[], format!("content {at}"));
        assert_eq!(put.status, 200, "{key}: {put:?}");
        let got = ask(&s3, &format!("GET {}", path(key)), &[], "");
        assert_eq!((got.status, got.text()), (200, format!("content {at}").as_str()), "{key}");
        assert_eq!(got.header("etag"), put.header("etag"));
    }
    let listed = ask(&s3, "GET /bucket?list-type=2&encoding-type=url", &[], "");
    let keys = listed
        .tag("Key")
        .into_iter()
        .map(|key| percent_decode_str(&key.replace('+', " ")).decode_utf8().unwrap().into_owned());
    assert_eq!(keys.collect::<BTreeSet<_>>(), ODD.map(String::from).into());
    for key in ODD {
        assert_eq!(ask(&s3, &format!("DELETE {}", path(key)), &[], "").status, 204);
        assert_eq!(ask(&s3, &format!("GET {}", path(key)), &[], "").tag("Code"), ["NoSuchKey"]);
    }
    assert!(s3.objects().is_empty());
}

#[test]
fn a_part_of_an_object_is_read_by_range() {
    let s3 = s3();
    s3.insert("key", "0123456789");
    for (range, status, expected) in [
        ("bytes=2-4", 206, "234"),
        ("bytes=7-", 206, "789"),
        ("bytes=-2", 206, "89"),
        ("bytes=0-99", 206, "0123456789"),
    ] {
        let got = ask(&s3, "GET /bucket/key", &[("range", range)], "");
        assert_eq!((got.status, got.text()), (status, expected), "{range}");
        assert_eq!(got.header("content-length"), expected.len().to_string());
    }
    assert_eq!(ask(&s3, "GET /bucket/key", &[("range", "bytes=10-")], "").status, 416);
}

#[test]
fn writes_are_conditional_as_the_service_has_it() {
    let s3 = s3();
    let etag =
        |content: &str| ask(&s3, "PUT /bucket/etag", &[], content.to_owned()).header("etag").to_owned();
    let (old, new) = (etag("old"), etag("new"));
    for (key, existing) in [("there", Some("old")), ("gone", None)] {
        for (header, value, expected) in [
            ("if-none-match", "*", if existing.is_some() { 412 } else { 200 }),
            ("if-none-match", &old, 501),
            ("if-match", &old, if existing.is_some() { 200 } else { 404 }),
            ("if-match", &new, if existing.is_some() { 412 } else { 404 }),
            ("if-match", "*", if existing.is_some() { 200 } else { 404 }),
        ] {
            s3.remove(key);
            s3.insert("source", "new");
            if let Some(content) = existing {
                s3.insert(key, content);
            }
            let put = ask(&s3, &format!("PUT /bucket/{key}"), &[(header, value)], "new");
            assert_eq!(put.status, expected, "{key} {header}: {value}");
            let now = s3.object(key).map(|content| content.to_bytes());
            let wanted = if expected == 200 { Some("new") } else { existing };
            assert_eq!(now.as_deref(), wanted.map(str::as_bytes), "{key} {header}: {value}");

            s3.remove(key);
            if let Some(content) = existing {
                s3.insert(key, content);
            }
            let copy = [(header, value), ("x-amz-copy-source", "/bucket/source")];
            assert_eq!(ask(&s3, &format!("PUT /bucket/{key}"), &copy, "").status, expected, "copy {key}");
        }
    }
    s3.insert("there", "old");
    assert_eq!(ask(&s3, "DELETE /bucket/there", &[("if-match", &new)], "").status, 412);
    assert_eq!(ask(&s3, "DELETE /bucket/there", &[("if-match", &old)], "").status, 204);
}

#[test]
fn reads_are_conditional_and_an_unchanged_object_is_not_sent() {
    let s3 = s3();
    let put = ask(&s3, "PUT /bucket/key", &[], "content");
    let etag = put.header("etag");
    let unchanged = ask(&s3, "GET /bucket/key", &[("if-none-match", etag)], "");
    assert_eq!((unchanged.status, unchanged.text()), (304, ""));
    assert_eq!(ask(&s3, "GET /bucket/key", &[("if-none-match", "\"other\"")], "").text(), "content");
    assert_eq!(ask(&s3, "GET /bucket/key", &[("if-match", "\"other\"")], "").status, 412);
    assert_eq!(ask(&s3, "GET /bucket/none", &[("if-none-match", etag)], "").status, 404);
}

#[test]
fn of_two_writers_at_once_one_wins_unless_the_store_lies() {
    for (conditions, expected) in [
        (Conditions::Honoured, (200, 412)),
        (Conditions::Ignored, (200, 200)),
        (Conditions::NotAtomic, (200, 200)),
    ] {
        let s3 = MemoryS3::new(Options { conditions, ..Options::default() }).unwrap();
        let put = |content: &'static str| request("PUT /bucket/key", &[("if-none-match", "*")], content);
        assert_eq!(both(&s3, put("one"), put("two")), expected, "{conditions:?}");
        let late = ask(&s3, "PUT /bucket/key", &[("if-none-match", "*")], "three").status;
        assert_eq!(late, if conditions == Conditions::Ignored { 200 } else { 412 }, "{conditions:?}");
    }
}

#[test]
fn a_body_that_is_not_what_was_announced_is_refused() {
    let s3 = s3();
    for (header, value, code) in [
        ("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg==", "BadDigest"),
        ("x-amz-checksum-crc32c", "AAAAAA==", "BadDigest"),
        ("x-amz-checksum-sha256", "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", "BadDigest"),
    ] {
        let put = ask(&s3, "PUT /bucket/key", &[(header, value)], "content");
        assert_eq!((put.status, &put.tag("Code")[..]), (400, &[code][..]), "{header}");
    }
    let mut unmeasured = request("PUT /bucket/key", &[], "content");
    unmeasured.headers_mut().remove("content-length");
    let put = crate::ask::read(futures::executor::block_on(s3.handle(unmeasured)));
    assert_eq!((put.status, put.tag("Code")), (411, vec!["MissingContentLength"]));
    assert_eq!(s3.objects().len(), 0);
}

#[test]
fn another_bucket_does_not_exist() {
    let s3 = s3();
    for line in ["PUT /other/key", "GET /other/key", "GET /other?list-type=2", "DELETE /other/key"] {
        assert_eq!(ask(&s3, line, &[], "").tag("Code"), ["NoSuchBucket"], "{line}");
    }
    assert_eq!(ask(&s3, "HEAD /other", &[], "").status, 404);
    assert_eq!(ask(&s3, "HEAD /bucket", &[], "").status, 200);
}

#[test]
fn a_bucket_is_a_host_name_below_a_domain() {
    let s3 = MemoryS3::new(Options { domain: Some("s3.test".into()), ..Options::default() }).unwrap();
    let mut put = request("PUT /a/key", &[], "content");
    put.headers_mut().insert("host", "bucket.s3.test:9000".parse().unwrap());
    assert_eq!(futures::executor::block_on(s3.handle(put)).status(), 200);
    assert_eq!(s3.objects().into_keys().collect::<Vec<_>>(), ["a/key"]);
    assert_eq!(s3.log().0[0].key, "a/key");
}

#[test]
fn nobody_unsigned_gets_past_keys() {
    let keys =
        Keys { access_key: "AKIA".into(), secret_key: "secret".into(), session_token: None, region: None };
    let s3 = MemoryS3::new(Options { keys: Some(keys), ..Options::default() }).unwrap();
    let denied = ask(&s3, "PUT /bucket/key", &[], "content");
    assert_eq!((denied.status, denied.tag("Code")), (403, vec!["AccessDenied"]));
    assert!(s3.objects().is_empty());
}

const PART: usize = 5 * 1024 * 1024;

fn begin(s3: &MemoryS3) -> String {
    ask(s3, "POST /bucket/key?uploads", &[], "").tag("UploadId")[0].to_owned()
}

fn part(s3: &MemoryS3, id: &str, number: u32, bytes: Vec<u8>) -> String {
    let put = ask(s3, &format!("PUT /bucket/key?partNumber={number}&uploadId={id}"), &[], bytes);
    put.header("etag").to_owned()
}

fn complete(s3: &MemoryS3, id: &str, parts: &[(u32, &str)], headers: &[(&str, &str)]) -> crate::ask::Answer {
    let parts = parts
        .iter()
        .map(|(number, etag)| format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"));
    let body = format!("<CompleteMultipartUpload>{}</CompleteMultipartUpload>", parts.collect::<String>());
    ask(s3, &format!("POST /bucket/key?uploadId={id}"), headers, body)
}

#[test]
fn an_upload_in_parts_appears_whole_when_it_is_completed_and_not_before() {
    let s3 = s3();
    let id = begin(&s3);
    let second = part(&s3, &id, 2, b"the end".to_vec());
    _ = part(&s3, &id, 1, vec![6; PART]);
    let first = part(&s3, &id, 1, vec![7; PART]);
    assert!(s3.objects().is_empty());
    let done = complete(&s3, &id, &[(1, &first), (2, &second)], &[]);
    assert_eq!(done.status, 200, "{done:?}");
    let content = s3.object("key").unwrap().to_bytes();
    assert!(content[..PART].iter().all(|byte| *byte == 7) && &content[PART..] == b"the end");
    assert!(ask(&s3, "HEAD /bucket/key", &[], "").header("etag").ends_with("-2\""));
    assert_eq!(complete(&s3, &id, &[(1, &first)], &[]).tag("Code"), ["NoSuchUpload"]);
    assert_eq!(s3.open_uploads(), 0);
}

#[test]
fn an_upload_is_refused_if_its_parts_are_small_unknown_or_out_of_order_and_can_be_given_up() {
    let s3 = s3();
    let id = begin(&s3);
    let small = part(&s3, &id, 1, b"small".to_vec());
    let last = part(&s3, &id, 2, b"last".to_vec());
    for (parts, code) in [
        (&[(1, &*small), (2, &*last)][..], "EntityTooSmall"),
        (&[(2, &*last), (1, &*small)], "InvalidPartOrder"),
        (&[(1, &*last)], "InvalidPart"),
        (&[(3, &*last)], "InvalidPart"),
        (&[], "MalformedXML"),
    ] {
        assert_eq!(complete(&s3, &id, parts, &[]).tag("Code"), [code]);
    }
    assert_eq!((s3.objects().len(), s3.open_uploads()), (0, 1));
    assert_eq!(ask(&s3, &format!("DELETE /bucket/key?uploadId={id}"), &[], "").status, 204);
    assert_eq!(s3.open_uploads(), 0);
}

#[test]
fn completing_an_upload_is_conditional_and_a_failed_condition_leaves_it_open() {
    let s3 = s3();
    let id = begin(&s3);
    let only = part(&s3, &id, 1, b"mine".to_vec());
    s3.insert("key", "theirs");
    let none = [("if-none-match", "*")];
    assert_eq!(complete(&s3, &id, &[(1, &only)], &none).tag("Code"), ["PreconditionFailed"]);
    assert_eq!(s3.object("key").unwrap().to_bytes(), "theirs");
    s3.remove("key");
    assert_eq!(complete(&s3, &id, &[(1, &only)], &none).status, 200);
    assert_eq!(s3.object("key").unwrap().to_bytes(), "mine");
}

#[test]
fn the_same_requests_get_the_same_answers_after_a_restore() {
    let s3 = s3();
    s3.insert("before", "kept");
    let snapshot = s3.snapshot();
    let script = |s3: &MemoryS3| {
        let id = begin(s3);
        let etag = part(s3, &id, 1, b"part".to_vec());
        let mut answers = vec![
            complete(s3, &id, &[(1, &etag)], &[]),
            ask(s3, "PUT /bucket/x", &[], "x"),
            ask(s3, "DELETE /bucket/before", &[], ""),
            ask(s3, "GET /bucket?list-type=2", &[], ""),
        ];
        // Requests are numbered on, as they should be.
        answers.iter_mut().for_each(|answer| _ = answer.headers.remove("x-amz-request-id"));
        answers
    };
    let first = script(&s3);
    assert_eq!(s3.objects().into_keys().collect::<Vec<_>>(), ["key", "x"]);
    s3.restore(&snapshot);
    assert_eq!(s3.objects().into_keys().collect::<Vec<_>>(), ["before"]);
    assert_eq!(script(&s3), first);
    assert_eq!(s3.log().counts()["PutObject"], 2);
    s3.clear_log();
    assert!(s3.log().is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn the_pages_of_a_listing_are_the_whole_listing(
        keys in proptest::collection::btree_set("[ab/+ ü]{1,6}", 0..30),
        prefix in "[ab/]{0,2}",
        delimited in any::<bool>(),
        page in 1_usize..5,
    ) {
        let s3 = MemoryS3::new(Options { page, ..Options::default() }).unwrap();
        for key in &keys {
            s3.insert(key, "x");
        }
        let mut found = BTreeSet::new();
        let mut count = 0;
        let mut token = String::new();
        let decode = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8().unwrap().into_owned();
        loop {
            let delimiter = if delimited { "&delimiter=%2F" } else { "" };
            let listed = ask(
                &s3,
                &format!("GET /bucket?list-type=2&encoding-type=url&prefix={prefix}{delimiter}{token}"),
                &[],
                "",
            );
            prop_assert_eq!(listed.status, 200);
            let listed_keys = listed.tag("Key");
            // The first is the request's own prefix.
            let folders = listed.tag("CommonPrefixes").len();
            let prefixes: Vec<_> = listed.text().split("<CommonPrefixes><Prefix>").skip(1)
                .map(|rest| decode(rest.split('<').next().unwrap())).collect();
            prop_assert!(listed_keys.len() + folders <= page);
            count += listed_keys.len() + folders;
            found.extend(listed_keys.into_iter().map(decode));
            found.extend(prefixes);
            match listed.tag("NextContinuationToken").first() {
                Some(next) => token = format!("&continuation-token={next}"),
                None => break,
            }
        }
        let expected: BTreeSet<String> = keys.iter().filter(|key| key.starts_with(&prefix)).map(|key| {
            match key[prefix.len()..].find('/') {
                Some(at) if delimited => key[..=prefix.len() + at].to_owned(),
                _ => key.clone(),
            }
        }).collect();
        prop_assert_eq!(count, expected.len(), "something was listed twice");
        prop_assert_eq!(found, expected);
    }
}
