//! Two guests in every order, up to so many preemptions.
//!
//! All schedules without a preemption come first, then those with one, and so on. Where to preempt is chosen from the trace of the
//! schedule with one preemption less: before an operation that conflicts with one that the other guest is still to do. With
//! one preemption, every other place is tried as well, since what conflicts is a heuristic.
//!
//! There are two rounds: one preemption where operations conflict, which finds most of what there is to find and is over at once; and,
//! after the other suites, everything.

use std::collections::{HashMap, HashSet};

use crate::bench::{Bench, Outcome, generous, is_endless};
use crate::finding::{Finding, Replay, Rule, SuiteName, Violation, rows};
use crate::judge::{compare, fresh_pull, holds, old_or_new, push_again};
use crate::run::{Actor, End, Run};
use crate::scenario::{Setup, SetupFailed, Start};
use crate::schedule::{Schedule, Turn};
use crate::subject::Subject;
use crate::world::World;
use lockkeeper_sandbox::stepped::{Answered, Area};

use crate::failure::Failure;
use crate::repository::{Files, Repository};

/// How many files each push has, unless a finding is being made smaller.
pub(crate) const FILES: usize = 2;

/// What the second guest does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Second {
    /// Pushes another scope.
    Push,
    /// Pulls the scope that is being pushed, into an empty cache.
    Pull,
    /// Pulls everything.
    PullAll,
    /// Pushes another scope, while a third guest pulls everything.
    PushAndPull,
}

impl Second {
    fn name(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::Pull => "pull",
            Self::PullAll => "pull-all",
            Self::PushAndPull => "push-and-pull",
        }
    }

    /// How many guests push; if there is a reader, it is the one after them.
    fn pushes(self) -> usize {
        match self {
            Self::Push | Self::PushAndPull => 2,
            Self::Pull | Self::PullAll => 1,
        }
    }

    /// The most preemptions that are worth their time: a third guest makes many more places for them.
    fn most_preemptions(self) -> usize {
        if self == Self::PushAndPull { 1 } else { usize::MAX }
    }
}

/// A start and two guests.
#[derive(Debug, Clone, Copy)]
struct Scenario {
    start: Start,
    second: Second,
}

const SCENARIOS: [Scenario; 9] = {
    const fn of(start: Start, second: Second) -> Scenario {
        Scenario { start, second }
    }
    [
        of(Start::Empty, Second::Push),
        of(Start::Both, Second::Push),
        of(Start::Third, Second::Push),
        of(Start::Deletion, Second::Push),
        of(Start::Both, Second::Pull),
        of(Start::Deletion, Second::Pull),
        of(Start::Empty, Second::Pull),
        of(Start::Deletion, Second::PullAll),
        of(Start::Deletion, Second::PushAndPull),
    ]
};

impl Scenario {
    fn name(self) -> String {
        format!("{}-{}", self.start.name(), self.second.name())
    }

    fn named(name: &str) -> Option<Self> {
        SCENARIOS.into_iter().find(|scenario| scenario.name() == name)
    }

    fn guests(self, setup: &Setup) -> Vec<String> {
        let scope = |scope: &Option<lockkeeper_names::Scope>| {
            scope.as_ref().map_or_else(|| "everything".to_owned(), ToString::to_string)
        };
        let mut guests = vec![format!("a pushes {}", scope(&setup.scopes[0]))];
        if self.second.pushes() == 2 {
            guests.push(format!("b pushes {}", scope(&setup.scopes[1])));
        }
        let reader = crate::schedule::letter(guests.len());
        match self.second {
            Second::Push => {}
            Second::Pull => {
                guests.push(format!("{reader} pulls {} into an empty cache", scope(&setup.scopes[0])))
            }
            Second::PullAll | Second::PushAndPull => {
                guests.push(format!("{reader} pulls everything into an empty cache"));
            }
        }
        guests
    }
}

/// A scenario that is being explored.
struct Exploration {
    scenario: Scenario,
    files: usize,
    setup: Setup,
    /// How a push of each guest ends when it is alone.
    alone: Vec<Result<Answered, Failure>>,
    /// States of the remote that were judged already.
    judged: HashMap<(u64, Vec<bool>), Result<(), Violation>>,
    seen: HashSet<Schedule>,
}

