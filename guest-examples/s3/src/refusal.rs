//! What the store's refusals mean.

use lockkeeper_http::{Refusal, Response, StatusCode, by_status, excerpt};
use lockkeeper_sdk::Error;

use crate::xml::Fault;

/// The header by which the store's operators find a request.
const REQUEST_ID: &str = "x-amz-request-id";

/// What a request does, by the right that it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Get,
    Put,
    Delete,
    List,
    Abort,
}

impl Action {
    fn right(self) -> &'static str {
        match self {
            Self::Get => "s3:GetObject",
            Self::Put => "s3:PutObject",
            Self::Delete => "s3:DeleteObject",
            Self::List => "s3:ListBucket",
            Self::Abort => "s3:AbortMultipartUpload",
        }
    }
}

/// Reads what the store says.
pub(crate) async fn read(response: Response, action: Action, bucket: &str) -> Refusal {
    Refusal::read(response, Some(REQUEST_ID), |status, head, text| {
        let region = head.header("x-amz-bucket-region");
        judge(status, region, text, action, bucket)
    })
    .await
}

/// A fault that came with a status that promises success, as long operations have it.
pub(crate) fn late(text: &str, action: Action, bucket: &str) -> Option<Refusal> {
    let fault = Fault::parse(text)?;
    let error = meaning(StatusCode::OK, &fault, None, action, bucket);
    Some(Refusal { status: None, code: fault.code, error })
}

fn judge(
    status: StatusCode,
    region: Option<&str>,
    text: &str,
    action: Action,
    bucket: &str,
) -> (String, Error) {
    let fault = Fault::parse(text).unwrap_or_default();
    let error = if fault.code.is_empty() {
        let said = excerpt(text);
        let message = match region {
            Some(region) if status.is_redirection() => elsewhere(bucket, Some(region), None),
            _ if said.is_empty() => format!("HTTP status {status}, without a word from the store"),
            _ => format!("HTTP status {status}, and not in the store's own words: {said}"),
        };
        match status {
            StatusCode::FORBIDDEN => denied(action, bucket, &message),
            _ => by_status(status, message),
        }
    } else {
        meaning(status, &fault, region, action, bucket)
    };
    (fault.code, error)
}

fn meaning(status: StatusCode, fault: &Fault, region: Option<&str>, action: Action, bucket: &str) -> Error {
    let region = region.or(fault.region.as_deref());
    let said = format!("{}: {}", fault.code, excerpt(&fault.message));
    match fault.code.as_str() {
        "InternalError"
        | "ServiceUnavailable"
        | "SlowDown"
        | "SlowDownRead"
        | "SlowDownWrite"
        | "Busy"
        | "RequestTimeout"
        | "Throttling"
        | "ThrottlingException"
        | "TooManyRequests"
        | "RequestLimitExceeded"
        | "OperationAborted"
        | "ConditionalRequestConflict"
        | "IncompleteBody"
        | "BadDigest"
        | "NoSuchUpload"
        | "XMinioServerNotInitialized" => Error::retry(said),
        "PermanentRedirect"
        | "TemporaryRedirect"
        | "Redirect"
        | "AuthorizationHeaderMalformed"
        | "IllegalLocationConstraintException"
        | "IncorrectEndpoint"
            if region.is_some() || fault.endpoint.is_some() =>
        {
            Error::config(elsewhere(bucket, region, fault.endpoint.as_deref()))
        }
        "ExpiredToken"
        | "ExpiredTokenException"
        | "TokenRefreshRequired"
        | "InvalidToken"
        | "InvalidAccessKeyId"
        | "InvalidClientTokenId"
        | "UnrecognizedClientException"
        | "SignatureDoesNotMatch"
        | "InvalidSecurity"
        | "NotSignedUp"
        | "AuthorizationHeaderMalformed"
        | "MissingAuthenticationToken"
        | "MissingSecurityHeader" => {
            Error::reauthenticate(format!("the store refuses the credentials: {said}"))
        }
        "AccessDenied" | "AllAccessDisabled" | "AccountProblem" => denied(action, bucket, &said),
        "NoSuchBucket" => Error::config(format!("there is no bucket {bucket:?} at this endpoint ({said})")),
        "InvalidBucketName" => Error::config(format!("`bucket` is {bucket:?}: {said}")),
        "RequestTimeTooSkewed" => Error::fatal(format!("this machine's clock is wrong: {said}")),
        "NotImplemented" | "MethodNotAllowed" | "UnsupportedOperation" => {
            Error::config(format!("the store lacks what this extension needs: {said}"))
        }
        _ => by_status(status, said),
    }
}

