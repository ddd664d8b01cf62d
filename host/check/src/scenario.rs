use lockkeeper_names::{CachePath, ModelId, NameError, Root, Scope};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::repository::{Files, Repository};
use crate::subject::Subject;
use crate::world::World;

/// What the remote holds when a scenario begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// Nothing.
    Empty,
    /// Both scopes, pushed before by those who push again.
    Both,
    /// A third scope, which has to stay as it is.
    Third,
    /// All three; one of the two pushes deletes a file.
    Deletion,
}

impl Start {
    /// All of them, the simplest first.
    pub const ALL: [Self; 4] = [Self::Empty, Self::Both, Self::Third, Self::Deletion];

    /// Its name in a replay text.
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Both => "both",
            Self::Third => "third",
            Self::Deletion => "deletion",
        }
    }
}

/// The models of the scenarios. One name begins like the other, and all are of one type.
const MODELS: [&str; 3] = ["app/web", "app/web-2", "app/db"];
/// The files of a model, the first ones of them.
const NAMES: [&str; 3] = ["state.json", "deep/log.txt", "empty"];

/// Two repositories with something to push, and a remote.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(crate) world: World,
    /// The two that push.
    pub(crate) repositories: [Repository; 2],
    /// Their scopes, if the subject takes any.
    pub(crate) scopes: [Option<Scope>; 2],
    /// What the remote holds of each model before.
    pub(crate) before: [Files; 3],
    /// What it has to hold of each model in the end.
    pub(crate) after: [Files; 3],
}

/// Why a scenario could not be set up: an ordinary push failed.
#[derive(Debug, Clone)]
pub(crate) struct SetupFailed {
    pub(crate) failure: Failure,
}

impl From<NameError> for SetupFailed {
    fn from(error: NameError) -> Self {
        Self { failure: Failure::Setup(error.to_string()) }
    }
}

/// The scope of one of the three models.
pub(crate) fn scope(model: usize) -> Result<Scope, NameError> {
    let name = MODELS.get(model).copied().unwrap_or_default();
    Ok(Scope::new(&Root::parse("data")?, &ModelId::parse(name)?))
}

fn path(model: usize, name: &str) -> Result<CachePath, NameError> {
    CachePath::parse(&format!("{}{name}", scope(model)?))
}

impl Setup {
    /// Prepares a remote and two repositories with so many files each.
    pub(crate) fn new(subject: &Subject, start: Start, files: usize, seed: u64) -> Result<Self, SetupFailed> {
        let mut world = World::new(subject, seed);
        let passed = |model| scope(model).map(|scope| Some(scope).filter(|_| subject.scoped_sync()));
        let scopes = [passed(0)?, passed(1)?];
        let mut repositories = [Repository::new(), Repository::new()];
        let mut before: [Files; 3] = Default::default();

        let mut push = |repository: &mut Repository, scope: Option<&Scope>| match world
            .push(subject, repository, scope)
            .map(|end| end.result)
        {
            Some(Ok(_)) => Ok(()),
            Some(Err(failure)) => Err(SetupFailed { failure }),
            None => Err(SetupFailed { failure: Failure::Stuck }),
        };
        if matches!(start, Start::Third | Start::Deletion) {
            let mut third = Repository::new();
            for name in NAMES.iter().take(files) {
                third.write(&path(2, name)?, format!("third {name}"));
            }
            push(&mut third, passed(2)?.as_ref())?;
            before[2] = third.files().clone();
        }
        if matches!(start, Start::Both | Start::Deletion) {
            for (model, (repository, scope)) in repositories.iter_mut().zip(&scopes).enumerate() {
                for name in NAMES.iter().take(files) {
                    repository.write(&path(model, name)?, format!("first {name} of {model}"));
                }
                push(repository, scope.as_ref())?;
            }
            before[0] = repositories[0].files().clone();
            before[1] = repositories[1].files().clone();
        }
        for (model, repository) in repositories.iter_mut().enumerate() {
            for (number, name) in NAMES.iter().take(files).enumerate() {
                // The last name is that of an empty file, to begin with.
                let content = if *name == "empty" && before[0].is_empty() {
                    String::new()
                } else {
                    format!("second {name} of {model}, and longer")
                };
                if start == Start::Deletion && model == 0 && number == 0 {
                    repository.delete(&path(model, name)?);
                } else {
                    repository.write(&path(model, name)?, content);
                }
            }
            if start != Start::Empty && files > 1 {
                repository.write(&path(model, "new")?, format!("new of {model}"));
            }
        }
        let after = [repositories[0].files().clone(), repositories[1].files().clone(), before[2].clone()];
        Ok(Self { world, repositories, scopes, before, after })
    }

    /// What the remote has to hold when these of the two have pushed.
    pub(crate) fn expected(&self, pushed: [bool; 2]) -> Files {
        let [before_a, before_b, third] = &self.before;
        let [after_a, after_b, _] = &self.after;
        let mut files = third.clone();
        files.extend(if pushed[0] { after_a.clone() } else { before_a.clone() });
        files.extend(if pushed[1] { after_b.clone() } else { before_b.clone() });
        files
    }
}