/// Where in a run a schedule could be cut, and who goes on there.
fn children(run: &Run, schedule: &Schedule, reduced: bool) -> Vec<Schedule> {
    let guests = run.ends.len();
    let mut found = Vec::new();
    // What each guest is still to do, from the end of the run backwards.
    let mut ahead: Vec<Vec<&lockkeeper_sandbox::stepped::Operation>> = vec![Vec::new(); guests];
    let from = schedule.0.len().saturating_sub(1);
    let ends: Vec<usize> =
        run.turns.iter().skip(1).map(|(_, start)| *start).chain([run.events.len()]).collect();
    for (number, event) in run.events.iter().enumerate().rev() {
        let position = ends.iter().position(|end| number < *end).unwrap_or_default();
        if position >= from
            && event.operation.area == Area::Remote
            && let Some((turn, start)) = run.turns.get(position)
            && turn.guest == event.guest
            && number > *start
        {
            for (other, operations) in ahead.iter().enumerate() {
                let conflicts = || operations.iter().any(|operation| operation.conflicts(&event.operation));
                if other == event.guest || operations.is_empty() || (reduced && !conflicts()) {
                    continue;
                }
                let mut turns: Vec<Turn> = run.turns.iter().take(position).map(|(turn, _)| *turn).collect();
                turns.push(Turn::of(event.guest, number - start));
                turns.push(Turn::all(other));
                found.push(Schedule(turns));
            }
        }
        if let Some(operations) = ahead.get_mut(event.guest)
            && event.operation.area == Area::Remote
            && !operations.iter().any(|known| known.touches == event.operation.touches)
        {
            operations.push(&event.operation);
        }
    }
    found.reverse();
    found
}

/// After how many of its operations a guest can be stopped where that matters, in a run that it begins.
pub(crate) fn points(run: &Run, guest: usize) -> Vec<usize> {
    let schedule = Schedule(vec![Turn::all(guest)]);
    let first = |schedule: &Schedule| {
        schedule.0.first().filter(|turn| turn.guest == guest).and_then(|turn| turn.steps)
    };
    children(run, &schedule, true).iter().filter_map(first).collect()
}

impl Exploration {
    fn new(subject: &Subject, scenario: Scenario, files: usize, seed: u64) -> Result<Self, SetupFailed> {
        let setup = Setup::new(subject, scenario.start, files, seed)?;
        let (alone, judged, seen) = (Vec::new(), HashMap::new(), HashSet::new());
        Ok(Self { scenario, files, setup, alone, judged, seen })
    }

    fn actors(&self) -> Vec<Actor> {
        let [a, b] = &self.setup.repositories;
        let [scope_a, scope_b] = &self.setup.scopes;
        let mut actors = vec![Actor::push(a.clone(), scope_a.as_ref())];
        if self.scenario.second.pushes() == 2 {
            actors.push(Actor::push(b.clone(), scope_b.as_ref()));
        }
        match self.scenario.second {
            Second::Push => {}
            Second::Pull => actors.push(Actor::pull(Repository::new(), scope_a.as_ref())),
            Second::PullAll | Second::PushAndPull => actors.push(Actor::pull(Repository::new(), None)),
        }
        actors
    }

    /// Runs a schedule and judges what came of it.
    fn try_schedule(&mut self, bench: &mut Bench<'_>, schedule: &Schedule) -> (Run, Result<(), Violation>) {
        let mut world = self.setup.world.clone();
        let actors = self.actors();
        let run = bench.run(&mut world, actors, schedule);
        bench.counts.schedules += 1;
        let verdict = self.judge(bench.subject, world, &run);
        (run, verdict)
    }

    fn judge(&mut self, subject: &Subject, mut world: World, run: &Run) -> Result<(), Violation> {
        for (number, end) in run.ends.iter().enumerate() {
            self.end_is_fine(number, end)?;
        }
        self.reader_is_fine(subject, run)?;
        let pushes = self.scenario.second.pushes();
        let done: Vec<bool> = run.ends.iter().take(pushes).map(|end| end.result.is_ok()).collect();
        let key = (world.fingerprint(), done.clone());
        if let Some(known) = self.judged.get(&key) {
            return known.clone();
        }
        let verdict = self.outcome_is_fine(subject, &mut world, run, &done);
        self.judged.insert(key, verdict.clone());
        verdict
    }

    /// A guest has to end as it does alone, or say that trying again may help.
    fn end_is_fine(&self, number: usize, end: &End) -> Result<(), Violation> {
        let guest = crate::schedule::letter(number);
        match &end.result {
            Err(Failure::Retry(_)) => Ok(()),
            Err(failure) => {
                let rule = if failure.is_reported() { Rule::PushFailed } else { Rule::Unclear };
                let reads = number >= self.scenario.second.pushes();
                let rule = if reads && rule == Rule::PushFailed { Rule::PullFailed } else { rule };
                Err(Violation::new(rule, format!("{guest} fails: {failure}"), Vec::new()))
            }
            Ok(answer @ Answered::Pushed(_)) => match self.alone.get(number) {
                Some(Ok(alone)) if alone != answer => {
                    let text = format!("{guest} reports {answer:?}, and {alone:?} when it is alone");
                    Err(Violation::new(Rule::Contract, text, Vec::new()))
                }
                _ => Ok(()),
            },
            Ok(_) => Ok(()),
        }
    }

