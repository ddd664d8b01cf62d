//! The explorer on real components: honest ones hold, a liar is found, and whatever a guest does, the check goes on.

#![expect(clippy::unwrap_used, reason = "test code")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use lockkeeper_check::Bytes;
use lockkeeper_check::{
    Actor, Answered, Check, Failure, Options, Outcome, Repository, Rule, Schedule, Settings, Subject,
    SuiteName, World, run,
};
use lockkeeper_names::{CachePath, ModelId, Root, Scope};

/// Longer than anything here takes, on any machine.
const LONG: Duration = Duration::from_secs(3_600);

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A component of `guest-examples/`, built if it is not there or not current.
fn guest(name: &str) -> Vec<u8> {
    static BUILT: OnceLock<bool> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        Command::new("bash").arg(root().join("guest-examples/build.sh")).status().unwrap().success()
    });
    assert!(built, "guest-examples/build.sh failed");
    std::fs::read(root().join(format!("target/guests/{name}.wasm"))).unwrap()
}

fn subject(name: &str, settings: Settings) -> Subject {
    let compiled = root().join("target/check-compiled");
    Subject::load(&guest(name), settings, Some(&compiled)).unwrap()
}

fn liar(mutation: &str) -> Subject {
    subject("liars", Settings::folder().with("mutation", mutation))
}

fn scope(model: &str) -> Scope {
    Scope::new(&Root::parse("data").unwrap(), &ModelId::parse(model).unwrap())
}

fn path(text: &str) -> CachePath {
    CachePath::parse(text).unwrap()
}

fn two_pushes() -> Vec<Actor> {
    let push = |model: &str| {
        let mut repository = Repository::new();
        repository.write(&path(&format!("data/{model}/state")), format!("of {model}"));
        repository.write(&path(&format!("data/{model}/more/log")), "line");
        Actor::push(repository, Some(&scope(model)))
    };
    vec![push("app/web"), push("app/web-2")]
}

#[test]
fn the_same_schedule_gives_the_same_trace_a_thousand_times() {
    let subject = subject("filesystem", Settings::folder());
    let schedule: Schedule = "a17.b23.a5.b".parse().unwrap();
    let world = World::new(&subject, 7);
    let mut first_world = world.clone();
    let first = run(&subject, &mut first_world, two_pushes(), &schedule);
    assert!(first.events.len() > 50, "{} operations", first.events.len());
    for _ in 0..1_000 {
        let mut world = world.clone();
        let again = run(&subject, &mut world, two_pushes(), &schedule);
        assert_eq!(again.events, first.events);
        assert_eq!(world.fingerprint(), first_world.fingerprint());
    }
}

#[test]
fn an_honest_extension_holds_whatever_the_seed() {
    let subject = subject("filesystem", Settings::folder());
    // The command's own tests take twenty.
    for seed in 1..=3 {
        let options = Options { preemptions: 1, seed, budget: LONG };
        let verdict = Check::new(&subject, options).run();
        assert!(verdict.held(), "seed {seed}: {:#?}", verdict.findings);
        assert!(verdict.suites.iter().all(|suite| suite.outcome == Outcome::Held), "{:#?}", verdict.suites);
    }
}

#[test]
fn an_honest_extension_holds_up_to_two_preemptions() {
    let subject = subject("filesystem", Settings::folder());
    let options = Options { budget: LONG, ..Options::default() };
    let verdict = Check::new(&subject, options).only(&[SuiteName::Interleave]).run();
    assert!(verdict.held(), "{:#?}", verdict.findings);
    let explored = &verdict.suites[0];
    assert_eq!(explored.outcome, Outcome::Held);
    assert!(explored.counts.schedules > 500, "{:?}", explored.counts);
}

#[test]
fn who_promises_nothing_is_checked_for_crashes_and_faults_alone() {
    for name in ["plain", "shared-index"] {
        let subject = subject(name, Settings::folder());
        let verdict = Check::new(&subject, Options { budget: LONG, ..Options::default() }).run();
        assert!(verdict.held(), "{name}: {:#?}", verdict.findings);
        let outcome = |suite| &verdict.suites.iter().find(|verdict| verdict.suite == suite).unwrap().outcome;
        assert!(matches!(outcome(SuiteName::Interleave), Outcome::Skipped(_)));
        assert_eq!(outcome(SuiteName::Crash), &Outcome::Held);
        assert_eq!(outcome(SuiteName::Fault), &Outcome::Held);
    }
}

