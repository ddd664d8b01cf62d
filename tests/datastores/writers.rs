//! Writers of different models don't wait for each other, and lose nothing.

use std::collections::BTreeMap;
use std::process::Stdio;

use serde_json::Value;
use support::datastores::{Kind, Store, reveals_nothing};
use support::{Ran, world_with_credentials};

const WRITERS: usize = 8;
const ROUNDS: usize = 3;

fn write_at_once(kind: Kind) {
    let Some(store) = Store::new(kind) else { return };
    let world = world_with_credentials!();
    let a = store.repository(&world, "a");
    // The remote is there before they begin; that it is trusted was found out, too.
    a.write("data/kind/first/file", "first");
    a.ok(&["push", "--model", "kind/first"]);

    for round in 0..ROUNDS {
        let running: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let model = format!("kind/writer-{writer}");
                let report = world.path(&format!("report-{writer}"));
                let script = format!(
                    "mkdir -p data/{model} && echo {round} of {writer} > data/{model}/{round} && echo {round} > data/{model}/same"
                );
                let mut command =
                    a.script(&[&model], &script, &["--report", report.to_str().unwrap()]);
                command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
                (report, command.spawn().unwrap())
            })
            .collect();
        for (report, child) in running {
            let ran = Ran::from(child.wait_with_output().unwrap());
            assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
            let text = std::fs::read_to_string(report).unwrap();
            for said in [&ran.stdout, &ran.stderr, &text] {
                reveals_nothing(said);
            }
            let report: Value = serde_json::from_str(&text).unwrap();
            let locks: Vec<_> = report["locks"].as_array().unwrap().iter().collect();
            assert!(!locks.is_empty(), "{report}");
            for lock in locks {
                let exclusive = lock["mode"] == "exclusive";
                assert!(
                    lock["kind"] == "model" || !exclusive,
                    "an exclusive lock on {}: {report}",
                    lock["kind"]
                );
            }
        }
    }

    let mut union: BTreeMap<String, Vec<u8>> =
        [("data/kind/first/file".to_owned(), b"first".to_vec())].into();
    for writer in 0..WRITERS {
        let folder = format!("data/kind/writer-{writer}");
        union.insert(format!("{folder}/same"), format!("{}\n", ROUNDS - 1).into());
        for round in 0..ROUNDS {
            union.insert(format!("{folder}/{round}"), format!("{round} of {writer}\n").into());
        }
    }
    let b = store.repository(&world, "b");
    b.ok(&["pull"]);
    assert_eq!(b.files("data"), union);
    let c = store.repository(&world, "c");
    c.ok(&["pull", "--model", "kind/writer-3"]);
    union.retain(|path, _| path.starts_with("data/kind/writer-3/"));
    assert_eq!(c.files("data"), union);
}

#[test]
fn eight_writers_of_eight_models_share_a_strict_s3() {
    write_at_once(Kind::S3);
}

#[test]
fn eight_writers_of_eight_models_share_moto() {
    write_at_once(Kind::Moto);
}

#[test]
fn eight_writers_of_eight_models_share_a_strict_google_cloud_storage() {
    write_at_once(Kind::Gcs);
}

#[test]
fn eight_writers_of_eight_models_share_fake_gcs_server() {
    write_at_once(Kind::FakeGcs);
}

#[test]
fn eight_writers_of_eight_models_share_mongodb() {
    write_at_once(Kind::Mongo);
}
