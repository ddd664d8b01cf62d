//! Random trees: pushed, changed, pushed again, pulled into an empty cache and into one that lags behind.

use super::case::{Case, Wrong, holding, pulled, pushed, same, write};
use super::cases::Cases;
use super::trees::Trees;
use crate::failure::Failure;
use crate::repository::{Files, Repository};

const MODELS: [&str; 4] = ["aws-ec2/web", "aws-ec2/web-2", "@org/aws/ec2/web", "db/main"];
/// How many trees are tried, and how often each is changed.
const TREES: u64 = 12;
const ROUNDS: usize = 3;
const LARGE: usize = (4 << 20) + 1;

pub(super) fn cases(cases: &mut Cases<'_, '_>) {
    let seed = cases.bench.options.seed;
    for tree in 0..TREES {
        let name = format!("tree-{tree}");
        if !cases
            .case(&name, &format!("random tree {tree} of seed {seed}"), |case| random_tree(case, seed, tree))
        {
            return;
        }
    }
    cases.case("control-characters", "names with control characters in them", control_characters);
    cases.case("large", "a large file and an empty one", large_and_empty);
}

fn random_tree(case: &mut Case<'_>, seed: u64, tree: u64) -> Result<(), Wrong> {
    let mut trees = Trees::new(seed.wrapping_mul(TREES).wrapping_add(tree), &MODELS);
    let (mut here, mut behind) = (Repository::new(), Repository::new());
    for round in 0..ROUNDS {
        trees.change(&mut here, 12, round == 0 && tree.is_multiple_of(4));
        if tree.is_multiple_of(2) {
            for model in MODELS {
                push_model(case, &mut here, model)?;
            }
        }
        if !here.changes(None).is_empty() {
            pushed(case.push_all(&mut here))?;
        }
        let found = case.fresh()?;
        same("a fresh pull", here.files(), &found)?;
        pulled(case.pull_all(&mut behind))?;
        same("a pull by a repository that lagged behind", &with_kept(&behind, &here), behind.files())?;
    }
    Ok(())
}

/// A scope that holds no change is not pushed, as the host does it.
fn push_model(case: &mut Case<'_>, repository: &mut Repository, model: &str) -> Result<(), Wrong> {
    let prefix = format!("data/{model}/");
    if repository.changes(None).iter().any(|change| change.path().as_str().starts_with(&prefix)) {
        pushed(case.push(repository, model))?;
    }
    Ok(())
}

/// What a repository has to hold that pulls after another one has pushed: the contract lets an extension that doesn't know what
/// was deleted keep silent about it.
fn with_kept(behind: &Repository, here: &Repository) -> Files {
    let mut expected = behind.files().clone();
    expected.extend(here.files().clone());
    expected
}

/// Names that the contract allows and that not every store can hold: they arrive, or they are refused and nothing happens.
fn control_characters(case: &mut Case<'_>) -> Result<(), Wrong> {
    for name in ["line\nbreak", "tab\t", "return\r", "\u{7f}\u{1}"] {
        let before = case.fresh()?;
        let mut a = Repository::new();
        pulled(case.pull_all(&mut a))?;
        write(&mut a, &format!("data/t/web/{name}"), name);
        let expected = match case.push(&mut a, "t/web") {
            Some(end) if end.result.as_ref().is_err_and(Failure::is_reported) => before,
            end => {
                pushed(end)?;
                a.files().clone()
            }
        };
        let found = case.fresh()?;
        same("a fresh pull", &expected, &found)?;
    }
    Ok(())
}

fn large_and_empty(case: &mut Case<'_>) -> Result<(), Wrong> {
    let large: Vec<u8> = (0..LARGE).map(|n| (n % 251) as u8).collect();
    let mut a = holding(&[("data/t/web/large", large.as_slice()), ("data/t/web/empty", &[])]);
    pushed(case.push(&mut a, "t/web"))?;
    let mut fresh = Repository::new();
    pulled(case.pull(&mut fresh, "t/web"))?;
    same("a fresh pull", a.files(), fresh.files())
}
