//! What `wit/datastore.wit` says of each call.

use super::case::{Case, Wrong, delete, failed, holding, pulled, pushed, same, write};
use super::cases::Cases;
use crate::failure::Failure;
use crate::repository::{Files, Repository};
use crate::run::End;
use crate::subject::Settings;

const X: &str = "data/t/web/x";
const Y: &str = "data/t/web/y";

pub(super) fn cases(cases: &mut Cases<'_, '_>) {
    promises(cases);
    if !cases.case("one-file", "one file, an empty remote", works) {
        cases.give_up("it can't push one file and pull it again");
        return;
    }
    configuration(cases);
    cases.case("empty-remote", "an empty remote", an_empty_remote_is_no_error);
    cases.case("unchanged", "a second repository has the same files", equal_content_is_counted);
    cases.case("edit-edit", "two repositories changed one file", |case| conflict(case, Clash::EditEdit));
    cases.case("new-new", "two repositories made one file", |case| conflict(case, Clash::NewNew));
    cases.case("edit-delete", "one repository edited a file that another one deletes", |case| {
        conflict(case, Clash::EditDelete)
    });
    cases.case("delete-delete", "two repositories deleted one file", deleted_twice);
    cases.case("again-and-again", "one path is changed again and again", the_last_content_wins);
}

/// What it says that it promises, and whether it always says the same.
fn promises(cases: &mut Cases<'_, '_>) {
    let subject = cases.bench.subject;
    let bare = subject.with(Settings { config: Vec::new(), ..subject.settings().clone() });
    cases.case("capabilities", "`capabilities`, with and without a configuration", |_| {
        match (subject.declared(), bare.declared()) {
            (Err(failure), _) => Err(Wrong::contract(format!("`capabilities` fails: {failure}"))),
            (Ok(with), without) if Ok(with) != without => Err(Wrong::contract(
                "`capabilities` answers something else without a configuration, as `extensions inspect` asks it",
            )),
            _ => Ok(()),
        }
    });
}

/// The least that has to work before anything else can be looked at.
fn works(case: &mut Case<'_>) -> Result<(), Wrong> {
    let mut a = holding(&[(X, "one")]);
    let report = pushed(case.push(&mut a, "t/web"))?;
    if (report.files, report.bytes) != (1, 3) {
        let text = format!(
            "one file of 3 bytes was sent, and the report says {} files, {} bytes",
            report.files, report.bytes
        );
        return Err(Wrong::contract(text));
    }
    let mut b = Repository::new();
    let (report, _) = pulled(case.pull(&mut b, "t/web"))?;
    same("a fresh pull", a.files(), b.files())?;
    if (report.files, report.bytes) != (1, 3) {
        let text = format!(
            "one file of 3 bytes was brought, and the report says {} files, {} bytes",
            report.files, report.bytes
        );
        return Err(Wrong::contract(text));
    }
    Ok(())
}

/// A configuration that can't work is an error that says so, and no trap.
fn configuration(cases: &mut Cases<'_, '_>) {
    let settings = cases.bench.subject.settings().clone();
    let nonsense =
        settings.config.iter().map(|(key, _)| (key.clone(), "\u{1f}no such thing".to_owned())).collect();
    let ways = [
        ("no-config", "the configuration is empty", Settings { config: Vec::new(), ..settings.clone() }),
        (
            "nonsense-config",
            "the configuration holds nonsense",
            Settings { config: nonsense, ..settings.clone() },
        ),
        (
            "no-grant",
            "the configuration names a folder that is not granted",
            Settings { folders: Vec::new(), ..settings.clone() },
        ),
    ];
    for (name, situation, changed) in ways {
        let nothing_changed = changed.config == settings.config && changed.folders == settings.folders;
        if nothing_changed {
            continue;
        }
        let subject = cases.bench.subject.with(changed);
        cases.case_of(&subject, name, situation, |case| {
            refused(&failed(case.push(&mut holding(&[(X, "one")]), "t/web"), "push")?, "push")?;
            refused(&failed(case.pull(&mut Repository::new(), "t/web"), "pull")?, "pull")
        });
    }
}

fn refused(failure: &Failure, call: &str) -> Result<(), Wrong> {
    match failure {
        Failure::Config(_) | Failure::Denied(_) => Ok(()),
        other => Err(Wrong::contract(format!(
            "a {call} with a configuration that can't work has to be `error.config`, and is: {other}"
        ))),
    }
}

fn an_empty_remote_is_no_error(case: &mut Case<'_>) -> Result<(), Wrong> {
    let mut fresh = Repository::new();
    let (report, _) = pulled(case.pull_all(&mut fresh))?;
    same("a pull from an empty remote", &Files::new(), fresh.files())?;
    if report.deletions > 0 {
        return Err(Wrong::contract("nothing was deleted, and the report counts deletions"));
    }
    pulled(case.pull(&mut fresh, "t/web")).map(drop)
}

fn equal_content_is_counted(case: &mut Case<'_>) -> Result<(), Wrong> {
    let files = [(X, "one"), (Y, "two")];
    pushed(case.push(&mut holding(&files), "t/web"))?;
    let report = pushed(case.push(&mut holding(&files), "t/web"))?;
    if (report.files, report.unchanged) != (0, 2) {
        return Err(Wrong::contract(format!(
            "of 2 files whose content the remote holds, {} were sent and {} counted as `unchanged`",
            report.files, report.unchanged
        )));
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
    match case.push(&mut b, "t/web") {
        Some(End { result: Err(Failure::Conflict(paths)), .. }) if paths == [X] => {}
        Some(End { result: Err(Failure::Conflict(paths)), .. }) => {
            return Err(Wrong::contract(format!(
                "the conflict names {paths:?}, and it is {X:?} that was changed on both sides"
            )));
        }
        Some(End { result: Ok(_), .. }) => {
            return Err(Wrong::contract(format!(
                "a push over what somebody else made of {X:?} succeeds; it is a conflict"
            )));
        }
        end => {
            let failure = failed(end, "push")?;
            return Err(Wrong::contract(format!(
                "a push over what somebody else made of {X:?} is no conflict, but {failure}"
            )));
        }
    }
    let found = case.fresh()?;
    same("after a push that ended in a conflict, a fresh pull", a.files(), &found)
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
            return Err(Wrong::contract(format!(
                "one file was deleted, and the report counts {}",
                report.deletions
            )));
        }
    }
    let found = case.fresh()?;
    same("a fresh pull", b.files(), &found)
}

fn the_last_content_wins(case: &mut Case<'_>) -> Result<(), Wrong> {
    let (mut a, mut b) = (Repository::new(), Repository::new());
    for content in ["one", "two", "", "two", "six"] {
        write(&mut a, X, content);
        pushed(case.push(&mut a, "t/web"))?;
        pulled(case.pull(&mut b, "t/web"))?;
        same("a pull", a.files(), b.files())?;
        // The extension's own folder may be gone at any time.
        a.forget_state();
    }
    Ok(())
}
