//! A remote that fails: each operation of a push and of a pull in each way, once and from then on.

use std::collections::HashMap;

use lockkeeper_sandbox::stepped::{Answered, Injected, Operation};

use crate::bench::{Bench, Outcome, generous};
use crate::failure::Failure;
use crate::finding::{Finding, Replay, Rule, SuiteName, Violation, rows};
use crate::interleave::FILES;
use crate::judge::{compare, holds, push_again, readable};
use crate::repository::Repository;
use crate::run::{Actor, End, Errand, Run};
use crate::scenario::{Setup, SetupFailed, Start};
use crate::schedule::{Schedule, Strike, Turn};
use crate::subject::Subject;
use crate::world::World;

const SCENARIOS: [(Start, Errand); 3] =
    [(Start::Deletion, Errand::Push), (Start::Empty, Errand::Push), (Start::Deletion, Errand::Pull)];

struct Exploration {
    start: Start,
    errand: Errand,
    files: usize,
    setup: Setup,
    alone: Option<Answered>,
    judged: HashMap<(u64, u64, bool), Result<(), Violation>>,
}

fn name(start: Start, errand: Errand) -> String {
    match errand {
        Errand::Push => format!("{}-push", start.name()),
        Errand::Pull => format!("{}-pull", start.name()),
    }
}

impl Exploration {
    fn new(
        subject: &Subject,
        (start, errand): (Start, Errand),
        files: usize,
        seed: u64,
    ) -> Result<Self, SetupFailed> {
        let setup = Setup::new(subject, start, files, seed)?;
        Ok(Self { start, errand, files, setup, alone: None, judged: HashMap::new() })
    }

    fn try_schedule(&mut self, bench: &mut Bench<'_>, schedule: &Schedule) -> (Run, Result<(), Violation>) {
        let mut world = self.setup.world.clone();
        let scope = self.setup.scopes[0].as_ref();
        let actor = match self.errand {
            Errand::Push => Actor::push(self.setup.repositories[0].clone(), scope),
            Errand::Pull => Actor::pull(Repository::new(), scope),
        };
        let run = bench.run(&mut world, vec![actor], schedule);
        let verdict = match run.ends.first() {
            Some(end) => self.judge(bench.subject, &world, end),
            None => Ok(()),
        };
        (run, verdict)
    }

    fn judge(&mut self, subject: &Subject, world: &World, end: &End) -> Result<(), Violation> {
        match &end.result {
            Ok(answer) if self.errand == Errand::Push && self.alone.is_some_and(|alone| alone != *answer) => {
                let text = format!("it reports {answer:?}, and without the fault {:?}", self.alone);
                return Err(Violation::new(Rule::Contract, text, Vec::new()));
            }
            Ok(_) => {}
            Err(failure) if failure.is_reported() || matches!(failure, Failure::Denied(_)) => {}
            Err(failure) => {
                let text = format!("it doesn't end with an error that says what failed: {failure}");
                return Err(Violation::new(Rule::Unclear, text, Vec::new()));
            }
        }
        let done = end.result.is_ok();
        if self.errand == Errand::Pull {
            return if done { self.brought_everything(end) } else { Ok(()) };
        }
        let state = end.repository.state(self.setup.scopes[0].as_ref()).fingerprint();
        let key = (world.fingerprint(), state, done);
        if let Some(known) = self.judged.get(&key) {
            return known.clone();
        }
        let verdict = self.goes_on(subject, world, end, done);
        self.judged.insert(key, verdict.clone());
        verdict
    }

    /// A pull that says it succeeded brought what it brings without a fault.
    fn brought_everything(&self, end: &End) -> Result<(), Violation> {
        let scope = self.setup.scopes[0].as_ref();
        let mut expected = self.setup.expected([false, false]);
        expected.retain(|path, _| scope.is_none_or(|scope| scope.contains(path)));
        compare(end.repository.files(), &expected).map_err(|violation| Violation {
            text: violation.text.replacen("a fresh pull", "it says that it succeeded, and", 1),
            ..violation
        })
    }

