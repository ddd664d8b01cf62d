//! Every extension that breaks its promise is caught, and none that keeps it is accused.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code"
)]

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use lockkeeper_check::SuiteName::{Crash, Fault, Interleave, Scope};
use lockkeeper_check::{
    Check, Counts, Finding, Options, Outcome, Progress, Protocol, Settings, Subject, SuiteName, SuiteVerdict,
};
use lockkeeper_test_servers::secantus;
use support::{built, guest};

/// Each mutation, the suite that has to catch it, and what else may.
const LIARS: [(&str, SuiteName); 19] = [
    ("unconditional-index-write", Interleave),
    ("check-then-write", Interleave),
    ("shard-by-type", Interleave),
    ("counter-object", Interleave),
    ("time-based-ids", Interleave),
    ("fixed-temporary-name", Interleave),
    ("shared-state", Interleave),
    ("truncate-in-place", Crash),
    ("index-before-objects", Crash),
    ("delete-before-upload", Crash),
    ("lock-folder", Crash),
    ("unsynced", Crash),
    ("prefix-without-slash", Scope),
    ("full-walk", Scope),
    ("scope-ignored", Scope),
    ("swallowed-error", Fault),
    ("error-means-empty", Fault),
    ("condition-dropped", Interleave),
    ("later-version", Interleave),
];

/// Those of them that are about requests.
const OF_REQUESTS: [&str; 2] = ["condition-dropped", "later-version"];

/// Guests that keep what they promise.
const HONEST: [&str; 11] = [
    "filesystem",
    "shared-index",
    "template",
    "plain",
    "liars",
    IN_A_BUCKET,
    "s3",
    "gcs",
    "mongodb",
    "python",
    "javascript",
];

/// Those of them that are quick enough to be tried with all seeds in every test.
const QUICK: [&str; 5] = ["filesystem", "shared-index", "template", "plain", "liars"];

/// The budget of `lockkeeper check`, unless told otherwise.
fn budget() -> Options {
    Options::default()
}

/// The guest whose remote is a bucket, for the mutations that are about requests.
const IN_A_BUCKET: &str = "liars, in a bucket";

/// A guest and what it is given; none if the server that it needs, or what it is built with, is not installed here.
fn load(name: &str) -> Option<Subject> {
    let origin = "http://store.test";
    let store = |protocol, bucket: &str| Settings::store(protocol, origin, "bucket").with("bucket", bucket);
    let settings = match name {
        IN_A_BUCKET => store(Protocol::S3, &format!("{origin}/bucket")),
        "s3" => store(Protocol::S3, "bucket").with("endpoint", origin),
        "gcs" => store(Protocol::Gcs, "bucket").with("endpoint", origin),
        "mongodb" => {
            let address = secantus()?.address();
            Settings::server(address).with("url", &format!("mongodb://{address}/{{namespace}}"))
        }
        "python" | "javascript" if !built(name) => return None,
        _ => Settings::folder(),
    };
    let file = if name == IN_A_BUCKET { "liars" } else { name };
    let bytes = std::fs::read(guest(file)).unwrap();
    Some(Subject::load(&bytes, settings, Some(&compiled())).unwrap())
}

/// All tests share compiled code, as all runs of a user do.
fn compiled() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/test-cache/compiled")
}

/// Does the work on both cores, each with a loaded guest of its own.
fn on_two_cores<W: Send + Sync>(
    work: Vec<W>,
    name: impl Fn(&W) -> &'static str + Sync,
    each: impl Fn(&Subject, &W) + Sync,
) {
    let work = Mutex::new(work);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut loaded: Option<(&str, Option<Subject>)> = None;
                while let Some(one) = { work.lock().unwrap().pop() } {
                    let name = name(&one);
                    if loaded.as_ref().is_none_or(|(present, _)| *present != name) {
                        loaded = Some((name, load(name)));
                    }
                    if let Some((_, Some(subject))) = &loaded {
                        each(subject, &one);
                    }
                }
            });
        }
    });
}

fn tried(suites: &[SuiteVerdict]) -> u64 {
    let counts = suites.iter().map(|suite| &suite.counts);
    counts.map(|counts| counts.cases + counts.schedules + counts.crash_points + counts.faults).sum()
}

/// The check as a user runs it, but that it ends after one of its suites.
fn up_to(last: SuiteName) -> Vec<SuiteName> {
    SuiteName::ALL.into_iter().take_while(|suite| *suite != last).chain([last]).collect()
}

/// Notes what is found first, and when.
struct First {
    began: Instant,
    row: Option<String>,
}

impl Progress for First {
    fn explored(&mut self, _: SuiteName, _: &Counts, _: f64) {}

    fn found(&mut self, finding: &Finding, counts: &Counts) {
        let seconds = self.began.elapsed().as_secs_f64();
        let tried = counts.cases + counts.schedules + counts.crash_points + counts.faults;
        let replay = finding.replay.as_ref().unwrap();
        self.row.get_or_insert_with(|| {
            let (suite, preemptions) = (finding.suite.name(), finding.preemptions);
            format!("{suite:<11} {tried:>6} {preemptions:>12} {seconds:>8.2}  {replay}")
        });
    }
}