#[test]
fn a_lost_update_is_found_with_one_preemption_and_repeated_from_its_text() {
    let check = Check::new(&liar("unconditional-index-write"), Options::default())
        .only(&[SuiteName::Interleave])
        .run();
    let [finding] = check.findings.as_slice() else { panic!("{:#?}", check.findings) };
    assert_eq!((finding.violation.rule, finding.preemptions), (Rule::Lost, 1));
    assert!(check.suites[0].counts.schedules < 200, "{:?}", check.suites[0].counts);
    assert!(finding.rows.iter().any(|row| row.relevant && row.writes), "{:#?}", finding.rows);

    let text = finding.replay.as_ref().unwrap().to_string();
    let another = liar("unconditional-index-write");
    let again = Check::new(&another, Options::default()).replay(&text.parse().unwrap()).unwrap().unwrap();
    assert_eq!(again, *finding);
    let honest = liar("honest");
    assert_eq!(Check::new(&honest, Options::default()).replay(&text.parse().unwrap()), Ok(None));
}

#[test]
fn a_liar_that_survives_every_order_is_found_by_killing_it() {
    for (mutation, suite) in [
        ("lock-folder", SuiteName::Crash),
        ("unsynced", SuiteName::Crash),
        ("delete-before-upload", SuiteName::Crash),
        ("swallowed-error", SuiteName::Fault),
        ("error-means-empty", SuiteName::Fault),
    ] {
        let subject = liar(mutation);
        let options = Options { preemptions: 1, budget: LONG, ..Options::default() };
        let verdict = Check::new(&subject, options).run();
        let interleaved = verdict.findings.iter().any(|finding| finding.suite == SuiteName::Interleave);
        assert!(!interleaved, "{mutation}: {:#?}", verdict.findings);
        let found = verdict.findings.iter().find(|finding| finding.suite == suite);
        assert!(found.is_some(), "{mutation}: {:#?}", verdict.findings);
    }
}

fn push_of(misbehaviour: &str) -> Failure {
    let mut settings = Settings::folder().with("misbehave", misbehaviour).with("address", "127.0.0.1:1");
    settings.instructions = 2_000_000_000;
    settings.limits.memory = Bytes(256 << 20);
    let subject = subject("misbehaving", settings);
    let mut repository = Repository::new();
    repository.write(&path("data/app/web/state"), "x");
    let end = World::new(&subject, 1).push(&subject, &mut repository, Some(&scope("app/web"))).unwrap();
    end.result.unwrap_err()
}

#[test]
fn a_guest_that_never_ends_is_ended() {
    let limit =
        |failure: &Failure, option: &str| matches!(failure, Failure::Limit(text) if text.starts_with(option));
    for (misbehaviour, option) in [
        ("endless-loop", "time"),
        ("never-finishes", "time"),
        ("endless-allocation", "memory"),
        ("endless-recursion", "stack"),
        ("flood-log", "log"),
        ("flood-stdout", "output"),
        ("enormous-error", "output"),
    ] {
        let failure = push_of(misbehaviour);
        assert!(limit(&failure, option), "{misbehaviour}: {failure}");
    }
}

#[test]
fn a_guest_that_traps_or_reaches_out_is_told_apart() {
    assert!(matches!(push_of("trap-in-push"), Failure::Trapped(_)));
    assert!(matches!(push_of("lying-report"), Failure::Unaccounted(_)));
    for misbehaviour in ["read-outside", "write-cache"] {
        let failure = push_of(misbehaviour);
        assert!(matches!(failure, Failure::Denied(_) | Failure::Fatal(_)), "{misbehaviour}: {failure}");
    }
}

#[test]
fn a_check_of_a_guest_that_never_ends_comes_to_a_verdict() {
    let mut settings = Settings::folder().with("misbehave", "endless-loop");
    settings.instructions = 100_000_000;
    let subject = subject("misbehaving", settings);
    let verdict = Check::new(&subject, Options::default()).run();
    assert!(!verdict.held());
    assert!(verdict.findings[0].violation.text.contains("limit"), "{:#?}", verdict.findings);
}

#[test]
fn what_is_pushed_comes_back_in_a_fresh_repository() {
    let subject = subject("filesystem", Settings::folder());
    let mut world = World::new(&subject, 1);
    let mut writer = Repository::new();
    writer.write(&path("data/app/web/state"), "one");
    writer.write(&path("data/app/web/gone"), "two");
    let web = scope("app/web");
    assert!(matches!(world.push(&subject, &mut writer, Some(&web)).unwrap().result, Ok(Answered::Pushed(_))));
    let mut reader = Repository::new();
    world.pull(&subject, &mut reader, Some(&web)).unwrap().result.unwrap();
    assert_eq!(reader.files(), writer.files());
    writer.delete(&path("data/app/web/gone"));
    world.push(&subject, &mut writer, Some(&web)).unwrap().result.unwrap();
    let end = world.pull(&subject, &mut reader, Some(&web)).unwrap();
    assert_eq!(end.deleted.len(), 1);
    assert_eq!(reader.files(), writer.files());
}
