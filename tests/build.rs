//! Builds the guests that the tests run, so that a plain `cargo test` always runs the current ones.

use std::path::Path;
use std::process::Command;

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for watched in ["guest-examples", "wit"] {
        for entry in std::fs::read_dir(root.join(watched)).into_iter().flatten().flatten() {
            if entry.file_name() != "target" {
                println!("cargo::rerun-if-changed={}", entry.path().display());
            }
        }
    }
    let built = Command::new("bash").arg(root.join("guest-examples/build.sh")).status();
    match built {
        Ok(status) if status.success() => {}
        Ok(status) => {
            println!("cargo::error=guest-examples/build.sh failed ({status}); run it by hand to see why")
        }
        Err(error) => println!("cargo::error=guest-examples/build.sh can't be run: {error}"),
    }
}
