//! Each request of a push and of a pull in turn goes wrong, in each way: what may pass is tried again, the rest is an error that
//! says what it is; the remote stays whole, and the next command converges.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use support::datastores::{Kind, Store, reveals_nothing};
use support::proxy::{FAULTS, Fault, Proxy};
use support::{Ran, Repository, World, fails, world_with_credentials};

const REPORTED: i32 = 69;
const LIMIT: i32 = 72;
const CONFIGURATION: i32 = 78;

/// How many cases are tried at once: most of their time they wait.
const AT_ONCE: usize = 6;

/// A server that stalls is waited for this long; the extension itself would wait for a minute.
const PATIENCE: &str = "[datastore.limits]\ntime = \"5s\"";
/// The same for a push with a large file.
const MORE_PATIENCE: &str = "[datastore.limits]\ntime = \"20s\"";

/// A file that is sent in parts: four of them.
const LARGE: usize = (16 << 20) + 1;

type Tree = BTreeMap<String, Vec<u8>>;

/// The command that is disturbed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Command {
    Push,
    /// With a file that is sent in parts.
    LargePush,
    Pull,
}

impl Command {
    fn name(self) -> &'static str {
        if self == Self::Pull { "pull" } else { "push" }
    }

    /// Which of its requests go wrong: those that no other command makes.
    fn is_tried(self, request: &str) -> bool {
        const UPLOAD: [&str; 4] = ["?uploads", "uploadId=", "uploadType=resumable", "upload_id="];
        self != Self::LargePush || UPLOAD.iter().any(|part| request.contains(part))
    }
}

/// Two repositories, `a` with changes that are not pushed, and `b` that has not pulled them.
struct Scene<'a> {
    store: Store,
    proxy: Proxy,
    disturbed: Repository<'a>,
    before: Tree,
    after: Tree,
}

impl<'a> Scene<'a> {
    fn new(kind: Kind, command: Command, world: &'a World) -> Option<Self> {
        let store = Store::new(kind)?;
        let proxy = store.proxy();
        let patience = if command == Command::LargePush { MORE_PATIENCE } else { PATIENCE };
        let behind = |name: &str| store.repository_at(world, name, proxy.address(), patience);
        let a = behind("a");
        for name in ["kept", "changed", "deleted"] {
            a.write(&format!("data/kind/model/{name}"), format!("{name}, as it was"));
        }
        // In the same scope, where it is remembered that the store can be trusted.
        a.ok(&["push", "--model", "kind/model"]);
        let before = a.files("data");
        let b = behind("b");
        if command == Command::Pull {
            b.ok(&["pull", "--model", "kind/model"]);
        }
        a.write("data/kind/model/changed", "changed, as it is");
        a.write("data/kind/model/new", "new");
        if command == Command::LargePush {
            a.write("data/kind/model/large", vec![7; LARGE]);
        }
        a.delete("data/kind/model/deleted");
        let after = a.files("data");
        let disturbed = if command == Command::Pull {
            a.ok(&["push", "--model", "kind/model"]);
            b
        } else {
            a
        };
        proxy.clear();
        Some(Self { store, proxy, disturbed, before, after })
    }

    fn run(&self, command: Command) -> Ran {
        let ran = self.disturbed.run(&[command.name(), "--model", "kind/model"]);
        reveals_nothing(&ran.stdout);
        reveals_nothing(&ran.stderr);
        ran
    }
}

/// What must come of it.
fn judge(fault: Fault, request: &str, ran: &Ran, what: &str) {
    let must_pass = matches!(
        fault,
        Fault::Internal
            | Fault::Unavailable
            | Fault::ResetRequest
            | Fault::LoseAnswer
            | Fault::ResetAnswer
            | Fault::Truncate
    );
    if ran.code == 0 {
        // Deleting what isn't needed any more may fail in silence: it is in nobody's way. And who has one connection can do
        // without another one.
        let needless = request.starts_with("DELETE ") || request == "hello";
        // An upload that the store doesn't know any more begins anew.
        let anew = fault == Fault::NoBucket && request.contains("upload_id=");
        let may_pass = needless || anew || matches!(fault, Fault::Shorten | Fault::WrongVersion);
        assert!(must_pass || may_pass, "it should have failed: {what}");
        return;
    }
    assert!(!must_pass, "it should have been tried again: {what}");
    let code = if fault == Fault::Stall { LIMIT } else { ran.code };
    let said = fails(ran, code);
    let expected: &[&str] = match fault {
        Fault::Forbidden => &["denied", "forbidden", "not authorized", "Unauthorized", "right"],
        Fault::NoBucket => &["there is no bucket"],
        Fault::Expired => &["credentials", "reauthenticate", "authentication"],
        Fault::Stall => &["time"],
        _ => &["kind/model", "index", "answer", "exchange"],
    };
    assert!(expected.iter().any(|part| said.contains(part)), "none of {expected:?}: {what}");
    assert!(code == LIMIT || [REPORTED, CONFIGURATION].contains(&ran.code), "{what}");
}

