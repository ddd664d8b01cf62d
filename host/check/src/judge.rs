//! Judging from outside: a fresh repository pulls into an empty cache, and what it gets is compared.

use lockkeeper_names::Scope;
use lockkeeper_sandbox::stepped::Answered;

use crate::failure::Failure;
use crate::finding::{Rule, Violation};
use crate::repository::{Files, Repository};
use crate::run::End;
use crate::scenario::Setup;
use crate::subject::Subject;
use crate::world::World;

/// How often a call is tried again that says this may help.
const ATTEMPTS: usize = 4;

/// Compares what a pull brought with what it has to bring.
pub fn compare(found: &Files, expected: &Files) -> Result<(), Violation> {
    let named = |paths: Vec<&lockkeeper_names::CachePath>| {
        paths.iter().map(|path| path.to_string()).collect::<Vec<_>>()
    };
    let lost: Vec<_> = expected.keys().filter(|path| !found.contains_key(*path)).collect();
    if !lost.is_empty() {
        let lost = named(lost);
        return Err(Violation::new(
            Rule::Lost,
            format!("a fresh pull does not bring {}", lost.join(", ")),
            lost,
        ));
    }
    let wrong: Vec<_> = expected
        .iter()
        .filter(|(path, bytes)| found.get(*path) != Some(bytes))
        .map(|(path, _)| path)
        .collect();
    if !wrong.is_empty() {
        let wrong = named(wrong);
        let text = format!("a fresh pull brings other content than was pushed last: {}", wrong.join(", "));
        return Err(Violation::new(Rule::Content, text, wrong));
    }
    let extra: Vec<_> = found.keys().filter(|path| !expected.contains_key(*path)).collect();
    if !extra.is_empty() {
        let extra = named(extra);
        let text = format!("a fresh pull brings what was deleted or never pushed: {}", extra.join(", "));
        return Err(Violation::new(Rule::Returned, text, extra));
    }
    Ok(())
}

/// Pulls into an empty cache, in a copy of the world.
pub(crate) fn fresh_pull(subject: &Subject, world: &World, scope: Option<&Scope>) -> Result<Files, Failure> {
    let mut world = world.clone();
    let mut failure = Failure::Stuck;
    for _ in 0..ATTEMPTS {
        let mut repository = Repository::new();
        match world.pull(subject, &mut repository, scope).map(|end| end.result) {
            Some(Ok(Answered::Pulled(_))) => return Ok(repository.files().clone()),
            Some(Err(error)) => failure = error,
            _ => {}
        }
        if !matches!(failure, Failure::Retry(_)) {
            break;
        }
    }
    Err(failure)
}

fn pull_failed(scope: Option<&Scope>, failure: &Failure) -> Violation {
    let what = scope.map_or_else(|| "a fresh pull".to_owned(), |scope| format!("a fresh pull of {scope}"));
    Violation::new(Rule::PullFailed, format!("{what} fails: {failure}"), Vec::new())
}

/// What is in the remote has to be exactly this, as a whole and scope by scope.
pub(crate) fn holds(
    subject: &Subject,
    world: &World,
    setup: &Setup,
    expected: &Files,
) -> Result<(), Violation> {
    let found = fresh_pull(subject, world, None).map_err(|failure| pull_failed(None, &failure))?;
    compare(&found, expected)?;
    for scope in setup.scopes.iter().flatten() {
        let found =
            fresh_pull(subject, world, Some(scope)).map_err(|failure| pull_failed(Some(scope), &failure))?;
        let inside = expected.iter().filter(|(path, _)| scope.contains(path));
        let inside = inside.map(|(path, bytes)| (path.clone(), bytes.clone())).collect();
        compare(&found, &inside).map_err(|violation| Violation {
            text: violation.text.replacen("a fresh pull", &format!("a fresh pull of {scope}"), 1),
            ..violation
        })?;
    }
    Ok(())
}

/// What was found has to be the old or the new state: as a whole if the extension promises `scoped-sync`, and file by file
/// if it leaves that to the host's lock.
pub(crate) fn old_or_new(
    subject: &Subject,
    found: &Files,
    old: &Files,
    new: &Files,
) -> Result<(), Violation> {
    if found == old || found == new {
        return Ok(());
    }
    let mut neither = Vec::new();
    for path in found.keys().chain(old.keys()).chain(new.keys()) {
        let it = found.get(path);
        if it != old.get(path) && it != new.get(path) {
            neither.push(path.to_string());
        }
    }
    neither.sort();
    neither.dedup();
    if !neither.is_empty() {
        let text = format!("a pull brings neither the old nor the new content of {}", neither.join(", "));
        return Err(Violation::new(Rule::Mixed, text, neither));
    }
    if subject.scoped_sync() {
        let news = found.iter().filter(|(path, bytes)| old.get(*path) != Some(*bytes));
        let paths = news.map(|(path, _)| path.to_string()).collect();
        let text =
            "a pull brings some files of a push and not the others: neither the old state nor the new one";
        return Err(Violation::new(Rule::Mixed, text, paths));
    }
    Ok(())
}

/// What a reader finds of the first model has to be old or new, and everything else as it has to be.
pub(crate) fn readable(
    subject: &Subject,
    world: &World,
    setup: &Setup,
    pushed: [bool; 2],
) -> Result<(), Violation> {
    let found = fresh_pull(subject, world, None).map_err(|failure| pull_failed(None, &failure))?;
    let own = crate::scenario::scope(0)
        .map_err(|error| Violation::new(Rule::Contract, error.to_string(), Vec::new()))?;
    let (mine, others): (Files, Files) = found.into_iter().partition(|(path, _)| own.contains(path));
    if pushed[0] {
        compare(&mine, &setup.after[0])?;
    } else {
        old_or_new(subject, &mine, &setup.before[0], &setup.after[0])?;
    }
    let expected = setup.expected(pushed).into_iter().filter(|(path, _)| !own.contains(path)).collect();
    compare(&others, &expected)
}

/// Pushes what a repository still has to push; it has to succeed, if need be when tried again.
pub(crate) fn push_again(
    subject: &Subject,
    world: &mut World,
    repository: &mut Repository,
    scope: Option<&Scope>,
    who: &str,
) -> Result<(), Violation> {
    let mut failure = Failure::Stuck;
    for _ in 0..ATTEMPTS {
        match world.push(subject, repository, scope) {
            Some(End { result: Ok(_), .. }) => return Ok(()),
            Some(End { result: Err(error), .. }) => failure = error,
            None => {}
        }
        if !matches!(failure, Failure::Retry(_)) {
            break;
        }
    }
    Err(Violation::new(Rule::PushFailed, format!("{who} can't push any more: {failure}"), Vec::new()))
}
