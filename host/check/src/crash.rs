//! A push that is killed at any instant, with and without a power loss; then both scopes are pushed again.

use std::collections::HashMap;

use lockkeeper_sandbox::stepped::{Loss, Operation};

use crate::bench::{Bench, Outcome, generous};
use crate::failure::Failure;
use crate::finding::{Finding, Replay, Rule, SuiteName, Violation, rows};
use crate::interleave::{FILES, points};
use crate::judge::{holds, push_again, readable};
use crate::run::{Actor, Run};
use crate::scenario::{Setup, SetupFailed, Start};
use crate::schedule::{Schedule, Strike, Turn};
use crate::subject::Subject;
use crate::world::World;

/// The remotes that a push is killed over.
const STARTS: [Start; 3] = [Start::Both, Start::Deletion, Start::Empty];

/// A push of the first scope, alone or with one of the second scope half way.
struct Exploration {
    start: Start,
    files: usize,
    setup: Setup,
    /// States that were judged already: the remote, the pusher's own state, and who had finished.
    judged: HashMap<(u64, u64, [bool; 2]), Result<(), Violation>>,
}

impl Exploration {
    fn new(subject: &Subject, start: Start, files: usize, seed: u64) -> Result<Self, SetupFailed> {
        Ok(Self { start, files, setup: Setup::new(subject, start, files, seed)?, judged: HashMap::new() })
    }

    /// The second guest takes part only if the schedule names it.
    fn try_schedule(&mut self, bench: &mut Bench<'_>, schedule: &Schedule) -> (Run, Result<(), Violation>) {
        let mut world = self.setup.world.clone();
        let [a, b] = &self.setup.repositories;
        let [scope_a, scope_b] = &self.setup.scopes;
        let mut actors = vec![Actor::push(a.clone(), scope_a.as_ref())];
        if schedule.0.iter().any(|turn| turn.guest == 1) {
            actors.push(Actor::push(b.clone(), scope_b.as_ref()));
        }
        let run = bench.run(&mut world, actors, schedule);
        let verdict = self.judge(bench, &world, &run);
        (run, verdict)
    }

    fn judge(&mut self, bench: &mut Bench<'_>, world: &World, run: &Run) -> Result<(), Violation> {
        for (who, end) in ["a", "b"].into_iter().zip(&run.ends) {
            match &end.result {
                Ok(_) | Err(Failure::Killed | Failure::Retry(_)) => {}
                Err(failure) => {
                    return Err(Violation::new(
                        Rule::PushFailed,
                        format!("{who} fails: {failure}"),
                        Vec::new(),
                    ));
                }
            }
        }
        let done = [0, 1].map(|number| run.ends.get(number).is_some_and(|end| end.result.is_ok()));
        let state = run
            .ends
            .first()
            .map_or(0, |end| end.repository.state(self.setup.scopes[0].as_ref()).fingerprint());
        let key = (world.fingerprint(), state, done);
        if let Some(known) = self.judged.get(&key) {
            return known.clone();
        }
        let verdict = self.goes_on(bench.subject, world, run, done);
        self.judged.insert(key, verdict.clone());
        verdict
    }

    /// After a crash a reader gets old or new, and both scopes can be pushed, in either order.
    fn goes_on(&self, subject: &Subject, world: &World, run: &Run, done: [bool; 2]) -> Result<(), Violation> {
        let after = |text: &'static str| {
            move |violation: Violation| Violation { text: format!("{text}{}", violation.text), ..violation }
        };
        readable(subject, world, &self.setup, done).map_err(after("after a was killed, "))?;
        let a = run.ends.first().map_or(&self.setup.repositories[0], |end| &end.repository);
        let b = run.ends.get(1).map_or(&self.setup.repositories[1], |end| &end.repository);
        let [scope_a, scope_b] = &self.setup.scopes;
        let expected = self.setup.expected([true, true]);