/// One case: false if the command makes fewer requests than that.
fn one(kind: Kind, command: Command, fault: Fault, number: usize) -> bool {
    let world = world_with_credentials!();
    let scene = Scene::new(kind, command, &world).unwrap();
    scene.proxy.fault(number, fault);
    let ran = scene.run(command);
    let happened = scene.proxy.happened();
    let Some((request, _)) = happened.first() else {
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        return false;
    };
    let what = format!(
        "{kind:?}: {command:?}: {fault:?} at {number}, {request}: {ran:?}\n{:#?}",
        scene.proxy.requests()
    );
    judge(fault, request, &ran, &what);

    // Nobody sees a mixture, neither in the remote nor here.
    scene.proxy.clear();
    if command != Command::Pull {
        let fresh = scene.store.repository(&world, "fresh");
        fresh.ok(&["pull"]);
        let seen = fresh.files("data");
        assert!(seen == scene.before || seen == scene.after, "{:?} is there: {what}", seen.keys());
        assert!(ran.code != 0 || seen == scene.after, "it said that it was done: {what}");
    } else {
        let seen = scene.disturbed.files("data");
        let expected = if ran.code == 0 { &scene.after } else { &scene.before };
        assert!(seen == *expected, "{:?} is here: {what}", seen.keys());
    }

    // The next one converges.
    let again = scene.run(command);
    assert_eq!(again.code, 0, "{}\nafter {what}", again.stderr);
    assert!(scene.disturbed.files("data") == scene.after, "after {what}");
    assert_eq!(scene.disturbed.unpushed(), [] as [String; 0], "after {what}");
    let last = scene.store.repository(&world, "last");
    last.ok(&["pull"]);
    assert!(last.files("data") == scene.after, "after {what}");
    true
}

/// All faults at all requests, several at once.
fn each_in_turn(kind: Kind, command: Command) {
    let world = world_with_credentials!();
    let Some(scene) = Scene::new(kind, command, &world) else { return };
    let ran = scene.run(command);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let requests = scene.proxy.requests();
    println!("{kind:?}: {command:?} makes {} requests: {requests:#?}", requests.len());
    let tried: Vec<_> = (0..requests.len()).filter(|number| command.is_tried(&requests[*number])).collect();
    assert!(!tried.is_empty());
    let faults = FAULTS
        .iter()
        .filter(|fault| kind != Kind::Mongo || !matches!(fault, Fault::NoBucket | Fault::WrongVersion));
    // Those that take longest begin first.
    let mut cases: Vec<_> = faults.flat_map(|fault| tried.iter().map(|number| (*fault, *number))).collect();
    cases.sort_by_key(|(fault, _)| *fault == Fault::Stall);
    let cases = Mutex::new(cases);
    let done = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some((fault, number)) = cases.lock().unwrap().pop() else { return };
                    if one(kind, command, fault, number) {
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    // Requests in flight together arrive in any order, and a case may need fewer; most must have happened.
    let done = done.into_inner();
    assert!(done >= tried.len() * FAULTS.len() / 2, "only {done} faults happened");
    println!("{kind:?}: {command:?} survived {done} faults");
}

#[test]
fn a_push_to_s3_survives_each_fault_at_each_request() {
    each_in_turn(Kind::S3, Command::Push);
}

#[test]
fn a_push_to_s3_in_parts_survives_each_fault_at_each_request() {
    each_in_turn(Kind::S3, Command::LargePush);
}

#[test]
fn a_pull_from_s3_survives_each_fault_at_each_request() {
    each_in_turn(Kind::S3, Command::Pull);
}

#[test]
fn a_push_to_google_cloud_storage_survives_each_fault_at_each_request() {
    each_in_turn(Kind::Gcs, Command::Push);
}

#[test]
fn a_push_to_google_cloud_storage_in_pieces_survives_each_fault_at_each_request() {
    each_in_turn(Kind::Gcs, Command::LargePush);
}

#[test]
fn a_pull_from_google_cloud_storage_survives_each_fault_at_each_request() {
    each_in_turn(Kind::Gcs, Command::Pull);
}

#[test]
fn a_push_to_mongodb_survives_each_fault_at_each_request() {
    each_in_turn(Kind::Mongo, Command::Push);
}

#[test]
fn a_pull_from_mongodb_survives_each_fault_at_each_request() {
    each_in_turn(Kind::Mongo, Command::Pull);
}
