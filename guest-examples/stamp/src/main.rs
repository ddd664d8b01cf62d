//! Writes the metadata of the guests into their components.
//!
//! Reads the output of `cargo metadata` on standard input. Each package that has a `package.metadata.lockkeeper.name`
//! is taken from the folder named by the first argument, stamped, and put into the second one.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs, io};

use serde::Deserialize;
use wasm_metadata::{AddMetadata, AddMetadataField::Set, Description, Homepage, Licenses, Version};

type Error = Box<dyn std::error::Error>;

#[derive(Deserialize)]
struct Workspace {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    description: Option<String>,
    license: Option<String>,
    homepage: Option<String>,
    metadata: Option<Metadata>,
}

#[derive(Deserialize)]
struct Metadata {
    lockkeeper: Option<Extension>,
}

#[derive(Deserialize)]
struct Extension {
    name: String,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("stamp: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Error> {
    let mut arguments = env::args_os().skip(1).map(PathBuf::from);
    let (Some(from), Some(to)) = (arguments.next(), arguments.next()) else {
        return Err("usage: cargo metadata --no-deps --format-version 1 | stamp FROM TO".into());
    };
    let workspace: Workspace = serde_json::from_reader(io::stdin().lock())?;
    for package in workspace.packages {
        if let Some(extension) = package.metadata.as_ref().and_then(|metadata| metadata.lockkeeper.as_ref()) {
            stamp(&package, &extension.name, &from, &to)
                .map_err(|error| format!("{}: {error}", package.name))?;
        }
    }
    Ok(())
}

fn stamp(package: &Package, name: &str, from: &Path, to: &Path) -> Result<(), Error> {
    let component = fs::read(from.join(package.name.replace('-', "_")).with_extension("wasm"))?;
    let stamped = metadata(package, name)?.to_wasm(&component)?;
    let path = to.join(&package.name).with_extension("wasm");
    // An unchanged component keeps its time, so that nothing built from it is built again.
    if fs::read(&path).is_ok_and(|present| present == stamped) {
        return Ok(());
    }
    let temporary = path.with_extension("wasm.new");
    fs::write(&temporary, stamped)?;
    fs::rename(temporary, path)?;
    Ok(())
}

fn metadata(package: &Package, name: &str) -> Result<AddMetadata, Error> {
    let mut metadata = AddMetadata::default();
    metadata.name = Set(name.to_owned());
    metadata.version = Set(Version::new(package.version.clone()));
    if let Some(description) = &package.description {
        metadata.description = Set(Description::new(description.clone()));
    }
    if let Some(license) = &package.license {
        metadata.licenses = Set(Licenses::new(license)?);
    }
    if let Some(homepage) = &package.homepage {
        metadata.homepage = Set(Homepage::new(homepage)?);
    }
    Ok(metadata)
}
