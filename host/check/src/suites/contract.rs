//! What `wit/datastore.wit` says of each call.

use super::bench::{Bench, Case, delete, holding, write};
use super::judge::{Wrong, failed, pulled, pushed, same};
use crate::failure::Failure;
use crate::repository::{Files, Repository};
use crate::run::End;
use crate::subject::{Settings, Subject};

const X: &str = "data/t/web/x";
const Y: &str = "data/t/web/y";

pub(super) fn run(bench: &mut Bench<'_>) -> Option<String> {
    promises(bench);
    let go_on = bench.case("an empty remote", works);
    if go_on {
        configuration(bench);
        bench.case("an empty remote", an_empty_remote_is_no_error);
        bench.case("a second repository has the same files", equal_content_is_counted);
        bench.case("two repositories changed one file", |case| conflict(case, Clash::EditEdit));
        bench.case("two repositories made one file", |case| conflict(case, Clash::NewNew));
        bench.case("one repository edited a file that another one deletes", |case| conflict(case, Clash::EditDelete));
        bench.case("two repositories deleted one file", deleted_twice);
        bench.case("a path was changed again and again", the_last_content_wins);
    }
    None
}

/// What it says that it promises, and whether it always says the same.
fn promises(bench: &mut Bench<'_>) {
    let subject = bench.subject;
    let bare = subject.with(Settings { config: Vec::new(), ..subject.settings().clone() });
    match subject.declared() {
        Ok(None) => bench.note("it exports no `capabilities`, so each push and pull is unscoped and exclusive"),
        Ok(Some(false)) => bench.note("it promises nothing, so each push and pull is unscoped and exclusive"),
        Ok(Some(true)) => {}
        Err(failure) => {
            let what = format!("`capabilities` failed: {failure}");
            bench.case("`capabilities`", |_| Err(Wrong::new("`capabilities` answers", what)));
        }
    }
    if let (Ok(with), without) = (subject.declared(), bare.declared())
        && Ok(with) != without
    {
        let what = format!("With its configuration it answers {with:?}, without {without:?}");
        bench.case("`capabilities`", |_| Err(Wrong::new("a promise does not depend on the configuration", what)));
    }
    let identity = subject.identity();
    if identity.description.is_none() || identity.licence.is_none() {
        bench.note("its metadata has no description or no licence, which `extensions list` would show");
    }
}

/// The least that has to work before anything else can be looked at.
fn works(case: &mut Case<'_>) -> Result<(), Wrong> {
    let mut a = holding(&[(X, "one")]);
    let report = pushed(case.push(&mut a, "t/web"))?;
    if (report.files, report.bytes) != (1, 3) {
        let what = format!("One file of 3 bytes was sent, the report says {} files and {} bytes", report.files, report.bytes);
        return Err(Wrong::new("a push reports what it sent", what));
    }
    let mut b = Repository::new();
    let (report, _) = pulled(case.pull(&mut b, "t/web"))?;
    same("what was pushed can be pulled", a.files(), b.files())?;
    if (report.files, report.bytes) != (1, 3) {
        let what = format!("One file of 3 bytes was brought, the report says {} files and {} bytes", report.files, report.bytes);
        return Err(Wrong::new("a pull reports what it brought", what));
    }
    Ok(())
}

/// A configuration that can't work is an error that says so, and no trap.
fn configuration(bench: &mut Bench<'_>) {
    let settings = bench.subject.settings().clone();
    let wrong = settings.config.iter().map(|(key, _)| (key.clone(), "\u{1f}no such thing".to_owned())).collect();
    let ways = [
        ("the configuration is empty", Settings { config: Vec::new(), ..settings.clone() }),
        ("the configuration holds nonsense", Settings { config: wrong, ..settings.clone() }),
        ("the configuration names a folder that was not granted", Settings { folders: Vec::new(), ..settings.clone() }),
    ];
    for (situation, settings) in ways {
        if settings.config == bench.subject.settings().config && bench.subject.settings().folders.is_empty() {
            continue;
        }
        let subject: Subject = bench.subject.with(settings);
        bench.case_of(&subject, situation, |case| {
            let mut a = holding(&[(X, "one")]);
            refused(&failed(case.push(&mut a, "t/web"), "push")?, "push")?;
            refused(&failed(case.pull(&mut Repository::new(), "t/web"), "pull")?, "pull")
        });
    }
}

