//! The documents that the protocol speaks in.

use lockkeeper_sdk::{Error, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// What went wrong.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", rename = "Error")]
pub(crate) struct Fault {
    #[serde(default)]
    pub(crate) code: String,
    #[serde(default)]
    pub(crate) message: String,
    /// The region that the bucket is in, where that is what is wrong.
    pub(crate) region: Option<String>,
    /// The endpoint to use, where that is what is wrong.
    pub(crate) endpoint: Option<String>,
}

impl Fault {
    /// Reads an answer; `None` if it is not the store's word for a failure.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        // Serde takes any root element. An upload that takes long to complete is answered with leading spaces.
        let body = text.trim_start().trim_start_matches('\u{feff}');
        let body = match body.strip_prefix("<?xml") {
            Some(rest) => rest.split_once("?>")?.1.trim_start(),
            None => body,
        };
        let root = body.strip_prefix("<Error")?;
        if !root.starts_with(['>', ' ', '\n', '\r', '\t']) {
            return None;
        }
        quick_xml::de::from_str(body).ok().filter(|fault: &Self| !fault.code.is_empty())
    }
}

/// One page of a listing.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListBucketResult {
    pub(crate) is_truncated: bool,
    pub(crate) next_continuation_token: Option<String>,
    pub(crate) encoding_type: Option<String>,
    #[serde(default)]
    pub(crate) contents: Vec<Contents>,
}

/// One object of a listing.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Contents {
    pub(crate) key: String,
    pub(crate) size: u64,
    #[serde(rename = "ETag")]
    pub(crate) etag: Option<String>,
}

/// An upload that begins.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct InitiateMultipartUploadResult {
    pub(crate) upload_id: String,
}

/// The answer to a copy of a part.
#[derive(Debug, Deserialize)]
pub(crate) struct CopyPartResult {
    #[serde(rename = "ETag")]
    pub(crate) etag: String,
}

/// The parts of an upload, as the request to complete it names them.
pub(crate) fn complete_multipart_upload(etags: &[String]) -> String {
    let mut text = String::from("<CompleteMultipartUpload>");
    for (number, etag) in (1..).zip(etags) {
        let etag = quick_xml::escape::escape(etag.as_str());
        text.push_str(&format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"));
    }
    text.push_str("</CompleteMultipartUpload>");
    text
}

/// Reads an answer that should be a document of this kind.
pub(crate) fn parse<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T> {
    let text = String::from_utf8_lossy(bytes);
    quick_xml::de::from_str(&text)
        .map_err(|error| Error::retry(format!("the answer to {what} can't be read: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_told_from_any_other_answer() {
        let fault = Fault::parse(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>NoSuchKey</Code><Message>a &amp; b</Message>\
             <Key>k</Key><RequestId>1</RequestId></Error>",
        )
        .unwrap();
        assert_eq!((fault.code.as_str(), fault.message.as_str()), ("NoSuchKey", "a & b"));
        let late = Fault::parse("<?xml version=\"1.0\"?>\n   \n <Error><Code>InternalError</Code></Error>");
        assert_eq!(late.unwrap().code, "InternalError");
        for other in [
            "",
            "Not found",
            "<html><body><Code>NoSuchKey</Code></body></html>",
            "<Errors><Code>NoSuchKey</Code></Errors>",
            "<Error></Error>",
            "<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>",
        ] {
            assert!(Fault::parse(other).is_none(), "{other}");
        }
    }

    #[test]
    fn a_listing_is_read() {
        let page: ListBucketResult = parse(
            "a listing",
            b"<?xml version=\"1.0\"?><ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>b</Name>\
              <Prefix/><EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>\
              <Contents><Key>a+b</Key><ETag>&quot;e&quot;</ETag><Size>3</Size><Owner><ID>1</ID></Owner></Contents>\
              <CommonPrefixes><Prefix>c</Prefix></CommonPrefixes>\
              <Contents><Key>d</Key><Size>0</Size></Contents>\
              <NextContinuationToken>t</NextContinuationToken></ListBucketResult>",
        )
        .unwrap();
        assert!(page.is_truncated);
        assert_eq!(page.next_continuation_token.as_deref(), Some("t"));
        let found: Vec<_> =
            page.contents.iter().map(|it| (it.key.as_str(), it.size, it.etag.as_deref())).collect();
        assert_eq!(found, [("a+b", 3, Some("\"e\"")), ("d", 0, None)]);
    }

    #[test]
    fn an_empty_listing_is_read_and_a_broken_one_may_pass() {
        let page: ListBucketResult =
            parse("a listing", b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>")
                .unwrap();
        assert!(page.contents.is_empty());
        assert!(matches!(parse::<ListBucketResult>("a listing", b"<ListBucket"), Err(Error::Retry(_))));
    }

    #[test]
    fn the_parts_of_an_upload_are_numbered_and_escaped() {
        assert_eq!(
            complete_multipart_upload(&["\"a\"".to_owned(), "<".to_owned()]),
            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>&quot;a&quot;</ETag></Part>\
             <Part><PartNumber>2</PartNumber><ETag>&lt;</ETag></Part></CompleteMultipartUpload>"
        );
    }
}
