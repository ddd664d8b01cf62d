//! What the store's refusals mean.

use lockkeeper_http::{Refusal, Response, StatusCode, by_status, excerpt};
use lockkeeper_sdk::Error;

use crate::json::Fault;

/// The header by which the store's operators find a request.
const REQUEST_ID: &str = "x-guploader-uploadid";
/// What stands for the store's word that an object is not there.
pub(crate) const NO_SUCH_OBJECT: &str = "no such object";

/// What a request does, by the right that it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Get,
    Create,
    Rewrite,
    Delete,
    List,
}

impl Action {
    fn right(self) -> &'static str {
        match self {
            Self::Get => "storage.objects.get",
            Self::Create => "storage.objects.create` and `storage.objects.delete",
            Self::Rewrite => "storage.objects.get`, `storage.objects.create` and `storage.objects.delete",
            Self::Delete => "storage.objects.delete",
            Self::List => "storage.objects.list",
        }
    }
}

/// Reads what the store says.
pub(crate) async fn read(response: Response, action: Action, bucket: &str) -> Refusal {
    Refusal::read(response, Some(REQUEST_ID), |status, _, text| judge(status, text, action, bucket)).await
}

fn judge(status: StatusCode, text: &str, action: Action, bucket: &str) -> (String, Error) {
    let fault = Fault::parse(text);
    let own = fault.is_some();
    // Content is answered with a bare text instead.
    let said = fault.as_ref().map_or_else(|| excerpt(text), |fault| excerpt(&fault.message));
    let reason = fault.as_ref().map_or("", Fault::reason).to_owned();
    let message = match said.as_str() {
        "" => format!("HTTP status {status}, without a word from the store"),
        _ if own => format!("{reason}: {said}"),
        _ => format!("HTTP status {status}: {said}"),
    };
    if status == StatusCode::NOT_FOUND {
        if said.starts_with(&format!("No such object: {bucket}/")) {
            return (NO_SUCH_OBJECT.to_owned(), Error::fatal(message));
        }
        let of_bucket = own && matches!(action, Action::Create | Action::List);
        if said.contains("bucket does not exist") || of_bucket {
            let error = Error::config(format!("there is no bucket {bucket:?} at this endpoint ({message})"));
            return (reason, error);
        }
    }
    let error = match (status.as_u16(), reason.as_str()) {
        (_, "rateLimitExceeded" | "userRateLimitExceeded" | "backendError" | "internalError") => {
            Error::retry(message)
        }
        (401, _) => Error::reauthenticate(format!("the store refuses the credentials: {message}")),
        (403, "accountDisabled" | "authError" | "expired") => {
            Error::reauthenticate(format!("the store refuses the credentials: {message}"))
        }
        (403, _) => Error::config(format!(
            "access denied: whoever [datastore.auth] authenticates as needs `{}` on the bucket {bucket:?} ({message})",
            action.right()
        )),
        _ => by_status(status, message),
    };
    (reason, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(status: u16, reason: &str, message: &str) -> (String, Error) {
        let text = format!(
            r#"{{"error":{{"code":{status},"message":"{message}","errors":[{{"reason":"{reason}"}}]}}}}"#
        );
        judge(StatusCode::from_u16(status).unwrap(), &text, Action::Get, "b")
    }

    #[test]
    fn what_may_pass_is_tried_again() {
        for (status, reason) in
            [(429, "rateLimitExceeded"), (503, "backendError"), (500, "internalError"), (502, "")]
        {
            assert!(matches!(fault(status, reason, "m").1, Error::Retry(_)), "{reason}");
        }
    }

    #[test]
    fn bad_credentials_ask_for_good_ones_and_a_denied_request_names_the_right() {
        assert!(matches!(fault(401, "authError", "Invalid Credentials").1, Error::Reauthenticate(_)));
        match fault(403, "forbidden", "no access").1 {
            Error::Config(failure) => assert!(failure.message.contains("storage.objects.get")),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_missing_object_is_told_from_a_missing_bucket_and_from_anything_else() {
        assert_eq!(fault(404, "notFound", "No such object: b/k").0, NO_SUCH_OBJECT);
        let (code, _) = judge(StatusCode::NOT_FOUND, "No such object: b/k", Action::Get, "b");
        assert_eq!(code, NO_SUCH_OBJECT);
        let (code, error) = fault(404, "notFound", "The specified bucket does not exist.");
        assert!(code != NO_SUCH_OBJECT && matches!(error, Error::Config(_)));
        for text in ["Not Found", "", "<html>No such object: b/k</html>", "No such object: other/k"] {
            let (code, error) = judge(StatusCode::NOT_FOUND, text, Action::Get, "b");
            assert!(code != NO_SUCH_OBJECT && matches!(error, Error::Fatal(_)), "{text}");
        }
    }
}
