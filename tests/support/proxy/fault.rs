//! What goes wrong, in each service's own words.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

/// Whose words an error is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// XML.
    S3,
    /// JSON.
    Gcs,
    /// MongoDB's wire protocol.
    Mongo,
}

/// One thing that goes wrong with one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// 500, and nothing was done.
    Internal,
    /// 503 with `Retry-After: 1`, and nothing was done.
    Unavailable,
    /// 403, and nothing was done.
    Forbidden,
    /// 404: the bucket isn't there. MongoDB has no such thing.
    NoBucket,
    /// The answer to credentials whose time is over.
    Expired,
    /// The connection is reset while the request's body is on its way; nothing was done.
    ResetRequest,
    /// It was done, but the connection is reset before anything of the answer is there.
    LoseAnswer,
    /// It was done, but the connection is reset in the middle of the answer's body.
    ResetAnswer,
    /// It was done, and the connection is closed in good order in the middle of the answer's body.
    Truncate,
    /// It was done, and the answer's body is shorter, with a length to match.
    Shorten,
    /// It was done, and nothing of the answer ever comes.
    Stall,
    /// It was done, and the answer names another version of the object than the one that is there. MongoDB has no such thing.
    WrongVersion,
}

/// All of them.
pub const FAULTS: [Fault; 12] = [
    Fault::Internal,
    Fault::Unavailable,
    Fault::Forbidden,
    Fault::NoBucket,
    Fault::Expired,
    Fault::ResetRequest,
    Fault::LoseAnswer,
    Fault::ResetAnswer,
    Fault::Truncate,
    Fault::Shorten,
    Fault::Stall,
    Fault::WrongVersion,
];

impl Service {
    /// The answer to a request that is refused, if the fault is a refusal.
    pub(super) fn refuses(self, fault: Fault) -> Option<Response<Bytes>> {
        let s3 = self == Self::S3;
        let (status, code) = match fault {
            Fault::Internal => (500, if s3 { "InternalError" } else { "backendError" }),
            Fault::Unavailable => (503, if s3 { "SlowDown" } else { "backendError" }),
            Fault::Forbidden => (403, if s3 { "AccessDenied" } else { "forbidden" }),
            Fault::NoBucket => (404, if s3 { "NoSuchBucket" } else { "notFound" }),
            Fault::Expired if s3 => (400, "ExpiredToken"),
            Fault::Expired => (401, "authError"),
            _ => return None,
        };
        let message = "A fault, injected by the test.";
        let body = if s3 {
            format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message>\
                 <RequestId>INJECTED</RequestId></Error>"
            )
        } else {
            // The service says in words what isn't there.
            let message =
                if fault == Fault::NoBucket { "The specified bucket does not exist." } else { message };
            serde_json::json!({ "error": {
                "code": status, "message": message,
                "errors": [{ "domain": "global", "reason": code, "message": message }],
            } })
            .to_string()
        };
        let kind = if s3 { "application/xml" } else { "application/json; charset=UTF-8" };
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        response.headers_mut().insert("x-amz-request-id", HeaderValue::from_static("INJECTED"));
        if fault == Fault::Unavailable {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        Some(response)
    }

    /// Makes an answer name another version.
    pub(super) fn mislead(self, headers: &mut HeaderMap, body: Bytes) -> Bytes {
        let other = HeaderValue::from_static("\"00000000000000000000000000000000\"");
        if headers.contains_key(header::ETAG) {
            headers.insert(header::ETAG, other);
        }
        if headers.contains_key("x-goog-generation") {
            headers.insert("x-goog-generation", HeaderValue::from_static("1"));
        }
        match (self, serde_json::from_slice::<serde_json::Value>(&body)) {
            (Self::Gcs, Ok(serde_json::Value::Object(mut fields))) if fields.contains_key("generation") => {
                fields.insert("generation".into(), "1".into());
                Bytes::from(serde_json::to_vec(&fields).unwrap())
            }
            _ => body,
        }
    }
}
