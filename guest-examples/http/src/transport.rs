//! What it means that a request got no answer, or that an answer broke off.

use lockkeeper_sdk::Error;
use wasip2::http::types::ErrorCode;

/// Turns the host's word for a failed exchange into an error: nearly all of them may pass.
pub(crate) fn failed(code: &ErrorCode, origin: &str) -> Error {
    match code {
        ErrorCode::HttpRequestDenied => Error::config(format!(
            "a request to {origin} was refused by the host: grant it with `http = [{origin:?}]` in [datastore.grants]"
        )),
        ErrorCode::DestinationIpProhibited => Error::config(format!(
            "{origin} leads to an address that the host doesn't let this extension reach"
        )),
        ErrorCode::TlsCertificateError => {
            Error::fatal(format!("{origin} shows a certificate that is not trusted"))
        }
        ErrorCode::HttpRequestUriInvalid
        | ErrorCode::HttpRequestUriTooLong
        | ErrorCode::HttpRequestMethodInvalid
        | ErrorCode::HttpRequestHeaderSectionSize(_)
        | ErrorCode::HttpRequestHeaderSize(_)
        | ErrorCode::HttpRequestLengthRequired => {
            Error::fatal(format!("a request to {origin} could not be made: {}", describe(code)))
        }
        ErrorCode::ConfigurationError => {
            Error::config(format!("the host could not prepare a request to {origin}"))
        }
        _ => Error::retry(format!("the exchange with {origin} failed: {}", describe(code))),
    }
}

fn describe(code: &ErrorCode) -> String {
    match code {
        ErrorCode::InternalError(Some(message)) => message.clone(),
        ErrorCode::DnsTimeout | ErrorCode::DnsError(_) => "its name can't be resolved".to_owned(),
        ErrorCode::ConnectionRefused => "the connection was refused".to_owned(),
        ErrorCode::ConnectionTerminated => "the connection was closed".to_owned(),
        ErrorCode::ConnectionTimeout => "connecting took too long".to_owned(),
        ErrorCode::ConnectionReadTimeout | ErrorCode::HttpResponseTimeout => {
            "the answer took too long".to_owned()
        }
        ErrorCode::HttpResponseIncomplete => "the answer is incomplete".to_owned(),
        ErrorCode::HttpProtocolError => "the answer is no HTTP".to_owned(),
        other => format!("{other:?}").replace("ErrorCode::", ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_exchange_may_pass_and_a_missing_grant_does_not() {
        for code in [
            ErrorCode::ConnectionTerminated,
            ErrorCode::ConnectionRefused,
            ErrorCode::ConnectionReadTimeout,
            ErrorCode::HttpResponseIncomplete,
            ErrorCode::DnsTimeout,
            ErrorCode::InternalError(None),
        ] {
            assert!(matches!(failed(&code, "http://a"), Error::Retry(_)), "{code:?}");
        }
        match failed(&ErrorCode::HttpRequestDenied, "http://a:1") {
            Error::Config(failure) => assert!(failure.message.contains(r#"http = ["http://a:1"]"#)),
            other => panic!("{other:?}"),
        }
    }
}
