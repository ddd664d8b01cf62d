//! Random trees: pushed, changed, pushed again, pulled into an empty cache and into one that lags behind.

use super::bench::{Bench, Case, holding};
use super::judge::{Wrong, pulled, pushed, same};
use super::trees::Trees;
use crate::repository::{Files, Repository};

const MODELS: [&str; 4] = ["aws-ec2/web", "aws-ec2/web-2", "@org/aws/ec2/web", "db/main"];
/// How many trees are tried, and how often each is changed.
const TREES: u64 = 12;
const ROUNDS: usize = 3;
const LARGE: usize = (4 << 20) + 1;

pub(super) fn run(bench: &mut Bench<'_>) -> Option<String> {
    for tree in 0..TREES {
        let seed = bench.seed.wrapping_add(tree);
        let mut lagging = false;
        let mut files = 0;
        let go_on = bench.case(&format!("the random tree {seed}"), |case| {
            let (moved, lags) = random_tree(case, seed)?;
            (files, lagging) = (moved, lags);
            Ok(())
        });
        bench.count(files, "files");
        if lagging {
            bench.note("a deletion does not reach a repository that has the file: its pulls call no `host.delete`");
        }
        if !go_on {
            return None;
        }
    }
    bench.case("a large file and an empty one", large_and_empty);
    None
}

fn random_tree(case: &mut Case<'_>, seed: u64) -> Result<(u64, bool), Wrong> {
    let mut trees = Trees::new(seed, &MODELS);
    let (mut here, mut behind) = (Repository::new(), Repository::new());
    let (mut files, mut lagging) = (0, false);
    for round in 0..ROUNDS {
        trees.change(&mut here, 12, round == 0 && seed.is_multiple_of(4));
        if seed % 2 == 0 {
            for model in MODELS {
                push_model(case, &mut here, model)?;
            }
        }
        let report = pushed(case.push_all(&mut here))?;
        files += report.files;
        let mut fresh = Repository::new();
        pulled(case.pull_all(&mut fresh))?;
        same("a fresh pull brings what was pushed", here.files(), fresh.files())?;
        let (_, end) = pulled(case.pull_all(&mut behind))?;
        let changed = end.brought.len();
        lagging |= lags(&mut behind, &here)?;
        files += changed as u64;
    }
    Ok((files, lagging))
}

/// A scope that holds no change is not pushed, as the host does it.
fn push_model(case: &mut Case<'_>, repository: &mut Repository, model: &str) -> Result<(), Wrong> {
    let prefix = format!("data/{model}/");
    if repository.changes(None).iter().any(|change| change.path().as_str().starts_with(&prefix)) {
        pushed(case.push(repository, model))?;
    }
    Ok(())
}

/// Compares a repository that has pulled with the one that pushed; whether only deletions did not arrive.
fn lags(behind: &mut Repository, here: &Repository) -> Result<bool, Wrong> {
    let expected: Files = here.files().clone();
    let kept: Vec<_> = behind.files().keys().filter(|path| !expected.contains_key(*path)).cloned().collect();
    kept.iter().for_each(|path| behind.delete(path));
    same("a repository that lags behind catches up by a pull", &expected, behind.files())?;
    Ok(!kept.is_empty())
}

fn large_and_empty(case: &mut Case<'_>) -> Result<(), Wrong> {
    let large: Vec<u8> = (0..LARGE).map(|n| (n % 251) as u8).collect();
    let mut a = holding(&[("data/t/web/large", large.as_slice()), ("data/t/web/empty", &[])]);
    pushed(case.push(&mut a, "t/web"))?;
    let mut fresh = Repository::new();
    pulled(case.pull(&mut fresh, "t/web"))?;
    same("a fresh pull brings what was pushed", a.files(), fresh.files())
}
