//! Answers as the service words them.

use http::{HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};

use crate::{Body, body};

/// Why a request fails.
pub(super) enum Failed {
    Unauthenticated,
    NoBucket,
    NotFound,
    NotModified,
    Precondition,
    Range,
    Gone,
    Invalid(String),
}

pub(super) fn json(status: StatusCode, value: &Value) -> Response<Body> {
    let mut response = Response::new(body(value.to_string()));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("application/json; charset=UTF-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

pub(super) fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(body(""));
    *response.status_mut() = status;
    response
}

pub(super) fn failure(failed: &Failed) -> Response<Body> {
    let (status, reason, message) = match failed {
        Failed::NotModified => return empty(StatusCode::NOT_MODIFIED),
        Failed::Unauthenticated => (StatusCode::UNAUTHORIZED, "authError", "Invalid Credentials"),
        Failed::NoBucket => (StatusCode::NOT_FOUND, "notFound", "The specified bucket does not exist."),
        Failed::NotFound => (StatusCode::NOT_FOUND, "notFound", "No such object"),
        Failed::Precondition => (
            StatusCode::PRECONDITION_FAILED,
            "conditionNotMet",
            "At least one of the pre-conditions you specified did not hold.",
        ),
        Failed::Range => (
            StatusCode::RANGE_NOT_SATISFIABLE,
            "requestedRangeNotSatisfiable",
            "Request range not satisfiable",
        ),
        Failed::Gone => (StatusCode::GONE, "gone", "The upload is gone."),
        Failed::Invalid(message) => (StatusCode::BAD_REQUEST, "invalid", message.as_str()),
    };
    let errors = json!([{ "domain": "global", "reason": reason, "message": message }]);
    let error = json!({ "error": { "code": status.as_u16(), "message": message, "errors": errors } });
    json(status, &error)
}
