//! Many files and large ones, within what a call may use.

use super::bench::{Bench, Case, holding, write};
use super::judge::{Wrong, pulled, pushed, same};
use crate::repository::Repository;

const MANY: usize = 1_500;
const LARGE: usize = 24 << 20;

pub(super) fn run(bench: &mut Bench<'_>) -> Option<String> {
    let mut most = 0;
    let go_on = bench.case(&format!("a model of {MANY} files"), |case| {
        let mut a = Repository::new();
        (0..MANY).for_each(|n| write(&mut a, &format!("data/t/web/{}/{n}", n % 7), format!("content {n}")));
        most = both_ways(case, a)?;
        Ok(())
    });
    if go_on {
        bench.case(&format!("a file of {} MiB", LARGE >> 20), |case| {
            let large: Vec<u8> = (0..LARGE).map(|n| (n % 253) as u8).collect();
            most = most.max(both_ways(case, holding(&[("data/t/web/large", large)]))?);
            Ok(())
        });
    }
    bench.count(most / 1_000_000, "million instructions at most in a call");
    None
}

fn both_ways(case: &mut Case<'_>, mut a: Repository) -> Result<u64, Wrong> {
    let end = case.push(&mut a, "t/web");
    let took = end.as_ref().map_or(0, |end| end.instructions);
    pushed(end)?;
    let mut fresh = Repository::new();
    let (_, end) = pulled(case.pull(&mut fresh, "t/web"))?;
    same("a fresh pull brings what was pushed", a.files(), fresh.files())?;
    Ok(took.max(end.instructions))
}