        let (mut same_first, mut again, mut other) = (world.clone(), a.clone(), b.clone());
        let first = "after a was killed, and pushed again, ";
        push_again(subject, &mut same_first, &mut again, scope_a.as_ref(), "a")
            .map_err(after("after a was killed, "))?;
        push_again(subject, &mut same_first, &mut other, scope_b.as_ref(), "b").map_err(after(first))?;
        holds(subject, &same_first, &self.setup, &expected)
            .map_err(after("after a was killed and both pushed again, "))?;

        let (mut other_first, mut again, mut other) = (world.clone(), a.clone(), b.clone());
        push_again(subject, &mut other_first, &mut other, scope_b.as_ref(), "b")
            .map_err(after("after a was killed, "))?;
        readable(subject, &other_first, &self.setup, [done[0], true])
            .map_err(after("after a was killed and b pushed, "))?;
        push_again(subject, &mut other_first, &mut again, scope_a.as_ref(), "a")
            .map_err(after("after a was killed and b pushed, "))?;
        holds(subject, &other_first, &self.setup, &expected)
            .map_err(after("after a was killed and both pushed again, "))
    }

    fn finding(&self, bench: &Bench<'_>, schedule: &Schedule, run: &Run, violation: Violation) -> Finding {
        let scope = |number: usize| {
            let scope = self.setup.scopes.get(number).and_then(Option::as_ref);
            scope.map_or_else(|| "everything".to_owned(), ToString::to_string)
        };
        let mut guests = vec![format!("a pushes {}", scope(0))];
        if run.ends.len() > 1 {
            guests.push(format!("b pushes {}", scope(1)));
        }
        Finding {
            suite: SuiteName::Crash,
            violation,
            replay: Some(Replay {
                suite: SuiteName::Crash,
                scenario: self.start.name().to_owned(),
                files: self.files,
                seed: bench.options.seed,
                schedule: schedule.clone(),
            }),
            guests,
            preemptions: schedule.preemptions(),
            rows: rows(&run.events),
        }
    }
}

/// The instants of a push at which to strike: a kill is different from the one before only if something was written in between.
fn strikes(subject: &Subject, operations: &[&Operation]) -> Vec<(usize, Strike)> {
    // The power of a real server does not fail here.
    let loses_power = subject.settings().servers.is_empty();
    let mut found = Vec::new();
    for at in 0..=operations.len() {
        let before = at.checked_sub(1).and_then(|before| operations.get(before));
        let next = operations.get(at);
        if at < operations.len() && before.is_none_or(|operation| operation.writes()) {
            found.push((at, Strike::Kill));
        }
        if loses_power && before.is_some_and(|operation| operation.writes()) {
            found.push((at, Strike::PowerLoss(Loss::Content)));
            found.push((at, Strike::PowerLoss(Loss::Journal)));
        }
        if next.is_some_and(|operation| operation.tearable) {
            found.push((at, Strike::Tear));
        }
    }
    found
}

fn explore(bench: &mut Bench<'_>, starts: &[Start], files: usize) -> Result<Option<Finding>, String> {
    let mut explorations = Vec::new();
    for start in starts {
        let mut exploration = match Exploration::new(bench.subject, *start, files, bench.options.seed) {
            Ok(exploration) => exploration,
            Err(SetupFailed { failure }) => {
                let text = format!("an ordinary push, with nobody else at work, fails: {failure}");
                return Ok(Some(Finding {
                    suite: bench.suite,
                    violation: Violation::new(Rule::PushFailed, text, Vec::new()),
                    replay: None,
                    guests: Vec::new(),
                    preemptions: 0,
                    rows: Vec::new(),
                }));
            }
        };
        let (alone, verdict) = exploration.try_schedule(bench, &Schedule::default());
        if let Err(violation) = verdict {
            return Ok(Some(exploration.finding(bench, &Schedule::default(), &alone, violation)));
        }
        let most = alone.ends.iter().map(|end| end.instructions).max().unwrap_or_default();
        exploration.setup.world.instructions = generous(most, bench.subject.settings().instructions);
        let operations: Vec<&Operation> = alone.events.iter().map(|event| &event.operation).collect();
        for (at, strike) in strikes(bench.subject, &operations) {
            if bench.is_over() {
                return Err("the budget ended among the crash points of one push".to_owned());
            }
            let schedule = Schedule(vec![Turn { guest: 0, steps: Some(at), strike: Some(strike) }]);
            bench.counts.crash_points += 1;
            let (run, verdict) = exploration.try_schedule(bench, &schedule);
            if let Err(violation) = verdict {
                return Ok(Some(exploration.finding(bench, &schedule, &run, violation)));
            }
        }
        explorations.push(exploration);
    }
    if !bench.subject.scoped_sync() {
        return Ok(None);
    }
    for exploration in &mut explorations {
        if let Some(finding) = while_another_pushes(bench, exploration)? {
            return Ok(Some(finding));
        }
    }
    Ok(None)
}

