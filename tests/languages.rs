//! Datastores in other languages, built from source: what their authors would run, and what the check says of them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code"
)]

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use support::{Ran, built, guest, world};

fn is_checked_and_works(language: &str) {
    if !built(language) {
        return;
    }
    let world = world!();
    let arguments = ["--budget", "40", "--preemptions", "1", "--json"];
    let ran = Ran::of(world.command().arg("check").arg(guest(language)).args(arguments));
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    let verdict: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(verdict["scoped_sync"], true);
    for suite in verdict["suites"].as_array().unwrap() {
        assert_ne!(suite["counts"]["calls"], 0, "{suite}");
    }

    let (a, b) = (world.repository("a", language), world.repository("b", language));
    a.run_script(
        &["aws-ec2/web"],
        "mkdir -p data/aws-ec2/web && echo 1 > data/aws-ec2/web/x && echo 2 > data/aws-ec2/web/y",
    );
    b.run_script(&["aws-ec2/web"], "rm data/aws-ec2/web/x && echo 3 > data/aws-ec2/web/y");
    a.ok(&["pull"]);
    assert_eq!(a.files("data"), b.files("data"));
    assert_eq!(a.files("data").len(), 1);
}

/// Starts a project, builds it as its README says, and checks what came of it. What the build would fetch comes from where the
/// examples have it, by these variables.
fn a_new_project_keeps_its_promises(language: &str, environment: &[(&str, &str)]) {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
    let world = world!();
    let folder = world.path("vault-datastore");
    let path = folder.to_str().unwrap();
    let ran = Ran::of(world.command().args(["new", "@acme/vault", "--language", language, "--path", path]));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let environment = environment.iter().map(|(name, below)| (*name, target.join(below)));
    let built = Command::new(folder.join("build.sh")).envs(environment).output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let component = folder.join("vault.wasm");
    let arguments = ["--budget", "15", "--preemptions", "1", "--json"];
    let ran = Ran::of(world.command().arg("check").arg(component).args(arguments));
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    let verdict: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((&verdict["extension"], &verdict["version"]), (&"@acme/vault".into(), &"0.1.0".into()));
    let readme = std::fs::read_to_string(folder.join("README.md")).unwrap();
    support::says(&readme, &["# @acme/vault", "./build.sh", "lockkeeper check vault.wasm"]);

    let again = Ran::of(world.command().args(["new", "@acme/vault", "--path", path]));
    support::says(&support::fails(&again, 64), &["is there already"]);
}

#[test]
fn a_new_project_in_rust_keeps_its_promises() {
    a_new_project_keeps_its_promises("rust", &[("CARGO_TARGET_DIR", "guest-build/new")]);
}

#[test]
fn a_new_project_in_python_keeps_its_promises() {
    if built("python") {
        a_new_project_keeps_its_promises("python", &[("COMPONENTIZE_PY", "componentize/python-0.25.0")]);
    }
}

#[test]
fn a_new_project_in_javascript_keeps_its_promises() {
    if built("javascript") {
        a_new_project_keeps_its_promises(
            "javascript",
            &[("COMPONENTIZE_JS", "componentize/javascript-0.23.0")],
        );
    }
}

#[test]
fn a_datastore_in_python_is_checked_and_works() {
    is_checked_and_works("python");
}

#[test]
fn a_datastore_in_javascript_is_checked_and_works() {
    is_checked_and_works("javascript");
}
