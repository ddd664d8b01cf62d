use std::path::{Path, PathBuf};

use clap::ValueEnum;
use lockkeeper_host::ExtensionName;

use super::Context;
use crate::exit;
use crate::failure::Failure;

/// Start an extension of your own
///
/// Makes a folder with an extension that works: sources, the contract, a script that builds it, and a README that says what to
/// do next. It syncs with a shared folder; replace that by what you sync with, and have `lockkeeper check` tell whether
/// it still keeps its promises.
///
/// Examples:
///   lockkeeper new @acme/vault
///   lockkeeper new @acme/vault --language python --path ./vault-datastore
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// The extension's name
    #[arg(value_name = "@COLLECTIVE/NAME")]
    name: ExtensionName,
    /// What it is written in
    #[arg(long, value_enum, default_value_t = Language::Rust)]
    language: Language,
    /// The folder to make [default: the last part of the name, in the current folder]
    #[arg(long, value_name = "DIR")]
    path: Option<PathBuf>,
}

/// A language that there is a beginning in.
#[derive(Clone, Copy, ValueEnum)]
enum Language {
    Rust,
    Python,
    Javascript,
}

/// A file of a project: where it goes, and what it begins as.
type Template = (&'static str, &'static str);

macro_rules! example {
    ($file:literal) => {
        include_str!(concat!("../../../../guest-examples/", $file))
    };
}

macro_rules! template {
    ($file:literal) => {
        include_str!(concat!("../../templates/", $file))
    };
}

macro_rules! contract {
    ($file:literal) => {
        include_str!(concat!("../../../../wit/", $file))
    };
}

const RUST: &[Template] = &[
    ("Cargo.toml", template!("rust/Cargo.toml")),
    ("README.md", template!("rust/README.md")),
    ("build.sh", template!("rust/build.sh")),
    ("src/lib.rs", example!("template/src/lib.rs")),
    ("src/remote.rs", example!("template/src/remote.rs")),
    ("stamp/Cargo.toml", template!("rust/stamp.toml")),
    ("stamp/src/main.rs", example!("stamp/src/main.rs")),
    ("wit/datastore.wit", contract!("datastore.wit")),
    ("wit/deps/config/store.wit", contract!("deps/config/store.wit")),
    (".gitignore", "/target\n/*.wasm\n"),
];

const PYTHON: &[Template] = &[
    ("README.md", template!("python/README.md")),
    ("build.sh", template!("python/build.sh")),
    ("datastore.py", example!("python/datastore.py")),
    ("extension.json", template!("python/extension.json")),
    ("stamp.py", template!("python/stamp.py")),
    ("wit/datastore.wit", contract!("datastore.wit")),
    ("wit/deps/config/store.wit", contract!("deps/config/store.wit")),
    (".gitignore", "/target\n/*.wasm\n__pycache__\n"),
];

const JAVASCRIPT: &[Template] = &[
    ("README.md", template!("javascript/README.md")),
    ("build.sh", template!("javascript/build.sh")),
    ("datastore.js", example!("javascript/datastore.js")),
    ("files.js", example!("javascript/files.js")),
    ("package.json", template!("javascript/package.json")),
    ("stamp.js", template!("javascript/stamp.js")),
    ("wit/world.wit", example!("javascript/world.wit")),
    ("wit/deps/datastore/datastore.wit", contract!("datastore.wit")),
    ("wit/deps/config/store.wit", contract!("deps/config/store.wit")),
    (".gitignore", "/target\n/node_modules\n/*.wasm\n"),
];

pub(super) fn run(context: &Context<'_>, args: Args) -> Result<u8, Failure> {
    let name = args.name.to_string();
    let short = name.rsplit('/').next().unwrap_or(&name).to_owned();
    let folder = args.path.unwrap_or_else(|| PathBuf::from(&short));
    let files = match args.language {
        Language::Rust => RUST,
        Language::Python => PYTHON,
        Language::Javascript => JAVASCRIPT,
    };
    if folder.exists() {
        return Err(Failure::usage(format!("{} is there already; nothing was changed", folder.display())));
    }
    for (path, template) in files {
        // The examples of this repository find the contract beside their own folder.
        let text = template
            .replace("{{name}}", &name)
            .replace("{{crate}}", &short)
            .replace("path: \"../../wit\"", "path: \"wit\"");
        let path = folder.join(path);
        write(&path, &text)
            .map_err(|error| Failure::system(format!("can't write {}: {error}", path.display())))?;
    }
    let document = serde_json::json!({ "extension": name, "folder": folder });
    context.ui.data(&document, || {
        format!(
            "Made {}. Next:\n\
             1. cd {} && ./build.sh\n\
             2. lockkeeper check {short}.wasm\n\
             3. README.md says where to go on",
            folder.display(),
            folder.display(),
        )
    })?;
    Ok(exit::OK)
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(path, text)?;
    make_executable(path, text)
}

#[cfg(unix)]
fn make_executable(path: &Path, text: &str) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    match text.starts_with("#!") {
        true => std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)),
        false => Ok(()),
    }
}

#[cfg(not(unix))]
fn make_executable(_: &Path, _: &str) -> std::io::Result<()> {
    Ok(())
}
