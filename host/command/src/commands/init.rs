use std::path::Path;

use lockkeeper_host::{CONFIG_FILE, ExtensionName};

use super::Context;
use crate::exit;
use crate::failure::Failure;

/// Make the current folder (or --repo DIR) a repository
///
/// Writes a lockkeeper.toml to edit, and the folder for extensions. Changes nothing that is there already.
///
/// Example:
///   lockkeeper init --extension @lockkeeper/filesystem
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// The datastore extension that the repository will use
    #[arg(long, value_name = "@COLLECTIVE/NAME", default_value = "@lockkeeper/filesystem")]
    extension: ExtensionName,
}

pub(super) fn run(context: &Context<'_>, args: Args) -> Result<u8, Failure> {
    let path = context.folder.join(CONFIG_FILE);
    if path.exists() {
        return Err(Failure::usage(format!("{} is there already; nothing was changed", path.display())));
    }
    write(&context.folder, &path, &template(&args.extension)).map_err(|error| {
        Failure::system(format!("can't make a repository in {}: {error}", context.folder.display()))
    })?;
    let document = serde_json::json!({ "config": path, "extension": args.extension });
    context.ui.data(&document, || {
        format!(
            "Made {}. Next:\n\
             1. put the extension's .wasm file into {}, or `lockkeeper extensions add FILE`\n\
             2. edit [datastore.config] and [datastore.grants]\n\
             3. `lockkeeper run --model TYPE/ID -- COMMAND`",
            path.display(),
            context.folder.join("extensions").display()
        )
    })?;
    Ok(exit::OK)
}

fn write(folder: &Path, path: &Path, text: &str) -> std::io::Result<()> {
    std::fs::create_dir_all(folder.join("extensions"))?;
    // Fails if somebody else made one meanwhile.
    let mut file = std::fs::File::create_new(path)?;
    std::io::Write::write_all(&mut file, text.as_bytes())
}

fn template(extension: &ExtensionName) -> String {
    format!(
        r#"registry = "extensions"     # the folder of .wasm components
cache = "."                 # the folder that holds the roots
roots = ["data"]            # what is synced: data/TYPE/ID/…; nothing else is

[datastore]
extension = "{extension}"

[datastore.config]          # handed to the extension as it is
root = "/remote"

[datastore.grants]          # what the extension reaches; nothing else
folders = [{{ host = "../remote", guest = "/remote", access = "read-write" }}]
http = []                   # origins: "https://bucket.s3.eu-west-1.amazonaws.com"
tcp = []                    # "db.internal:27017"

# [datastore.auth]          # granted origins whose requests the host signs, so that the extension sees no secret
# "https://bucket.s3.eu-west-1.amazonaws.com" = {{ scheme = "aws-sigv4" }}

[locks]
store = "file"              # kernel locks: one machine, or one shared file system
# path = "/shared/locks"    # the same folder for everybody who writes to the remote
# wait = "60s"
"#
    )
}
