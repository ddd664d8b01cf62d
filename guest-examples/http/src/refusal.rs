//! Answers that are not the wanted one.

use std::time::Duration;

use http::StatusCode;
use lockkeeper_sdk::Error;

use crate::Response;

/// The longest part of an answer's text that goes into an error.
const LONGEST: usize = 1024;

/// An answer that is not the wanted one, or no answer at all.
#[derive(Debug)]
pub struct Refusal {
    /// The status; absent if there was no answer.
    pub status: Option<StatusCode>,
    /// The store's own word for what is wrong; empty if there is none.
    pub code: String,
    /// What it means.
    pub error: Error,
}

impl Refusal {
    /// Reads what an answer says. `judge` gets its status and its text, and finds the store's code and what it means;
    /// status, request id and the time to wait are added here.
    pub async fn read(
        response: Response,
        request_id: Option<&str>,
        judge: impl FnOnce(StatusCode, &Response, &str) -> (String, Error),
    ) -> Self {
        let status = response.status;
        let head = response.head();
        let (code, error) = match response.said().await {
            Ok(text) => judge(status, &head, &String::from_utf8_lossy(&text)),
            // What it means is in what didn't arrive.
            Err(error) => (String::new(), error),
        };
        let mut error = error.with_status(status.as_u16());
        if let Some(id) = request_id.and_then(|name| head.header(name)) {
            error = error.with_request_id(id);
        }
        if let Some(time) = head.header("retry-after").and_then(seconds) {
            error = error.after(time);
        }
        Self { status: Some(status), code, error }
    }

    /// Whether the answer has this status.
    pub fn is(&self, status: StatusCode) -> bool {
        self.status == Some(status)
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self { status: None, code: String::new(), error }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        refusal.error
    }
}

/// What a status means where the store's own code says nothing more.
pub fn by_status(status: StatusCode, message: String) -> Error {
    match status.as_u16() {
        408 | 425 | 429 | 500 | 502..=504 => Error::retry(message),
        401 | 407 => Error::reauthenticate(message),
        301..=308 => Error::config(format!("{message}; redirects are not followed")),
        _ => Error::fatal(message),
    }
}

/// The beginning of a text, in one line.
pub fn excerpt(text: &str) -> String {
    let mut short: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = short.char_indices().nth(LONGEST) {
        short.truncate(end);
        short.push('…');
    }
    short
}

/// Stores give the time to wait in seconds, never as a date.
fn seconds(text: &str) -> Option<Duration> {
    text.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_says_what_to_do() {
        let kind = |status: u16| by_status(StatusCode::from_u16(status).unwrap(), "m".to_owned());
        for status in [408, 429, 500, 502, 503, 504] {
            assert!(matches!(kind(status), Error::Retry(_)), "{status}");
        }
        assert!(matches!(kind(401), Error::Reauthenticate(_)));
        assert!(matches!(kind(307), Error::Config(_)));
        for status in [400, 403, 404, 501, 507] {
            assert!(matches!(kind(status), Error::Fatal(_)), "{status}");
        }
    }

    #[test]
    fn a_time_to_wait_is_read_in_seconds() {
        assert_eq!(seconds("7"), Some(Duration::from_secs(7)));
        assert_eq!(seconds("Wed, 21 Oct 2015 07:28:00 GMT"), None);
    }

    #[test]
    fn an_excerpt_is_short_and_one_line() {
        assert_eq!(excerpt("a\n  b"), "a b");
        assert_eq!(excerpt(&"é".repeat(5000)).chars().count(), LONGEST + 1);
    }
}
