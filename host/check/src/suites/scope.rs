//! Scoped calls: everything under the scope, and nothing outside of it.

use super::bench::{Bench, Case, delete, holding, write};
use super::judge::{Wrong, pulled, pushed, same};
use crate::repository::{Files, Repository};

/// The model that is worked on, and others that have to stay as they are: `web-2` begins like `web`.
const WEB: &str = "t/web";
const ALL: [(&str, &str); 6] = [
    ("data/t/web/x", "one"),
    ("data/t/web/below/y", "two"),
    ("data/t/web-2/x", "three"),
    ("data/t/we/x", "four"),
    ("data/t-2/web/x", "five"),
    ("data/other/web/x", "six"),
];
const OUTSIDE: &str = "what lies outside of the scope stays as it is";

pub(super) fn run(bench: &mut Bench<'_>) -> Option<String> {
    if bench.scope(WEB).is_none() {
        return Some("it promises no scoped-sync, so no scope is ever passed to it".to_owned());
    }
    type Change = fn(&mut Repository);
    let changes: [(&str, Change); 5] = [
        ("a file is added", |it| write(it, "data/t/web/new", "new")),
        ("a file is changed", |it| write(it, "data/t/web/x", "ONE")),
        ("a file is deleted", |it| delete(it, "data/t/web/x")),
        ("the whole model is deleted", |it| {
            delete(it, "data/t/web/x");
            delete(it, "data/t/web/below/y");
        }),
        ("the model is replaced", |it| {
            delete(it, "data/t/web/x");
            delete(it, "data/t/web/below/y");
            write(it, "data/t/web/below", "a file where a folder was");
        }),
    ];
    for (what, change) in changes {
        bench.case(&format!("{what}, by a repository that holds everything"), |case| pushes(case, change, false));
        bench.case(&format!("{what}, by a repository that holds this model only"), |case| pushes(case, change, true));
    }
    bench.case("a repository pulls one model", pulls);
    bench.case("a model was deleted while another repository had all", deletions);
    bench.case("models that lie in one another", nested);
    bench.case("scoped and full calls take turns", turns);
    None
}

/// Everything, pushed at once.
fn everything(case: &mut Case<'_>) -> Result<Repository, Wrong> {
    let mut all = holding(&ALL);
    pushed(case.push_all(&mut all))?;
    Ok(all)
}

fn fresh(case: &mut Case<'_>) -> Result<Files, Wrong> {
    let steps = std::mem::take(&mut case.last);
    let mut fresh = Repository::new();
    pulled(case.pull_all(&mut fresh))?;
    // What went before is what counts.
    case.last = steps;
    Ok(fresh.files().clone())
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
    same(OUTSIDE, all.files(), &fresh(case)?)
}

fn pulls(case: &mut Case<'_>) -> Result<(), Wrong> {
    let all = everything(case)?;
    let mut worker = Repository::new();
    let (_, end) = pulled(case.pull(&mut worker, WEB))?;
    let expected: Files =
        all.files().iter().filter(|(path, _)| path.as_str().starts_with("data/t/web/")).map(|(a, b)| (a.clone(), b.clone())).collect();
    same("a scoped pull brings everything under its scope", &expected, &end.brought)
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
        Some(path) => Err(Wrong::new("a scoped pull deletes nothing outside of its scope", format!("It deletes {path}"))),
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
    same("a scoped pull brings everything under its scope", both.files(), puller.files())?;
    write(&mut puller, "data/t/a/b/x", "changed");
    delete(&mut puller, "data/t/a/y");
    pushed(case.push(&mut puller, "t/a"))?;
    same("a fresh pull brings what was pushed", puller.files(), &fresh(case)?)?;
    pulled(case.pull(&mut inner, "t/a/b"))?;
    same("a scoped pull brings everything under its scope", puller.files(), inner.files())
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
    same("scoped and full calls see one another's work", all.files(), &fresh(case)?)
}