    /// Who pulls meanwhile gets the old or the new state of each model.
    fn reader_is_fine(&self, subject: &Subject, run: &Run) -> Result<(), Violation> {
        let reader = run.ends.get(self.scenario.second.pushes());
        let Some(End { result: Ok(_), repository, .. }) = reader else { return Ok(()) };
        let scope = |model| {
            crate::scenario::scope(model)
                .map_err(|error| Violation::new(Rule::Contract, error.to_string(), Vec::new()))
        };
        let own = [scope(0)?, scope(1)?];
        let files = repository.files().clone();
        let (mine, files): (Files, Files) = files.into_iter().partition(|(path, _)| own[0].contains(path));
        let (others, third): (Files, Files) = files.into_iter().partition(|(path, _)| own[1].contains(path));
        let Setup { before, after, .. } = &self.setup;
        old_or_new(subject, &mine, &before[0], &after[0])?;
        match self.scenario.second {
            Second::Push | Second::Pull => return Ok(()),
            Second::PullAll => compare(&others, &before[1])?,
            Second::PushAndPull => old_or_new(subject, &others, &before[1], &after[1])?,
        }
        compare(&third, &before[2])
    }

    /// In the end everything has to be there, and pushing has to go on as ever.
    fn outcome_is_fine(
        &self,
        subject: &Subject,
        world: &mut World,
        run: &Run,
        done: &[bool],
    ) -> Result<(), Violation> {
        let mut repositories: Vec<Repository> =
            run.ends.iter().take(done.len()).map(|end| end.repository.clone()).collect();
        let pairs = || ["a", "b"].into_iter().zip(&self.setup.scopes);
        for ((repository, (who, scope)), done) in repositories.iter_mut().zip(pairs()).zip(done) {
            if !done {
                push_again(subject, world, repository, scope.as_ref(), who)?;
            }
        }
        let both = done.len() == 2;
        let mut expected = self.setup.expected([true, both]);
        holds(subject, world, &self.setup, &expected)?;
        for (repository, (who, scope)) in repositories.iter_mut().zip(pairs()) {
            let Some(path) = repository.files().keys().next().cloned() else { continue };
            repository.write(&path, format!("third by {who}"));
            push_again(subject, world, repository, scope.as_ref(), &format!("{who}, with one more change,"))?;
            expected.extend(repository.files().clone());
        }
        let found = fresh_pull(subject, world, None).map_err(|failure| {
            Violation::new(Rule::PullFailed, format!("a fresh pull fails: {failure}"), Vec::new())
        })?;
        compare(&found, &expected)
    }

    fn finding(&self, bench: &Bench<'_>, schedule: &Schedule, run: &Run, violation: Violation) -> Finding {
        Finding {
            suite: SuiteName::Interleave,
            violation,
            replay: Some(Replay {
                suite: SuiteName::Interleave,
                scenario: self.scenario.name(),
                files: self.files,
                seed: bench.options.seed,
                schedule: schedule.clone(),
            }),
            guests: self.scenario.guests(&self.setup),
            preemptions: schedule.preemptions(),
            rows: rows(&run.events),
        }
    }
}

/// A schedule to try, and whether to look for more from there.
struct Candidate {
    exploration: usize,
    schedule: Schedule,
    expand: bool,
}