    /// When the remote works again, everything can be pushed and nothing is missing.
    fn goes_on(&self, subject: &Subject, world: &World, end: &End, done: bool) -> Result<(), Violation> {
        let after = |text: &'static str| {
            move |violation: Violation| Violation { text: format!("{text}{}", violation.text), ..violation }
        };
        let said = if done { "it says that it succeeded, but " } else { "after it reported an error, " };
        readable(subject, world, &self.setup, [done, false]).map_err(after(said))?;
        let (mut world, mut again) = (world.clone(), end.repository.clone());
        let [scope_a, scope_b] = &self.setup.scopes;
        push_again(subject, &mut world, &mut again, scope_a.as_ref(), "the same push")
            .map_err(after("when the remote works again, "))?;
        let mut other = self.setup.repositories[1].clone();
        push_again(subject, &mut world, &mut other, scope_b.as_ref(), "the other scope")
            .map_err(after("when the remote works again, "))?;
        holds(subject, &world, &self.setup, &self.setup.expected([true, true]))
            .map_err(after("when the remote works again and everything was pushed, "))
    }

    fn finding(&self, bench: &Bench<'_>, schedule: &Schedule, run: &Run, violation: Violation) -> Finding {
        let scope =
            self.setup.scopes[0].as_ref().map_or_else(|| "everything".to_owned(), ToString::to_string);
        let does = match self.errand {
            Errand::Push => format!("a pushes {scope}"),
            Errand::Pull => format!("a pulls {scope} into an empty cache"),
        };
        Finding {
            suite: SuiteName::Fault,
            violation,
            replay: Some(Replay {
                suite: SuiteName::Fault,
                scenario: name(self.start, self.errand),
                files: self.files,
                seed: bench.options.seed,
                schedule: schedule.clone(),
            }),
            guests: vec![does],
            preemptions: 0,
            rows: rows(&run.events),
        }
    }
}

/// What to make fail: each operation once in each way, then everything from it on in the way that is likeliest to pass.
fn strikes(operations: &[&Operation]) -> Vec<(usize, Strike)> {
    let mut found = Vec::new();
    for (at, operation) in operations.iter().enumerate() {
        found.extend(operation.faults.iter().map(|fault| (at, Strike::Fail(*fault))));
    }
    for (at, operation) in operations.iter().enumerate() {
        let outage = operation.faults.iter().find(|fault| **fault != Injected::Hang);
        found.extend(outage.map(|fault| (at, Strike::Outage(*fault))));
    }
    found
}

fn explore(
    bench: &mut Bench<'_>,
    scenarios: &[(Start, Errand)],
    files: usize,
) -> Result<Option<Finding>, String> {
    for scenario in scenarios {
        let mut exploration = match Exploration::new(bench.subject, *scenario, files, bench.options.seed) {
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
        exploration.alone = alone.ends.first().and_then(|end| end.result.clone().ok());
        let most = alone.ends.iter().map(|end| end.instructions).max().unwrap_or_default();
        exploration.setup.world.instructions = generous(most, bench.subject.settings().instructions);
        let operations: Vec<&Operation> = alone.events.iter().map(|event| &event.operation).collect();
        for (at, strike) in strikes(&operations) {
            if bench.is_over() {
                return Err(format!("the budget ended among the faults of {}", name(scenario.0, scenario.1)));
            }
            let schedule = Schedule(vec![Turn { guest: 0, steps: Some(at), strike: Some(strike) }]);
            bench.counts.faults += 1;
            let (run, verdict) = exploration.try_schedule(bench, &schedule);
            if let Err(violation) = verdict {
                return Ok(Some(exploration.finding(bench, &schedule, &run, violation)));
            }
        }
    }
    Ok(None)
}

/// Runs the suite.
pub(crate) fn fault(bench: &mut Bench<'_>) -> Outcome {
    match explore(bench, &SCENARIOS, FILES) {
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
    let Some(scenario) = finding.replay.as_ref().and_then(|replay| scenario_named(&replay.scenario)) else {
        return finding;
    };
    for files in 1..FILES {
        if let Ok(Some(small)) = explore(bench, &[scenario], files)
            && small.replay.is_some()
            && small.violation.rule == finding.violation.rule
        {
            return small;
        }
    }
    finding
}

fn scenario_named(text: &str) -> Option<(Start, Errand)> {
    SCENARIOS.into_iter().find(|(start, errand)| name(*start, *errand) == text)
}

/// Repeats a run of this suite.
pub(crate) fn replay(bench: &mut Bench<'_>, replay: &Replay) -> Result<Option<Finding>, String> {
    let scenario = scenario_named(&replay.scenario)
        .ok_or_else(|| format!("there is no scenario `{}`", replay.scenario))?;
    let mut exploration = Exploration::new(bench.subject, scenario, replay.files, replay.seed)
        .map_err(|SetupFailed { failure }| format!("an ordinary push fails: {failure}"))?;
    let (alone, _) = exploration.try_schedule(bench, &Schedule::default());
    exploration.alone = alone.ends.first().and_then(|end| end.result.clone().ok());
    let (run, verdict) = exploration.try_schedule(bench, &replay.schedule);
    Ok(verdict.err().map(|violation| exploration.finding(bench, &replay.schedule, &run, violation)))
}
