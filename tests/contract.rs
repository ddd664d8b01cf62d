//! What the host and an extension promise each other: the flag, the scope, the calls.

use support::world;

#[test]
fn a_scoped_run_passes_its_models_scope_and_takes_no_exclusive_lock_but_its_models() {
    let world = world!();
    let repository = world.repository("a", "filesystem");
    let (ran, report) =
        repository.run_script(&["aws-ec2/web"], "mkdir -p data/aws-ec2/web && echo 1 > data/aws-ec2/web/x");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let locks: Vec<_> = report["locks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|l| (l["kind"].as_str().unwrap(), l["mode"].as_str().unwrap()))
        .collect();
    assert_eq!(locks, [("repository", "shared"), ("model", "exclusive")]);
    let scopes: Vec<_> =
        report["calls"].as_array().unwrap().iter().map(|c| c["scope"].as_str().unwrap()).collect();
    assert_eq!(scopes, ["data/aws-ec2/web/", "data/aws-ec2/web/"]);
    let other = world.repository("b", "filesystem");
    other.ok(&["pull"]);
    assert_eq!(other.files("data"), repository.files("data"));
}