fn denied(action: Action, bucket: &str, said: &str) -> Error {
    let right = action.right();
    let hidden = match action {
        Action::Get => " (and `s3:ListBucket`, without which a missing key looks like this)",
        _ => "",
    };
    Error::config(format!(
        "access denied: whoever [datastore.auth] signs for needs `{right}`{hidden} on the bucket {bucket:?} ({said})"
    ))
}

fn elsewhere(bucket: &str, region: Option<&str>, endpoint: Option<&str>) -> String {
    let place = match (region, endpoint) {
        (Some(region), _) => {
            format!("in the region {region:?}: set `region = {region:?}` in [datastore.config]")
        }
        (None, Some(endpoint)) => format!("at {endpoint:?}: set `endpoint` in [datastore.config]"),
        (None, None) => "elsewhere".to_owned(),
    };
    format!("the bucket {bucket:?} is {place}, with the grant and [datastore.auth] to match")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(status: u16, code: &str) -> Error {
        let text = format!("<Error><Code>{code}</Code><Message>m</Message></Error>");
        judge(StatusCode::from_u16(status).unwrap(), None, &text, Action::Get, "b").1
    }

    #[test]
    fn what_may_pass_is_tried_again() {
        for (status, code) in [
            (500, "InternalError"),
            (503, "SlowDown"),
            (503, "ServiceUnavailable"),
            (400, "RequestTimeout"),
            (409, "ConditionalRequestConflict"),
            (409, "OperationAborted"),
            (502, "Whatever"),
        ] {
            assert!(matches!(judged(status, code), Error::Retry(_)), "{code}");
        }
    }

    #[test]
    fn bad_credentials_ask_for_good_ones() {
        for (status, code) in [
            (400, "ExpiredToken"),
            (403, "InvalidAccessKeyId"),
            (403, "SignatureDoesNotMatch"),
            (401, "Other"),
        ] {
            assert!(matches!(judged(status, code), Error::Reauthenticate(_)), "{code}");
        }
    }

    #[test]
    fn a_denied_request_names_the_right_it_lacks() {
        for (action, right) in [(Action::Put, "s3:PutObject"), (Action::Get, "s3:ListBucket")] {
            for text in ["<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>", ""] {
                match judge(StatusCode::FORBIDDEN, None, text, action, "b").1 {
                    Error::Config(failure) => assert!(failure.message.contains(right), "{failure:?}"),
                    other => panic!("{other:?}"),
                }
            }
        }
    }

    #[test]
    fn a_missing_bucket_is_a_matter_of_configuration() {
        assert!(matches!(judged(404, "NoSuchBucket"), Error::Config(_)));
    }

    #[test]
    fn a_bucket_elsewhere_names_its_region() {
        let malformed = "<Error><Code>AuthorizationHeaderMalformed</Code><Message>m</Message><Region>eu-west-3</Region></Error>";
        let redirect = "<Error><Code>PermanentRedirect</Code><Message>m</Message><Endpoint>b.s3.example.com</Endpoint></Error>";
        for (status, header, text, named) in [
            (400, None, malformed, "\"eu-west-3\""),
            (301, Some("eu-west-2"), redirect, "\"eu-west-2\""),
            (301, Some("eu-west-2"), "", "\"eu-west-2\""),
            (301, None, redirect, "b.s3.example.com"),
        ] {
            match judge(StatusCode::from_u16(status).unwrap(), header, text, Action::Get, "b").1 {
                Error::Config(failure) => assert!(failure.message.contains(named), "{failure:?}"),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn only_the_stores_own_word_for_a_missing_key_is_taken() {
        for (text, code) in [
            ("<Error><Code>NoSuchKey</Code></Error>", "NoSuchKey"),
            ("<html>404 Not Found</html>", ""),
            ("", ""),
        ] {
            let (found, error) = judge(StatusCode::NOT_FOUND, None, text, Action::Get, "b");
            assert_eq!(found, code);
            assert!(matches!(error, Error::Fatal(_)), "{error:?}");
        }
    }

    #[test]
    fn a_fault_can_come_after_the_status() {
        assert!(late("<CopyObjectResult><ETag>e</ETag></CopyObjectResult>", Action::Put, "b").is_none());
        let late = late("\n<Error><Code>InternalError</Code></Error>", Action::Put, "b").unwrap();
        assert!(matches!(late.error, Error::Retry(_)));
    }
}