fn refused(failure: &Failure, call: &str) -> Result<(), Wrong> {
    match failure {
        Failure::Config(_) | Failure::Denied(_) => Ok(()),
        other => Err(Wrong::new(
            "a configuration that can't work is `error.config`",
            format!("The {call} answers otherwise: {other}"),
        )),
    }
}

fn an_empty_remote_is_no_error(case: &mut Case<'_>) -> Result<(), Wrong> {
    let mut fresh = Repository::new();
    let (report, _) = pulled(case.pull_all(&mut fresh))?;
    same("an empty remote brings nothing", &Files::new(), fresh.files())?;
    if report.deletions > 0 {
        return Err(Wrong::new("nothing was deleted", format!("The report counts {} deletions", report.deletions)));
    }
    pulled(case.pull(&mut fresh, "t/web")).map(drop)
}

fn equal_content_is_counted(case: &mut Case<'_>) -> Result<(), Wrong> {
    let files = [(X, "one"), (Y, "two")];
    pushed(case.push(&mut holding(&files), "t/web"))?;
    let report = pushed(case.push(&mut holding(&files), "t/web"))?;
    if (report.files, report.unchanged) != (0, 2) {
        let what = format!("Of 2 files that the remote holds, {} were sent and {} counted as unchanged", report.files, report.unchanged);
        return Err(Wrong::new("content that the remote already holds is counted as `unchanged`", what));
    }
    Ok(())
}

enum Clash {
    EditEdit,
    NewNew,
    EditDelete,
}

/// Somebody else changed the file: that is a conflict, and nothing of the push becomes visible.
fn conflict(case: &mut Case<'_>, clash: Clash) -> Result<(), Wrong> {
    let mut a = holding(&[("data/t/web/other", "same")]);
    if !matches!(clash, Clash::NewNew) {
        write(&mut a, X, "base");
    }
    pushed(case.push(&mut a, "t/web"))?;
    let mut b = Repository::new();
    pulled(case.pull(&mut b, "t/web"))?;
    write(&mut a, X, "from a");
    pushed(case.push(&mut a, "t/web"))?;
    match clash {
        Clash::EditDelete => delete(&mut b, X),
        Clash::EditEdit | Clash::NewNew => write(&mut b, X, "from b"),
    }
    write(&mut b, Y, "also from b");
    let end = case.push(&mut b, "t/web");
    let steps = std::mem::take(&mut case.last);
    let mut fresh = Repository::new();
    let rule = "a file that somebody else changed is a conflict, and stays as it is";
    match end {
        Some(End { result: Err(Failure::Conflict(paths)), .. }) if paths == [X] => {}
        Some(End { result: Err(Failure::Conflict(paths)), .. }) => {
            return Err(Wrong::new(rule, format!("The conflict names {paths:?} where it should name {X:?}")));
        }
        Some(End { result: Ok(_), .. }) => {
            case.last = steps;
            return Err(Wrong::new(rule, format!("The push of {X} over another's work succeeded")));
        }
        end => {
            let failure = failed(end, "push")?;
            return Err(Wrong::new(rule, format!("The push failed otherwise: {failure}")));
        }
    }
    pulled(case.pull_all(&mut fresh))?;
    same("nothing of a push that stops with a conflict is visible", a.files(), fresh.files())
}

fn deleted_twice(case: &mut Case<'_>) -> Result<(), Wrong> {
    let mut a = holding(&[(X, "one"), (Y, "two")]);
    pushed(case.push(&mut a, "t/web"))?;
    let mut b = Repository::new();
    pulled(case.pull(&mut b, "t/web"))?;
    for repository in [&mut a, &mut b] {
        delete(repository, X);
        let report = pushed(case.push(repository, "t/web"))?;
        if report.deletions != 1 {
            let what = format!("One file was deleted, the report counts {}", report.deletions);
            return Err(Wrong::new("a deletion is counted, whoever made it", what));
        }
    }
    let mut fresh = Repository::new();
    pulled(case.pull_all(&mut fresh))?;
    same("a deleted file is gone", b.files(), fresh.files())
}

fn the_last_content_wins(case: &mut Case<'_>) -> Result<(), Wrong> {
    let mut a = Repository::new();
    let mut b = Repository::new();
    for content in ["one", "two", "", "two", "six"] {
        write(&mut a, X, content);
        pushed(case.push(&mut a, "t/web"))?;
        pulled(case.pull(&mut b, "t/web"))?;
        same("each push arrives, same size or not", a.files(), b.files())?;
        // The extension's own folder may be gone at any time.
        a.forget_state();
    }
    Ok(())
}
