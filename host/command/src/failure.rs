use lockkeeper_host::{CallError, Error, ErrorReport};

use crate::exit;

/// Why a command failed, ready to be shown.
pub(crate) struct Failure {
    pub(crate) code: u8,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    /// For the extension's author.
    pub(crate) trace: Option<String>,
}

impl Failure {
    /// The failure as documents show it.
    pub(crate) fn report(&self) -> ErrorReport {
        let Self { code, message, hint, trace } = self;
        ErrorReport { message: message.clone(), hint: hint.clone(), trace: trace.clone(), exit_code: *code }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { code: exit::USAGE, message: message.into(), hint: None, trace: None }
    }

    pub(crate) fn system(message: impl Into<String>) -> Self {
        Self { code: exit::SYSTEM, message: message.into(), hint: None, trace: None }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let trace = match &error {
            Error::Call(CallError::Trapped { extension, backtrace, .. }) => {
                Some(format!("{}\n{backtrace}", extension.digest))
            }
            _ => None,
        };
        Self { code: exit::code(error.kind()), message: chain(&error), hint: error.hint(), trace }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::system(format!("{error:#}"))
    }
}

/// An error with its causes, each once.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
