//! What comes back from a bound origin: nothing of what the host sent along may reach the guest.

use http::header::AUTHORIZATION;
use http::{HeaderMap, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use wasmtime_wasi_http::{Error, WasiBody};

use crate::denial::Denials;
use crate::grants::HttpOrigin;
use crate::secret::{Secret, Secrets};
use crate::trouble::Trouble;

/// The longest error document that is passed on. Objects are longer, and aren't looked at.
const LONGEST: usize = 1 << 20;

/// How far clocks may be apart before a refusal is put down to them. Services allow 15 minutes.
const CLOSE: i64 = 5 * 60;

/// Codes of S3 and its like that mean that the credentials are no good.
const REFUSALS: [&str; 6] = [
    "ExpiredToken",
    "InvalidToken",
    "TokenRefreshRequired",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "InvalidSecurity",
];

/// What the host put into one request.
pub(crate) struct Given {
    origin: String,
    secrets: Secrets,
    source: (String, &'static str),
    is_signature: bool,
}

impl Given {
    pub(super) fn new(origin: &HttpOrigin, headers: &HeaderMap, source: (String, &'static str)) -> Self {
        let mut given: Vec<Secret> = Vec::new();
        let mut is_signature = false;
        for (_, value) in headers.iter().filter(|(_, value)| value.is_sensitive()) {
            let Ok(text) = value.to_str() else { continue };
            is_signature |= text.starts_with("AWS4-");
            given.push(text.to_owned().into());
            if let Some((scheme, rest)) = text.split_once(' ') {
                given.push(rest.to_owned().into());
                let pair =
                    (scheme == "Basic").then(|| reqsign_core::hash::base64_decode(rest).ok()).flatten();
                let password =
                    pair.and_then(|pair| Some(String::from_utf8(pair).ok()?.split_once(':')?.1.to_owned()));
                given.extend(password.map(Secret::from));
            }
        }
        Self { origin: origin.to_string(), secrets: Secrets::new(&given), source, is_signature }
    }

    /// The answer without what the host sent along, as far as headers and error documents go.
    pub(crate) async fn clean(
        &self,
        answer: Response<WasiBody>,
        denials: &Denials,
    ) -> Result<Response<WasiBody>, Error> {
        let (mut parts, body) = answer.into_parts();
        let echoes = |value: &http::HeaderValue| {
            let mut bytes = value.as_bytes().to_vec();
            self.secrets.blot(&mut bytes);
            bytes != value.as_bytes()
        };
        let echoed: Vec<_> =
            parts.headers.iter().filter(|(_, value)| echoes(value)).map(|(name, _)| name.clone()).collect();
        for name in echoed.iter().chain([&AUTHORIZATION]) {
            parts.headers.remove(name);
        }
        if !parts.status.is_client_error() && !parts.status.is_server_error() {
            return Ok(Response::from_parts(parts, body));
        }
        let document =
            Limited::new(body, LONGEST).collect().await.map_err(|error| match error.downcast::<Error>() {
                Ok(error) => *error,
                Err(_) => Error::HttpResponseBodySize(Some(LONGEST as u64)),
            })?;
        let mut document = document.to_bytes().to_vec();
        self.secrets.blot(&mut document);
        if let Some(trouble) = self.trouble(parts.status, &parts.headers, &document) {
            denials.trouble(trouble);
        }
        let body = Full::new(document.into()).map_err(|never| match never {}).boxed_unsync();
        Ok(Response::from_parts(parts, body))
    }

    /// What a refusal means for who runs the command.
    fn trouble(&self, status: StatusCode, headers: &HeaderMap, document: &[u8]) -> Option<Trouble> {
        let origin = self.origin.clone();
        let code = code(document);
        let refused = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
        if self.is_signature && (refused || code.as_deref() == Some("RequestTimeTooSkewed")) {
            let ahead = ahead(headers).unwrap_or(0);
            if code.as_deref() == Some("RequestTimeTooSkewed") || ahead.abs() > CLOSE {
                return Some(Trouble::Clock { origin, ahead });
            }
        }
        let code = match code {
            Some(code) if REFUSALS.contains(&code.as_str()) => code,
            _ if status == StatusCode::UNAUTHORIZED => status.as_u16().to_string(),
            _ => return None,
        };
        let (source, remedy) = self.source.clone();
        Some(Trouble::Refused { origin, code, source, remedy: remedy.to_owned() })
    }
}

/// The code in an error document of S3's kind.
fn code(document: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(document);
    let (_, rest) = text.split_once("<Code>")?;
    let (code, _) = rest.split_once("</Code>")?;
    (code.len() < 64 && code.chars().all(|c| c.is_ascii_alphanumeric())).then(|| code.to_owned())
}

/// By how many seconds this machine's clock is ahead of the one that wrote the headers.
fn ahead(headers: &HeaderMap) -> Option<i64> {
    let seconds = |time: std::time::SystemTime| -> Option<i64> {
        time.duration_since(std::time::UNIX_EPOCH).ok()?.as_secs().try_into().ok()
    };
    let theirs = httpdate::parse_http_date(headers.get(http::header::DATE)?.to_str().ok()?).ok()?;
    Some(seconds(std::time::SystemTime::now())? - seconds(theirs)?)
}
