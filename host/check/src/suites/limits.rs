//! Many files and large ones, within what a call may use.

use super::case::{Case, Wrong, holding, pulled, pushed, same, write};
use super::cases::Cases;
use crate::repository::Repository;

const MANY: usize = 600;
const LARGE: usize = 2 << 20;

pub(super) fn cases(cases: &mut Cases<'_, '_>) {
    cases.case("many", &format!("a model of {MANY} files"), |case| {
        let mut a = Repository::new();
        (0..MANY).for_each(|n| write(&mut a, &format!("data/t/web/{}/{n}", n % 7), format!("content {n}")));
        both_ways(case, a)
    });
    cases.case("large", &format!("a file of {} MiB", LARGE >> 20), |case| {
        let large: Vec<u8> = (0..LARGE).map(|n| (n % 253) as u8).collect();
        both_ways(case, holding(&[("data/t/web/large", large)]))
    });
}

fn both_ways(case: &mut Case<'_>, mut a: Repository) -> Result<(), Wrong> {
    pushed(case.push(&mut a, "t/web"))?;
    let mut fresh = Repository::new();
    pulled(case.pull(&mut fresh, "t/web"))?;
    same("a fresh pull", a.files(), fresh.files())
}