/// Explores some scenarios up to so many preemptions, with the backstop or without; stops at the first finding.
fn explore(
    bench: &mut Bench<'_>,
    scenarios: &[Scenario],
    files: usize,
    preemptions: usize,
    backstop: bool,
) -> Result<Option<Finding>, String> {
    let mut explorations: Vec<Exploration> = Vec::new();
    let mut level: Vec<Candidate> = Vec::new();
    for scenario in scenarios {
        if bench.is_over() {
            return Err("the budget ended at 0 preemptions".to_owned());
        }
        let mut exploration = match Exploration::new(bench.subject, *scenario, files, bench.options.seed) {
            Ok(exploration) => exploration,
            Err(SetupFailed { failure }) => return Ok(Some(setup_finding(bench, *scenario, &failure))),
        };
        let mut most = 0;
        for first in 0..exploration.actors().len() {
            let schedule = Schedule(vec![Turn::all(first)]);
            let (run, verdict) = exploration.try_schedule(bench, &schedule);
            if let Err(violation) = verdict {
                return Ok(Some(exploration.finding(bench, &schedule, &run, violation)));
            }
            if let Some(end) = run.ends.iter().find(|end| end.result.is_err()) {
                let why = end.result.as_ref().err().map(ToString::to_string).unwrap_or_default();
                let violation = Violation::new(
                    Rule::PushFailed,
                    format!("fails with nobody else at work: {why}"),
                    Vec::new(),
                );
                return Ok(Some(exploration.finding(bench, &schedule, &run, violation)));
            }
            if first == 0 {
                exploration.alone = run.ends.iter().map(|end| end.result.clone()).collect();
            }
            most = run.ends.iter().map(|end| end.instructions).fold(most, u64::max);
            // With a third guest the backstop would take longer than all else.
            let backstop = backstop && scenario.second != Second::PushAndPull;
            for (reduced, expand) in
                [(true, true), (false, false)].into_iter().take(1 + usize::from(backstop))
            {
                for schedule in children(&run, &schedule, reduced) {
                    level.push(Candidate { exploration: explorations.len(), schedule, expand });
                }
            }
        }
        exploration.setup.world.instructions = generous(most, bench.subject.settings().instructions);
        explorations.push(exploration);
    }
    for preempted in 1..=preemptions {
        let mut next = Vec::new();
        // What conflicts comes first, in all scenarios; the rest of the places with one preemption after that.
        level.sort_by_key(|candidate| !candidate.expand);
        for Candidate { exploration: number, schedule, expand } in level {
            let Some(exploration) = explorations.get_mut(number) else { continue };
            if !exploration.seen.insert(schedule.clone()) {
                continue;
            }
            if bench.is_over() {
                return Err(format!("the budget ended at {preempted} preemptions"));
            }
            let (run, verdict) = exploration.try_schedule(bench, &schedule);
            if let Err(violation) = verdict {
                return Ok(Some(exploration.finding(bench, &schedule, &run, violation)));
            }
            if expand && preempted < preemptions.min(exploration.scenario.second.most_preemptions()) {
                next.extend(children(&run, &schedule, true).into_iter().map(|schedule| Candidate {
                    exploration: number,
                    schedule,
                    expand: true,
                }));
            }
        }
        level = next;
    }
    Ok(None)
}

fn setup_finding(bench: &Bench<'_>, scenario: Scenario, failure: &Failure) -> Finding {
    let text = format!("an ordinary push, with nobody else at work, fails: {failure}");
    let rule = if is_endless(failure) { Rule::Unclear } else { Rule::PushFailed };
    Finding {
        suite: bench.suite,
        violation: Violation::new(rule, text, Vec::new()),
        replay: None,
        guests: vec![format!("setting up {}", scenario.name())],
        preemptions: 0,
        rows: Vec::new(),
    }
}

/// Runs the first round of the suite.
pub(crate) fn first(bench: &mut Bench<'_>) -> Outcome {
    round(bench, bench.options.preemptions.min(1), false)
}

/// Runs the second round of the suite.
pub(crate) fn second(bench: &mut Bench<'_>) -> Outcome {
    round(bench, bench.options.preemptions, true)
}

fn round(bench: &mut Bench<'_>, preemptions: usize, backstop: bool) -> Outcome {
    if !bench.subject.scoped_sync() {
        return Outcome::Skipped(
            "it doesn't promise scoped-sync, so the host lets it push and pull one at a time".to_owned(),
        );
    }
    match explore(bench, &SCENARIOS, FILES, preemptions, backstop) {
        Ok(None) => Outcome::Held,
        Err(why) => Outcome::HeldSoFar(why),
        Ok(Some(finding)) => {
            let finding = smaller(bench, finding);
            bench.found(finding);
            Outcome::Broken
        }
    }
}

/// Looks for the same violation with fewer files, no more preemptions, and the shortest run.
fn smaller(bench: &mut Bench<'_>, finding: Finding) -> Finding {
    let Some(scenario) = finding.replay.as_ref().and_then(|replay| Scenario::named(&replay.scenario)) else {
        return finding;
    };
    for files in 1..FILES {
        let found = explore(bench, &[scenario], files, finding.preemptions, true);
        if let Ok(Some(small)) = found
            && small.replay.is_some()
            && small.violation.rule == finding.violation.rule
            && small.preemptions <= finding.preemptions
        {
            return small;
        }
    }
    finding
}

/// Repeats a run of this suite: what it violates, if anything, and its table.
pub(crate) fn replay(bench: &mut Bench<'_>, replay: &Replay) -> Result<Option<Finding>, String> {
    let scenario = Scenario::named(&replay.scenario)
        .ok_or_else(|| format!("there is no scenario `{}`", replay.scenario))?;
    let mut exploration = Exploration::new(bench.subject, scenario, replay.files, replay.seed)
        .map_err(|SetupFailed { failure }| format!("an ordinary push fails: {failure}"))?;
    if !replay.schedule.0.is_empty() {
        let (alone, _) = exploration.try_schedule(bench, &Schedule(vec![Turn::all(0)]));
        exploration.alone = alone.ends.iter().map(|end| end.result.clone()).collect();
    }
    let (run, verdict) = exploration.try_schedule(bench, &replay.schedule);
    Ok(verdict.err().map(|violation| exploration.finding(bench, &replay.schedule, &run, violation)))
}
