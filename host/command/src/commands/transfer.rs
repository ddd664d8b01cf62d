//! What pull, push and run have in common: the models they name, and saying what was done.

use std::collections::BTreeSet;

use indicatif::HumanBytes;
use lockkeeper_host::{CallReport, Declared, Direction, ModelId, Outcome, Reach, Report, Session, Transfer};

use super::Context;
use crate::exit;
use crate::failure::Failure;
use crate::ui::printable;

/// The models if any are named, else the whole repository.
pub(super) fn reach(models: Vec<ModelId>) -> Reach {
    if models.is_empty() { Reach::Structural } else { Reach::Models(models.into_iter().collect()) }
}

/// Loads the repository's extension; says so if it was accepted just now, and if it could not say what it promises.
pub(super) async fn session(context: &Context<'_>) -> Result<Session, Failure> {
    let session = Session::open(context.repository()?, context.machine.clone()).await?;
    if session.newly_accepted() {
        let extension = session.extension_report();
        let (name, version, digest) = (extension.name, extension.version, extension.digest.short());
        context.ui.note(&format!(
            "accepted {name} {version} ({digest}) on its first use; pinned in lockkeeper.lock"
        ));
    }
    if let Declared::Failed(error) = session.declared() {
        let reason = printable(&error.to_string());
        context
            .ui
            .warn(&format!("{reason}; it is treated as if it promised nothing: no scope, exclusive sync"));
    }
    Ok(session)
}

/// The report of a command that has ended.
pub(super) fn report(
    command: &str,
    models: BTreeSet<ModelId>,
    session: Option<&Session>,
    transfer: Option<&Transfer>,
    failure: Option<&Failure>,
    exit_code: u8,
) -> Report {
    let (locks, calls) = session.map(Session::journal).unwrap_or_default();
    Report {
        command: command.to_owned(),
        models: models.into_iter().collect(),
        extension: session.map(Session::extension_report),
        locks,
        calls,
        kept: transfer.map(|it| it.kept.clone()).unwrap_or_default(),
        settled: transfer.map(|it| it.settled.clone()).unwrap_or_default(),
        outcome: match (failure, exit_code) {
            (Some(_), _) => Outcome::Failed,
            (None, exit::OK) => Outcome::Succeeded,
            (None, _) => Outcome::CommandFailed,
        },
        error: failure.map(Failure::report),
        exit_code,
    }
}

/// Ends a pull or push: prints what it did, and returns its exit code.
pub(super) fn finish(
    context: &Context<'_>,
    command: &str,
    reach: Reach,
    session: &Session,
    result: Result<Transfer, Failure>,
) -> Result<u8, Failure> {
    let models = match reach {
        Reach::Models(models) => models,
        Reach::Structural | Reach::ReadOnly => BTreeSet::new(),
    };
    let (transfer, failure) = match result {
        Ok(transfer) => (Some(transfer), None),
        Err(failure) => (None, Some(failure)),
    };
    let code = match &failure {
        None => exit::OK,
        Some(failure) => context.signals.exit_code().unwrap_or(failure.code),
    };
    let report = report(command, models, Some(session), transfer.as_ref(), failure.as_ref(), code);
    if let Some(failure) = &failure {
        context.ui.show(failure);
    }
    if let Some(transfer) = &transfer {
        notes(context, transfer);
    }
    if failure.is_none() || context.ui.json() {
        context.ui.data(&report, || summary(&report.calls))?;
    }
    Ok(code)
}

/// Names what a pull left as it is, and what it settled.
pub(super) fn notes(context: &Context<'_>, transfer: &Transfer) {
    if !transfer.kept.is_empty() {
        let paths: Vec<String> =
            transfer.kept.iter().take(10).map(|path| path.as_str().escape_debug().to_string()).collect();
        let more = transfer.kept.len().saturating_sub(paths.len());
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        context.ui.note(&format!("kept local work that was not pushed yet: {}{more}", paths.join(", ")));
    }
    for settled in &transfer.settled {
        let other = match &settled.other {
            Some(place) => format!("the other version is in {}", place.display()),
            None => "the other side had deleted it".to_owned(),
        };
        context.ui.note(&format!("settled {}: {other}", settled.path.as_str().escape_debug()));
    }
}

/// One line for each direction in which something was to be moved.
pub(super) fn summary(calls: &[CallReport]) -> String {
    let mut text = String::new();
    for (direction, verb) in [(Direction::Pull, "pulled"), (Direction::Push, "pushed")] {
        let sum = |field: fn(&CallReport) -> u64| -> u64 {
            calls.iter().filter(|call| call.direction == direction).map(field).sum()
        };
        let (files, bytes, deletions) =
            (sum(|call| call.files), sum(|call| call.bytes), sum(|call| call.deletions));
        if files + deletions > 0 {
            let plural = if files == 1 { "" } else { "s" };
            text.push_str(&format!(
                "{verb} {files} file{plural} ({}), deleted {deletions}\n",
                HumanBytes(bytes)
            ));
        }
    }
    if text.is_empty() { "nothing to do, everything is in sync".to_owned() } else { text }
}
