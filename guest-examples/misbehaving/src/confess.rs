//! Telling everything it knows, by every way out that there is.

use std::fmt::Write;

use lockkeeper_sdk::bindings::lockkeeper::datastore::host;
use lockkeeper_sdk::bindings::wasi::config::store;
use lockkeeper_sdk::{Error, Failure, Level};
use wasip2::http::outgoing_handler;
use wasip2::http::types::{ErrorCode, Fields, IncomingResponse, Method, OutgoingRequest, Scheme};
use wasip2::io::streams::StreamError;

/// Headers that it has no business to set, on top of honest ones.
const HEADERS: [(&str, &str); 6] = [
    ("authorization", "Forged by-the-guest"),
    ("x-amz-security-token", "forged-by-the-guest"),
    ("x-amz-date", "20000101T000000Z"),
    ("cookie", "forged=by-the-guest"),
    ("x-honest", "honest"),
    ("x-amz-meta-spaces", "some   more  spaces"),
];

/// Sends each request, a line such as `GET http://host/path`, follows where it is sent, and tells what came of it all.
pub(crate) fn everything(requests: &str) -> Error {
    let mut said = String::new();
    for (name, value) in std::env::vars() {
        _ = writeln!(said, "variable {name}={value}");
    }
    for argument in std::env::args() {
        _ = writeln!(said, "argument {argument}");
    }
    for (key, value) in store::get_all().unwrap_or_default() {
        _ = writeln!(said, "value {key}={value}");
    }
    for line in requests.lines() {
        request(line, &mut said);
    }
    println!("{said}");
    eprint!("{}{said}", "x".repeat(8190));
    host::log(Level::Error, &said);
    Error::Fatal(Failure {
        message: said.clone(),
        path: Some(said.clone()),
        status: None,
        request_id: Some(said),
        retry_after: None,
    })
}

fn request(line: &str, said: &mut String) {
    _ = writeln!(said, "request {line}");
    match send(line) {
        Ok(answer) => {
            _ = writeln!(said, "status {}", answer.status());
            let mut location = None;
            for (name, value) in answer.headers().entries() {
                let value = String::from_utf8_lossy(&value).into_owned();
                _ = writeln!(said, "header {name}: {value}");
                if name.eq_ignore_ascii_case("location") {
                    location = Some(value);
                }
            }
            _ = writeln!(said, "body {}", String::from_utf8_lossy(&body(&answer)));
            if let Some(location) = location {
                request(&format!("GET {location}"), said);
            }
        }
        Err(error) => _ = writeln!(said, "no answer: {error:?}"),
    }
}

fn send(line: &str) -> Result<IncomingResponse, ErrorCode> {
    let (method, url) = line.split_once(' ').ok_or(ErrorCode::HttpRequestUriInvalid)?;
    let (scheme, rest) = url.split_once("://").ok_or(ErrorCode::HttpRequestUriInvalid)?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let fields = Fields::new();
    for (name, value) in HEADERS {
        // What can't be set is not sent.
        _ = fields.append(name, value.as_bytes());
    }
    if method == "PUT" {
        // Without a length, some servers take none.
        _ = fields.append("content-length", b"0");
    }
    let request = OutgoingRequest::new(fields);
    let method = match method {
        "GET" => Method::Get,
        "PUT" => Method::Put,
        other => Method::Other(other.to_owned()),
    };
    let scheme = if scheme == "https" { Scheme::Https } else { Scheme::Http };
    let set = request.set_method(&method).and(request.set_scheme(Some(&scheme)));
    set.and(request.set_authority(Some(authority)))
        .and(request.set_path_with_query(Some(path)))
        .map_err(|()| ErrorCode::HttpRequestUriInvalid)?;
    let answer = outgoing_handler::handle(request, None)?;
    answer.subscribe().block();
    match answer.get() {
        Some(Ok(answer)) => answer,
        _ => Err(ErrorCode::InternalError(None)),
    }
}

fn body(answer: &IncomingResponse) -> Vec<u8> {
    let mut bytes = Vec::new();
    let Ok(body) = answer.consume() else { return bytes };
    let Ok(stream) = body.stream() else { return bytes };
    loop {
        match stream.blocking_read(64 * 1024) {
            Ok(piece) => bytes.extend(piece),
            Err(StreamError::Closed) => return bytes,
            Err(StreamError::LastOperationFailed(error)) => {
                bytes.extend(format!(" cut off: {}", error.to_debug_string()).into_bytes());
                return bytes;
            }
        }
    }
}
