//! Scoped calls: everything under the scope, and nothing outside of it.

use super::case::{Case, Wrong, delete, holding, pulled, pushed, same, write};
use super::cases::Cases;
use crate::repository::{Files, Repository};

/// The model that is worked on.
const WEB: &str = "t/web";
/// It and others, which have to stay as they are. One name begins like the other.
const ALL: [(&str, &str); 6] = [
    ("data/t/web/x", "one"),
    ("data/t/web/below/y", "two"),
    ("data/t/web-2/x", "three"),
    ("data/t/we/x", "four"),
    ("data/t-2/web/x", "five"),
    ("data/other/web/x", "six"),
];

pub(super) fn cases(cases: &mut Cases<'_, '_>) {
    type Change = fn(&mut Repository);
    let changes: [(&str, &str, Change); 5] = [
        ("add", "a file is added", |it| write(it, "data/t/web/new", "new")),
        ("change", "a file is changed", |it| write(it, "data/t/web/x", "ONE")),
        ("delete", "a file is deleted", |it| delete(it, "data/t/web/x")),
        ("delete-model", "the whole model is deleted", |it| {
            delete(it, "data/t/web/x");
            delete(it, "data/t/web/below/y");
        }),
        ("replace", "the model is replaced", |it| {
            delete(it, "data/t/web/x");
            delete(it, "data/t/web/below/y");
            write(it, "data/t/web/below", "a file where a folder was");
        }),
    ];
    for (name, what, change) in changes {
        let situation = format!("{what}, by a repository that holds everything");
        cases.case(&format!("{name}-of-all"), &situation, |case| pushes(case, change, false));
        let situation = format!("{what}, by a repository that holds nothing but this model");
        cases.case(&format!("{name}-of-one"), &situation, |case| pushes(case, change, true));
    }
    cases.case("pull", "a repository pulls one model", pulls);
    cases.case(
        "pull-deletions",
        "a pull of one model, where files of others were deleted as well",
        deletions,
    );
    cases.case("nested", "models that lie in one another", nested);
    cases.case("turns", "scoped and full calls take turns", turns);
}

/// Everything, pushed at once.
fn everything(case: &mut Case<'_>) -> Result<Repository, Wrong> {
    let mut all = holding(&ALL);
    pushed(case.push_all(&mut all))?;
    Ok(all)
}

fn pushes(case: &mut Case<'_>, change: impl Fn(&mut Repository), partial: bool) -> Result<(), Wrong> {
    let mut all = everything(case)?;
    let mut worker = Repository::new();
    if partial {
        pulled(case.pull(&mut worker, WEB))?;
    } else {
        pulled(case.pull_all(&mut worker))?;
    }
    change(&mut worker);
    change(&mut all);
    pushed(case.push(&mut worker, WEB))?;
    let found = case.fresh()?;
    same("a fresh pull", all.files(), &found)
}

fn pulls(case: &mut Case<'_>) -> Result<(), Wrong> {
    let all = everything(case)?;
    let mut worker = Repository::new();
    let (_, end) = pulled(case.pull(&mut worker, WEB))?;
    let expected: Files = all
        .files()
        .iter()
        .filter(|(path, _)| path.as_str().starts_with("data/t/web/"))
        .map(|(a, b)| (a.clone(), b.clone()))
        .collect();
    same("a scoped pull", &expected, &end.brought)
}

fn deletions(case: &mut Case<'_>) -> Result<(), Wrong> {
    let mut all = everything(case)?;
    let mut other = Repository::new();
    pulled(case.pull_all(&mut other))?;
    for path in ["data/t/web/x", "data/t/web-2/x"] {
        delete(&mut all, path);
    }
    pushed(case.push(&mut all, WEB))?;
    pushed(case.push(&mut all, "t/web-2"))?;
    let (_, end) = pulled(case.pull(&mut other, WEB))?;
    let outside = end.deleted.iter().find(|path| !path.as_str().starts_with("data/t/web/"));
    match outside {
        Some(path) => Err(Wrong::contract(format!("a scoped pull deletes {path}, outside of its scope"))),
        None => Ok(()),
    }
}

/// A scope covers the models that lie below it, whoever pushed them.
fn nested(case: &mut Case<'_>) -> Result<(), Wrong> {
    let mut inner = holding(&[("data/t/a/b/x", "inner")]);
    pushed(case.push(&mut inner, "t/a/b"))?;
    let mut outer = holding(&[("data/t/a/y", "outer")]);
    pushed(case.push(&mut outer, "t/a"))?;
    let mut puller = Repository::new();
    pulled(case.pull(&mut puller, "t/a"))?;
    let both = holding(&[("data/t/a/b/x", "inner"), ("data/t/a/y", "outer")]);
    same("a scoped pull", both.files(), puller.files())?;
    write(&mut puller, "data/t/a/b/x", "changed");
    delete(&mut puller, "data/t/a/y");
    pushed(case.push(&mut puller, "t/a"))?;
    let found = case.fresh()?;
    same("a fresh pull", puller.files(), &found)?;
    pulled(case.pull(&mut inner, "t/a/b"))?;
    same("a scoped pull", puller.files(), inner.files())
}

fn turns(case: &mut Case<'_>) -> Result<(), Wrong> {
    let mut all = everything(case)?;
    let mut worker = Repository::new();
    pulled(case.pull(&mut worker, WEB))?;
    write(&mut worker, "data/t/web/x", "scoped");
    pushed(case.push(&mut worker, WEB))?;
    pulled(case.pull_all(&mut all))?;
    write(&mut all, "data/t/web/x", "full");
    write(&mut all, "data/t/web-2/x", "full");
    pushed(case.push_all(&mut all))?;
    pulled(case.pull(&mut worker, WEB))?;
    write(&mut worker, "data/t/web/new", "scoped again");
    pushed(case.push(&mut worker, WEB))?;
    write(&mut all, "data/t/web/new", "scoped again");
    let found = case.fresh()?;
    same("a fresh pull", all.files(), &found)
}
