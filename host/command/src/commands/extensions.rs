use std::path::PathBuf;

use lockkeeper_host::{Declared, Error, ExtensionName, Identity, Listed, Pins, Session};
use serde_json::{Value, json};

use super::Context;
use crate::exit;
use crate::failure::Failure;
use crate::ui::{printable, table};

/// List, inspect, install and remove extensions
///
/// Extensions are the .wasm files in the registry folder. Each is pinned by digest in lockkeeper.lock when it is
/// added or first used; a file that changed since is refused until it is added again.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// List the extensions in the registry folder
    List,
    /// Show who an extension is and what it promises; it is run without configuration and grants
    ///
    /// Examples:
    ///   lockkeeper extensions inspect @lockkeeper/filesystem
    ///   lockkeeper extensions inspect ./my-extension.wasm
    #[command(verbatim_doc_comment)]
    Inspect {
        /// A .wasm file, or the name of an extension in the registry folder
        #[arg(value_name = "FILE|NAME")]
        extension: String,
    },
    /// Install a file into the registry folder, or accept one that is there and changed
    ///
    /// Runs nothing.
    ///
    /// Example:
    ///   lockkeeper extensions add ./my-extension.wasm
    #[command(verbatim_doc_comment)]
    Add {
        /// The .wasm file
        file: PathBuf,
    },
    /// Remove an extension's file and its pin
    Remove {
        /// The extension
        name: ExtensionName,
    },
}

pub(super) async fn run(context: &Context<'_>, command: Command) -> Result<u8, Failure> {
    match command {
        Command::List => list(context),
        Command::Inspect { extension } => inspect(context, &extension).await,
        Command::Add { file } => {
            let repository = context.repository()?;
            let mut pins = repository.pins()?;
            let before = pins.clone();
            let (identity, path) = repository.registry().add(&file, &mut pins).map_err(Error::from)?;
            let replaced = before.get(&identity.name).filter(|pin| pin.digest != identity.digest);
            let document = json!({ "file": path, "extension": identity, "replaced": replaced });
            context.ui.data(&document, || {
                let replaced =
                    replaced.map(|pin| format!(", in place of {} {}", pin.version, pin.digest.short()));
                format!(
                    "accepted {} {} ({}){}",
                    identity.name,
                    identity.version,
                    identity.digest.short(),
                    replaced.unwrap_or_default()
                )
            })?;
            Ok(exit::OK)
        }
        Command::Remove { name } => {
            let repository = context.repository()?;
            let path = repository.registry().remove(&name, &mut repository.pins()?).map_err(Error::from)?;
            context
                .ui
                .data(&json!({ "removed": name, "file": path }), || format!("removed {}", path.display()))?;
            Ok(exit::OK)
        }
    }
}

fn list(context: &Context<'_>) -> Result<u8, Failure> {
    let repository = context.repository()?;
    let pins = repository.pins()?;
    let listed = repository.registry().list().map_err(Error::from)?;
    let documents: Vec<Value> = listed.iter().map(|it| document(it, &pins)).collect();
    context.ui.data(&json!({ "folder": repository.registry().folder(), "extensions": documents }), || {
        if listed.is_empty() {
            return format!("no extension in {}", repository.registry().folder().display());
        }
        let mut rows = vec![["NAME", "VERSION", "STATE", "FILE", "DESCRIPTION"].map(str::to_owned).to_vec()];
        rows.extend(listed.iter().map(|it| row(it, &pins)));
        table(&rows)
    })?;
    Ok(exit::OK)
}

/// Whether a file is the one that was accepted.
fn state(identity: &Identity, pins: &Pins) -> &'static str {
    match pins.get(&identity.name) {
        None => "new",
        Some(pin) if pin.digest == identity.digest => "accepted",
        Some(pin) if pin.version != identity.version => "other version",
        Some(_) => "changed",
    }
}

fn document(listed: &Listed, pins: &Pins) -> Value {
    match &listed.identity {
        Ok(identity) => json!({ "file": listed.path, "state": state(identity, pins), "extension": identity }),
        Err(error) => json!({ "file": listed.path, "state": "invalid", "problem": error.to_string() }),
    }
}

fn row(listed: &Listed, pins: &Pins) -> Vec<String> {
    let file = printable(&listed.path.file_name().unwrap_or_default().to_string_lossy());
    match &listed.identity {
        Ok(identity) => vec![
            identity.name.to_string(),
            identity.version.clone(),
            state(identity, pins).to_owned(),
            file,
            printable(identity.description.as_deref().unwrap_or_default()),
        ],
        Err(error) => {
            vec!["-".to_owned(), "-".to_owned(), "invalid".to_owned(), file, printable(&error.to_string())]
        }
    }
}

async fn inspect(context: &Context<'_>, extension: &str) -> Result<u8, Failure> {
    let path = match ExtensionName::parse(extension) {
        Ok(name) => {
            let repository = context.repository()?;
            let listed = repository.registry().list().map_err(Error::from)?;
            let found = listed
                .into_iter()
                .find(|it| it.identity.as_ref().is_ok_and(|identity| identity.name == name));
            let folder = repository.registry().folder().to_owned();
            found
                .ok_or_else(|| {
                    Failure::from(Error::from(lockkeeper_host::RegistryError::NotFound {
                        name,
                        path: folder,
                    }))
                })?
                .path
        }
        Err(_) => PathBuf::from(extension),
    };
    let (identity, declared) = Session::inspect(&path, &context.machine).await?;
    let (scoped_sync, problem) = match &declared {
        Declared::Flags { scoped_sync } => (Some(*scoped_sync), None),
        Declared::Absent => (None, None),
        Declared::Failed(error) => (None, Some(error.to_string())),
    };
    let document = json!({
        "file": path,
        "extension": identity,
        "capabilities": { "scoped-sync": scoped_sync, "problem": problem },
    });
    context.ui.data(&document, || {
        let promise = match (&problem, scoped_sync) {
            (Some(problem), _) => format!("none: {}", printable(problem)),
            (None, Some(true)) => {
                "scoped-sync: one lock for each model, only that model's files move".to_owned()
            }
            (None, Some(false)) => "none: every sync is exclusive".to_owned(),
            (None, None) => "none (it exports no capabilities): every sync is exclusive".to_owned(),
        };
        let or_none = |text: &Option<String>| printable(text.as_deref().unwrap_or("-"));
        [
            ("name", identity.name.to_string()),
            ("version", printable(&identity.version)),
            ("description", or_none(&identity.description)),
            ("licence", or_none(&identity.licence)),
            ("homepage", or_none(&identity.homepage)),
            ("contract", format!("lockkeeper:datastore@{}", identity.contract)),
            ("promises", promise),
            ("digest", identity.digest.to_string()),
            ("file", path.display().to_string()),
        ]
        .map(|(label, value)| format!("{label:<12} {value}"))
        .join("\n")
    })?;
    Ok(exit::OK)
}