#[test]
fn every_liar_is_caught_by_the_suite_that_is_made_for_it_table() {
    let rows = Mutex::new(Vec::new());
    on_two_cores(
        LIARS.to_vec(),
        |(mutation, _)| if OF_REQUESTS.contains(mutation) { IN_A_BUCKET } else { "liars" },
        |subject, (mutation, suite)| {
            let liar = subject.with(subject.settings().clone().with("mutation", mutation));
            let mut first = First { began: Instant::now(), row: None };
            let verdict = Check::new(&liar, budget()).only(&up_to(*suite)).run_with(&mut first);
            let caught = verdict.suites.iter().any(|it| it.suite == *suite && it.outcome == Outcome::Broken);
            assert!(caught && !verdict.held(), "{mutation} is not caught by {suite}: {:?}", verdict.suites);
            rows.lock().unwrap().push(format!("{mutation:<27} {}", first.row.unwrap()));
        },
    );
    let mut rows = rows.into_inner().unwrap();
    rows.sort();
    println!(
        "{:<27} {:<11} {:>6} {:>12} {:>8}  replay",
        "mutation", "caught by", "tried", "preemptions", "seconds"
    );
    println!("{}", rows.join("\n"));
    assert_eq!(rows.len(), LIARS.len());
}

#[test]
fn the_shortest_schedule_of_the_classic_lost_update_has_one_preemption() {
    let liar = load("liars").unwrap().with(Settings::folder().with("mutation", "unconditional-index-write"));
    let check = Check::new(&liar, budget()).only(&[Interleave]);
    let verdict = check.run();
    let finding = verdict.findings.first().unwrap();
    assert_eq!(finding.preemptions, 1);
    let replay = finding.replay.clone().unwrap();
    assert_eq!(replay.schedule.preemptions(), 1, "{replay}");
    // Nothing is wrong without it.
    let mut alone = replay.clone();
    alone.schedule = "a.b".parse().unwrap();
    assert_eq!(check.replay(&alone), Ok(None));
    assert_eq!(check.replay(&replay).unwrap().as_ref(), Some(finding));
}

/// Checks guests with twenty seeds each; none may be accused.
fn are_not_accused(guests: &[&'static str], options: &Options) {
    let seeds = || 1..=20_u64;
    let mut work: Vec<(&'static str, u64)> =
        guests.iter().flat_map(|name| seeds().map(move |seed| (*name, seed))).collect();
    work.sort();
    println!("{:<20} {:>4} {:>7} {:>8}  not explored to the end", "guest", "seed", "tried", "seconds");
    on_two_cores(
        work,
        |(name, _)| name,
        |subject, (name, seed)| {
            let verdict = Check::new(subject, Options { seed: *seed, ..options.clone() }).run();
            assert!(verdict.held(), "{name}, seed {seed}: {:#?}", verdict.findings);
            let tried = tried(&verdict.suites);
            assert!(tried > 20, "{name}, seed {seed}: {:?}", verdict.suites);
            let seconds: f64 = verdict.suites.iter().map(|suite| suite.seconds).sum();
            let cut = verdict.suites.iter().filter(|suite| matches!(suite.outcome, Outcome::HeldSoFar(_)));
            let cut: Vec<&str> = cut.map(|suite| suite.suite.name()).collect();
            println!("{name:<20} {seed:>4} {tried:>7} {seconds:>8.1}  {}", cut.join(", "));
        },
    );
}

#[test]
fn no_honest_guest_is_accused_whatever_the_seed() {
    let options = Options { budget: Duration::from_secs(1), preemptions: 1, ..budget() };
    are_not_accused(&QUICK, &options);
}

#[test]
#[ignore = "takes half an hour: make check-honest"]
fn no_honest_guest_is_accused_whatever_the_seed_by_a_whole_check_table() {
    are_not_accused(&HONEST, &Options { budget: Duration::from_secs(15), ..budget() });
}

#[test]
fn the_honest_one_is_not_accused_over_a_bucket() {
    let verdict = Check::new(&load(IN_A_BUCKET).unwrap(), budget()).run();
    assert!(verdict.held(), "{:#?}", verdict.findings);
}

#[test]
fn the_object_stores_are_not_accused() {
    for name in ["s3", "gcs"] {
        let options = Options { budget: Duration::from_secs(8), preemptions: 1, ..budget() };
        let verdict = Check::new(&load(name).unwrap(), options).run();
        assert!(verdict.held(), "{name}: {:#?}", verdict.findings);
    }
}

#[test]
fn an_extension_that_hangs_or_floods_is_named_and_cannot_hang_the_check() {
    let ways = [
        ("endless-loop", "time"),
        ("endless-allocation", "reached its limit of"),
        ("endless-recursion", "stack"),
        ("never-finishes", "time"),
        ("flood-log", "log"),
        ("flood-stdout", "output"),
        ("enormous-error", "output"),
        ("trap-in-push", "trap"),
        ("trap-in-pull", "trap"),
        ("half-pull", "trap"),
        ("trap-in-capabilities", "`capabilities` fails"),
        ("lying-report", "accounts for"),
    ];
    let subject = load("misbehaving").unwrap();
    for (way, named) in ways {
        let settings = Settings { instructions: 300_000_000, ..Settings::folder() };
        let misbehaving = subject.with(settings.with("misbehave", way));
        let verdict =
            Check::new(&misbehaving, budget()).only(&[SuiteName::Contract, SuiteName::Limits]).run();
        let texts: Vec<&str> =
            verdict.findings.iter().map(|finding| finding.violation.text.as_str()).collect();
        assert!(texts.iter().any(|text| text.contains(named)), "{way}: {texts:?}");
        assert!(verdict.findings.len() <= 14, "{way} goes on: {texts:?}");
    }
}