/// One guest is killed while another one is half way.
fn while_another_pushes(
    bench: &mut Bench<'_>,
    exploration: &mut Exploration,
) -> Result<Option<Finding>, String> {
    let (both, _) = exploration.try_schedule(bench, &Schedule(vec![Turn::all(1)]));
    for steps in points(&both, 1) {
        let half = Turn::of(1, steps);
        let (run, _) = exploration.try_schedule(bench, &Schedule(vec![half, Turn::all(0)]));
        let own: Vec<&Operation> =
            run.events.iter().filter(|event| event.guest == 0).map(|event| &event.operation).collect();
        for (at, strike) in
            strikes(bench.subject, &own).into_iter().filter(|(_, strike)| matches!(strike, Strike::Kill))
        {
            if bench.is_over() {
                return Err("the budget ended among the crash points while another one pushes".to_owned());
            }
            let schedule =
                Schedule(vec![half, Turn { guest: 0, steps: Some(at), strike: Some(strike) }, Turn::all(1)]);
            bench.counts.crash_points += 1;
            let (run, verdict) = exploration.try_schedule(bench, &schedule);
            if let Err(violation) = verdict {
                return Ok(Some(exploration.finding(bench, &schedule, &run, violation)));
            }
        }
    }
    Ok(None)
}

/// Runs the suite.
pub(crate) fn crash(bench: &mut Bench<'_>) -> Outcome {
    match explore(bench, &STARTS, FILES) {
        Ok(None) => Outcome::Held,
        Err(why) => Outcome::HeldSoFar(why),
        Ok(Some(finding)) => {
            let finding = smaller(bench, finding);
            bench.found(finding);
            Outcome::Broken
        }
    }
}

/// Looks for the same violation with fewer files.
fn smaller(bench: &mut Bench<'_>, finding: Finding) -> Finding {
    let Some(start) = finding.replay.as_ref().and_then(|replay| start_named(&replay.scenario)) else {
        return finding;
    };
    for files in 1..FILES {
        if let Ok(Some(small)) = explore(bench, &[start], files)
            && small.replay.is_some()
            && small.violation.rule == finding.violation.rule
        {
            return small;
        }
    }
    finding
}

fn start_named(name: &str) -> Option<Start> {
    Start::ALL.into_iter().find(|start| start.name() == name)
}

/// Repeats a run of this suite.
pub(crate) fn replay(bench: &mut Bench<'_>, replay: &Replay) -> Result<Option<Finding>, String> {
    let start =
        start_named(&replay.scenario).ok_or_else(|| format!("there is no scenario `{}`", replay.scenario))?;
    let mut exploration = Exploration::new(bench.subject, start, replay.files, replay.seed)
        .map_err(|SetupFailed { failure }| format!("an ordinary push fails: {failure}"))?;
    let (run, verdict) = exploration.try_schedule(bench, &replay.schedule);
    Ok(verdict.err().map(|violation| exploration.finding(bench, &replay.schedule, &run, violation)))
}
