//! Judging what came of a call.

use lockkeeper_names::CachePath;
use lockkeeper_sandbox::{PullReport, PushReport};
use lockkeeper_sandbox::stepped::Answered;

use crate::failure::Failure;
use crate::repository::Files;
use crate::run::End;

/// How many paths are named where many are wrong.
const NAMED: usize = 3;

/// A rule that did not hold.
pub(super) struct Wrong {
    pub(super) rule: String,
    pub(super) what: Vec<String>,
    /// Whether further cases would only find the same again, slowly.
    pub(super) hopeless: bool,
}

impl Wrong {
    pub(super) fn new(rule: &str, what: impl Into<String>) -> Self {
        Self { rule: rule.to_owned(), what: vec![what.into()], hopeless: false }
    }

    /// A call that should have succeeded.
    fn failed(call: &str, failure: &Failure) -> Self {
        let hopeless = is_hopeless(failure);
        let rule = match failure {
            Failure::Unaccounted(_) => "a push accounts for what it was given".to_owned(),
            Failure::Limit(_) | Failure::Stuck | Failure::NoProgress => format!("a {call} ends, within its limits"),
            Failure::Trapped(_) => format!("a {call} does not trap"),
            _ => format!("a {call} with nothing in its way succeeds"),
        };
        Self { rule, what: vec![format!("The {call} failed: {failure}")], hopeless }
    }

    fn absent(call: &str) -> Self {
        Self::new(&format!("a {call} can be made"), "the host could not make it")
    }
}

/// Whether a failure takes long, or comes whatever is asked for.
pub(super) fn is_hopeless(failure: &Failure) -> bool {
    matches!(failure, Failure::Limit(_) | Failure::Stuck | Failure::NoProgress | Failure::Trapped(_) | Failure::Setup(_))
}

/// A push that has to have succeeded.
pub(super) fn pushed(end: Option<End>) -> Result<PushReport, Wrong> {
    let end = end.ok_or_else(|| Wrong::absent("push"))?;
    match end.result {
        Ok(Answered::Pushed(report)) => Ok(report),
        Ok(_) => Err(Wrong::absent("push")),
        Err(failure) => Err(Wrong::failed("push", &failure)),
    }
}

/// A pull that has to have succeeded, with what it brought.
pub(super) fn pulled(end: Option<End>) -> Result<(PullReport, End), Wrong> {
    let end = end.ok_or_else(|| Wrong::absent("pull"))?;
    match &end.result {
        Ok(Answered::Pulled(report)) => Ok((*report, end)),
        Ok(_) => Err(Wrong::absent("pull")),
        Err(failure) => Err(Wrong::failed("pull", failure)),
    }
}

/// A call that has to have failed.
pub(super) fn failed(end: Option<End>, call: &str) -> Result<Failure, Wrong> {
    let end = end.ok_or_else(|| Wrong::absent(call))?;
    match end.result {
        Err(failure) if is_hopeless(&failure) => Err(Wrong::failed(call, &failure)),
        Err(failure) => Ok(failure),
        Ok(_) => Err(Wrong::new("what can't be done is an error", format!("The {call} says that it succeeded"))),
    }
}

/// Files that have to be the same; `rule` is broken otherwise.
pub(super) fn same(rule: &str, expected: &Files, found: &Files) -> Result<(), Wrong> {
    let missing = expected.keys().filter(|path| !found.contains_key(*path));
    let extra = found.keys().filter(|path| !expected.contains_key(*path));
    let other = expected.iter().filter(|(path, bytes)| found.get(*path).is_some_and(|it| it != *bytes)).map(|(path, _)| path);
    let what: Vec<String> = [
        named("missing", missing),
        named("there and should not be", extra),
        named("there with other content", other),
    ]
    .into_iter()
    .flatten()
    .collect();
    if what.is_empty() { Ok(()) } else { Err(Wrong { rule: rule.to_owned(), what, hopeless: false }) }
}

fn named<'a>(what: &str, paths: impl Iterator<Item = &'a CachePath>) -> Option<String> {
    let paths: Vec<String> = paths.map(|path| format!("{:?}", path.as_str())).collect();
    let more = paths.len().checked_sub(NAMED).filter(|more| *more > 0);
    let named = paths.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = more.map(|more| format!(" and {more} more")).unwrap_or_default();
    (!paths.is_empty()).then(|| format!("{what}: {named}{more}"))
}
