//! Making a finding as small as it gets.

use crate::bench::{Bench, Outcome};
use crate::finding::Finding;

/// How many files a push has, unless fewer show the same.
const FILES: usize = 2;

/// Explores scenarios, and what it finds once more with fewer files.
///
/// `explore` comes back with the first finding, or says how far the budget went. It is given the finding that it is to show
/// again, if there is one, and the number of files.
pub(crate) fn explore_and_shrink<S: Copy>(
    bench: &mut Bench<'_>,
    scenarios: &[S],
    name: impl Fn(S) -> String,
    explore: impl Fn(&mut Bench<'_>, &[S], usize, Option<&Finding>) -> Result<Option<Finding>, String>,
) -> Outcome {
    let finding = match explore(bench, scenarios, FILES, None) {
        Ok(None) => return Outcome::Held,
        Err(why) => return Outcome::HeldSoFar(why),
        Ok(Some(finding)) => finding,
    };
    let shown = finding.replay.as_ref().map(|replay| &replay.scenario);
    let scenario = scenarios.iter().copied().find(|scenario| Some(&name(*scenario)) == shown);
    let smaller = scenario.and_then(|scenario| {
        (1..FILES).find_map(|files| {
            let small = explore(bench, &[scenario], files, Some(&finding)).ok()??;
            let same = small.replay.is_some()
                && small.violation.rule == finding.violation.rule
                && small.preemptions <= finding.preemptions;
            same.then_some(small)
        })
    });
    bench.found(smaller.unwrap_or(finding));
    Outcome::Broken
}
