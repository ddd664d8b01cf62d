//! The `lockkeeper` command: a thin shell over the library `lockkeeper-host`.
//!
//! Here, and only here, the environment, the home folder and the terminal are read. Each subcommand is one file in
//! `commands/`: its arguments, whose documentation is the help text, and one function. Data goes to standard
//! output, everything else to standard error.

mod commands;
pub mod exit;
mod failure;
mod machine;
mod signals;
mod ui;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
/// The allocator of the command's process: a check allocates and frees millions of small things a second.
pub use mimalloc::MiMalloc as Allocator;

use crate::failure::Failure;
use crate::ui::Ui;

/// Runs datastore extensions in a sandbox and holds every lock on their behalf.
///
/// A repository is a folder with a lockkeeper.toml. It keeps its data in a local cache, data/TYPE/ID/… for each
/// model, and syncs it with a remote through an extension, a WebAssembly component that reaches what
/// you grant it and nothing else.
#[derive(Parser)]
#[command(name = "lockkeeper", version, max_term_width = 100, after_help = AFTER_HELP)]
pub(crate) struct Cli {
    /// The repository
    #[arg(long, value_name = "DIR", global = true, default_value = ".")]
    repo: PathBuf,
    /// Print one JSON document on standard output
    #[arg(long, global = true)]
    json: bool,
    /// How long to wait for locks, such as 90s or 10m; the default is 60s, or what lockkeeper.toml says
    #[arg(long, value_name = "TIME", global = true, value_parser = duration)]
    wait: Option<Duration>,
    /// Print more: the extension's debug messages, what was moved
    #[arg(long, short, global = true)]
    verbose: bool,
    #[command(subcommand)]
    command: commands::Command,
}

const AFTER_HELP: &str = "\
Examples:
  lockkeeper init --extension @lockkeeper/filesystem
  lockkeeper run --model aws-ec2/web -- ./deploy.sh
  lockkeeper status

See `lockkeeper COMMAND --help` for more examples.";

/// Whether a command line that can't be read asks for JSON.
fn wants_json() -> bool {
    std::env::args_os().skip(1).take_while(|argument| argument != "--").any(|argument| argument == "--json")
}

fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}; write it like 90s or 10m"))
}

/// Reads the command line, carries it out, and says how it went.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let wrong = error.use_stderr();
            // Nothing can be done if even this can't be printed.
            _ = error.print();
            if wrong {
                let text = error.render().to_string();
                let message = text.split("\n\n").next().unwrap_or_default();
                let failure = Failure::usage(message.strip_prefix("error: ").unwrap_or(message).trim_end());
                Ui::new(wants_json(), false).error_document(&failure);
            }
            return ExitCode::from(if wrong { exit::USAGE } else { exit::OK });
        }
    };
    let ui = Ui::new(cli.json, cli.verbose);
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return ui.fail(&Failure::system(format!("can't start: {error}"))),
    };
    let code = match runtime.block_on(commands::run(cli, &ui)) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => ui.fail(&failure),
    };
    // A guest may have left a file operation behind that never ends; it must not keep the process.
    runtime.shutdown_background();
    code
}
