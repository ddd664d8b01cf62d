//! What the cases share: worlds, calls, and a place for what they find.

use std::time::Instant;

use lockkeeper_names::{CachePath, ModelId, Root, Scope};

use super::judge::Wrong;
use crate::report::{Explored, Finding, Outcome, Step, SuiteReport};
use crate::repository::Repository;
use crate::run::{Actor, End, run};
use crate::schedule::Schedule;
use crate::subject::Subject;
use crate::world::World;

/// Where the cases of a suite run.
pub(super) struct Bench<'a> {
    pub(super) subject: &'a Subject,
    pub(super) seed: u64,
    deadline: Instant,
    calls: u64,
    cases: u64,
    stopped: bool,
    late: bool,
    findings: Vec<Finding>,
    notes: Vec<String>,
    counted: Vec<Explored>,
}

/// What a case works with: a world, and what was done last in it.
pub(super) struct Case<'a> {
    subject: &'a Subject,
    pub(super) world: World,
    pub(super) calls: u64,
    pub(super) last: Vec<Step>,
}

impl<'a> Bench<'a> {
    pub(super) fn new(subject: &'a Subject, seed: u64, deadline: Instant) -> Self {
        Self {
            subject,
            seed,
            deadline,
            calls: 0,
            cases: 0,
            stopped: false,
            late: false,
            findings: Vec::new(),
            notes: Vec::new(),
            counted: Vec::new(),
        }
    }

    /// Runs one case in a world of its own; false if the suite should go no further.
    pub(super) fn case(&mut self, situation: &str, case: impl FnOnce(&mut Case<'a>) -> Result<(), Wrong>) -> bool {
        self.case_of(self.subject, situation, case)
    }

    /// Runs one case with the extension set up in another way.
    pub(super) fn case_of<'b>(
        &mut self,
        subject: &'b Subject,
        situation: &str,
        case: impl FnOnce(&mut Case<'b>) -> Result<(), Wrong>,
    ) -> bool {
        if self.stopped {
            return false;
        }
        if Instant::now() > self.deadline {
            self.late = true;
            return false;
        }
        let mut at = Case { subject, world: World::new(subject, self.seed), calls: 0, last: Vec::new() };
        self.cases += 1;
        let result = case(&mut at);
        self.calls += at.calls;
        if let Err(wrong) = result {
            self.stopped = wrong.hopeless;
            self.findings.push(Finding {
                rule: wrong.rule,
                what: wrong.what,
                situation: situation.to_owned(),
                replay: None,
                preemptions: None,
                found_after: None,
                steps: at.last,
            });
        }
        !self.stopped
    }

    pub(super) fn note(&mut self, note: impl Into<String>) {
        let note = note.into();
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    pub(super) fn count(&mut self, count: u64, what: &str) {
        match self.counted.iter_mut().find(|it| it.what == what) {
            Some(counted) => counted.count += count,
            None => self.counted.push(Explored::new(count, what)),
        }
    }

    pub(super) fn scope(&self, model: &str) -> Option<Scope> {
        scope(self.subject, model)
    }

    pub(super) fn report(self, suite: &str, began: Instant) -> SuiteReport {
        let outcome = match (self.findings.is_empty(), self.late) {
            (false, _) => Outcome::Broken,
            (true, true) => Outcome::Unfinished,
            (true, false) => Outcome::Held,
        };
        let mut explored = vec![Explored::new(self.cases, "cases"), Explored::new(self.calls, "calls")];
        explored.extend(self.counted);
        SuiteReport {
            suite: suite.to_owned(),
            outcome,
            explored,
            findings: self.findings,
            notes: self.notes,
            duration_ms: began.elapsed().as_secs_f64() * 1000.0,
        }
    }
}

impl Case<'_> {
    /// Pushes what a repository changed, under a model's scope if there are scopes.
    pub(super) fn push(&mut self, repository: &mut Repository, model: &str) -> Option<End> {
        self.call(repository, |it, scope| Actor::push(it, scope), scope(self.subject, model))
    }

    pub(super) fn push_all(&mut self, repository: &mut Repository) -> Option<End> {
        self.call(repository, |it, scope| Actor::push(it, scope), None)
    }

    pub(super) fn pull(&mut self, repository: &mut Repository, model: &str) -> Option<End> {
        self.call(repository, |it, scope| Actor::pull(it, scope), scope(self.subject, model))
    }

    pub(super) fn pull_all(&mut self, repository: &mut Repository) -> Option<End> {
        self.call(repository, |it, scope| Actor::pull(it, scope), None)
    }

    fn call(
        &mut self,
        repository: &mut Repository,
        actor: impl FnOnce(Repository, Option<&Scope>) -> Actor,
        scope: Option<Scope>,
    ) -> Option<End> {
        self.calls += 1;
        let actor = actor(std::mem::take(repository), scope.as_ref());
        let mut done = run(self.subject, &mut self.world, vec![actor], &Schedule::default());
        let end = done.ends.pop()?;
        *repository = end.repository.clone();
        self.last = done.events.iter().map(Step::from).collect();
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
    // The paths are this crate's own.
    if let Ok(path) = CachePath::parse(path) {
        repository.write(&path, content.as_ref());
    }
}

pub(super) fn delete(repository: &mut Repository, path: &str) {
    if let Ok(path) = CachePath::parse(path) {
        repository.delete(&path);
    }
}
