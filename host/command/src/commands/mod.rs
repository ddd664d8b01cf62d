mod check;
mod extensions;
mod index;
mod init;
mod locks;
mod new;
mod pull;
mod push;
mod run;
mod status;
mod transfer;

use std::path::PathBuf;

use lockkeeper_host::{Machine, Repository};

use crate::Cli;
use crate::failure::Failure;
use crate::machine::machine;
use crate::signals::Signals;
use crate::ui::Ui;

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    Init(init::Args),
    #[command(subcommand)]
    Extensions(extensions::Command),
    Pull(pull::Args),
    Push(push::Args),
    Run(run::Args),
    Status(status::Args),
    #[command(subcommand)]
    Locks(locks::Command),
    #[command(subcommand)]
    Index(index::Command),
    Check(check::Args),
    New(new::Args),
}

/// What every subcommand works with.
pub(crate) struct Context<'a> {
    pub(crate) ui: &'a Ui,
    pub(crate) folder: PathBuf,
    pub(crate) machine: Machine,
    pub(crate) signals: Signals,
}

impl Context<'_> {
    pub(crate) fn repository(&self) -> Result<Repository, Failure> {
        Ok(Repository::open(&self.folder)?)
    }
}

/// Carries out one command and returns its exit code.
pub(crate) async fn run(cli: Cli, ui: &Ui) -> Result<u8, Failure> {
    use tracing_subscriber::filter::LevelFilter;
    let level = if ui.verbose() { LevelFilter::INFO } else { LevelFilter::WARN };
    let lines = tracing_subscriber::fmt().with_writer(std::io::stderr).without_time().with_ansi(false);
    // The only one that this process installs.
    _ = tracing_subscriber::util::SubscriberInitExt::try_init(lines.with_max_level(level).finish());
    let signals =
        Signals::listen(ui).map_err(|error| Failure::system(format!("can't listen to signals: {error}")))?;
    let machine = machine(ui, signals.stop.clone(), cli.wait)?;
    let context = Context { ui, folder: cli.repo, machine, signals };
    match cli.command {
        Command::Init(args) => init::run(&context, args),
        Command::Extensions(command) => extensions::run(&context, command).await,
        Command::Pull(args) => pull::run(&context, args).await,
        Command::Push(args) => push::run(&context, args).await,
        Command::Run(args) => run::run(&context, args).await,
        Command::Status(args) => status::run(&context, args).await,
        Command::Locks(command) => locks::run(&context, command).await,
        Command::Index(command) => index::run(&context, command).await,
        Command::Check(args) => check::run(&context, args).await,
        Command::New(args) => new::run(&context, args),
    }
}
