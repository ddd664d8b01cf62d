//! What a case works with: a world of its own, calls in it, and judging what came of them.

use lockkeeper_names::{CachePath, ModelId, Root, Scope};
use lockkeeper_sandbox::stepped::Answered;
use lockkeeper_sandbox::{PullReport, PushReport};

use crate::bench::is_endless;
use crate::failure::Failure;
use crate::finding::{Rule, Violation};
use crate::judge::compare;
use crate::repository::{Files, Repository};
use crate::run::{Actor, End, Event, run};
use crate::schedule::Schedule;
use crate::subject::Subject;
use crate::world::World;

/// A world, and what was done last in it.
pub(super) struct Case<'a> {
    subject: &'a Subject,
    world: World,
    pub(super) calls: u64,
    pub(super) steps: u64,
    pub(super) last: Vec<Event>,
}

impl<'a> Case<'a> {
    pub(super) fn new(subject: &'a Subject, seed: u64) -> Self {
        Self { subject, world: World::new(subject, seed), calls: 0, steps: 0, last: Vec::new() }
    }

    /// Pushes what a repository changed, under a model's scope if there are scopes.
    pub(super) fn push(&mut self, repository: &mut Repository, model: &str) -> Option<End> {
        let scope = scope(self.subject, model);
        self.call(repository, |it| Actor::push(it, scope.as_ref()))
    }

    pub(super) fn push_all(&mut self, repository: &mut Repository) -> Option<End> {
        self.call(repository, |it| Actor::push(it, None))
    }

    pub(super) fn pull(&mut self, repository: &mut Repository, model: &str) -> Option<End> {
        let scope = scope(self.subject, model);
        self.call(repository, |it| Actor::pull(it, scope.as_ref()))
    }

    pub(super) fn pull_all(&mut self, repository: &mut Repository) -> Option<End> {
        self.call(repository, |it| Actor::pull(it, None))
    }

    /// What a repository gets that has nothing yet. What was done before that stays what was done last.
    pub(super) fn fresh(&mut self) -> Result<Files, Wrong> {
        let last = std::mem::take(&mut self.last);
        let mut fresh = Repository::new();
        pulled(self.pull_all(&mut fresh))?;
        self.last = last;
        Ok(fresh.files().clone())
    }

    fn call(&mut self, repository: &mut Repository, actor: impl FnOnce(Repository) -> Actor) -> Option<End> {
        let actor = actor(std::mem::take(repository));
        let mut done = run(self.subject, &mut self.world, vec![actor], &Schedule::default());
        let end = done.ends.pop()?;
        *repository = end.repository.clone();
        self.calls += 1;
        self.steps += done.events.len() as u64;
        self.last = done.events;
        Some(end)
    }
}

/// The scope of a model, if the extension gets any.
fn scope(subject: &Subject, model: &str) -> Option<Scope> {
    let (root, model) = (Root::parse("data").ok()?, ModelId::parse(model).ok()?);
    subject.scoped_sync().then(|| Scope::new(&root, &model))
}

/// A repository that holds these files and never synced.
pub(super) fn holding<C: AsRef<[u8]>>(files: &[(&str, C)]) -> Repository {
    let mut repository = Repository::new();
    files.iter().for_each(|(path, content)| write(&mut repository, path, content.as_ref()));
    repository
}

pub(super) fn write(repository: &mut Repository, path: &str, content: impl AsRef<[u8]>) {
    // The paths are this crate's own, and valid.
    if let Ok(path) = CachePath::parse(path) {
        repository.write(&path, content.as_ref());
    }
}

pub(super) fn delete(repository: &mut Repository, path: &str) {
    if let Ok(path) = CachePath::parse(path) {
        repository.delete(&path);
    }
}

/// A rule that did not hold.
pub(super) struct Wrong {
    pub(super) violation: Violation,
    /// Whether further cases would only find the same again, slowly.
    pub(super) hopeless: bool,
}

impl From<Violation> for Wrong {
    fn from(violation: Violation) -> Self {
        Self { violation, hopeless: false }
    }
}

impl Wrong {
    pub(super) fn contract(text: impl Into<String>) -> Self {
        Violation::new(Rule::Contract, text, Vec::new()).into()
    }

    fn call(rule: Rule, call: &str, failure: &Failure) -> Self {
        let rule = match failure {
            Failure::Unaccounted(_) => Rule::Contract,
            failure if failure.is_reported() => rule,
            _ => Rule::Unclear,
        };
        let hopeless = is_endless(failure) || matches!(failure, Failure::Trapped(_) | Failure::Setup(_));
        Self {
            violation: Violation::new(
                rule,
                format!("a {call} with nothing in its way fails: {failure}"),
                Vec::new(),
            ),
            hopeless,
        }
    }
}

/// A push that has to have succeeded.
pub(super) fn pushed(end: Option<End>) -> Result<PushReport, Wrong> {
    match end.map(|end| end.result) {
        Some(Ok(Answered::Pushed(report))) => Ok(report),
        Some(Err(failure)) => Err(Wrong::call(Rule::PushFailed, "push", &failure)),
        _ => Err(Wrong::contract("the host can't make a push")),
    }
}

/// A pull that has to have succeeded, with what it brought.
pub(super) fn pulled(end: Option<End>) -> Result<(PullReport, End), Wrong> {
    let end = end.ok_or_else(|| Wrong::contract("the host can't make a pull"))?;
    match &end.result {
        Ok(Answered::Pulled(report)) => Ok((*report, end)),
        Err(failure) => Err(Wrong::call(Rule::PullFailed, "pull", failure)),
        Ok(_) => Err(Wrong::contract("the host can't make a pull")),
    }
}

/// A call that has to have failed with an error of its own.
pub(super) fn failed(end: Option<End>, call: &str) -> Result<Failure, Wrong> {
    match end.map(|end| end.result) {
        Some(Err(failure)) if failure.is_reported() || matches!(failure, Failure::Denied(_)) => Ok(failure),
        Some(Err(failure)) => Err(Wrong::call(Rule::Unclear, call, &failure)),
        _ => Err(Wrong::contract(format!("a {call} that can't have done anything says that it succeeded"))),
    }
}

/// What a pull brought has to be exactly this.
pub(super) fn same(pull: &str, expected: &Files, found: &Files) -> Result<(), Wrong> {
    let named = |violation: Violation| Violation {
        text: violation.text.replacen("a fresh pull", pull, 1),
        ..violation
    };
    compare(found, expected).map_err(|violation| named(violation).into())
}
