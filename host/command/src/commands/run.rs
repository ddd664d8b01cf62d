use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use lockkeeper_host::{Error, Held, ModelId, OnLost, Session, Transfer};
use rustix::process::{Pid, Signal, kill_process};

use super::Context;
use super::transfer::{notes, report, session, summary};
use crate::exit;
use crate::failure::Failure;
use crate::machine::HELD;

/// Lock models, pull them, run a command, push what it changed, release
///
/// Takes the models' locks, brings their files, runs the command, and sends what
/// it changed under their folders. What the command wrote is pushed whatever its
/// exit code, which is passed through; after an interrupt it is kept and marked,
/// and the next run or push sends it. The command runs in the current folder.
///
/// Examples:
///   lockkeeper run --model aws-ec2/web -- ./deploy.sh
///   lockkeeper run --model aws-ec2/web --model aws-ec2/db -- make all
///   lockkeeper run --model aws-ec2/web --report run.json -- terraform apply
#[derive(clap::Args)]
#[command(verbatim_doc_comment, after_help = exit::TABLE)]
pub(crate) struct Args {
    /// A model that the command works on; may be given several times
    #[arg(long = "model", value_name = "TYPE/ID", required = true)]
    models: Vec<ModelId>,
    /// Fail if the command changed files of other models; looks at the whole cache
    #[arg(long)]
    strict: bool,
    /// Write what happened to this file as JSON: locks, calls, outcome
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// The command and its arguments
    #[arg(value_name = "COMMAND", required = true, last = true)]
    command: Vec<OsString>,
}

pub(super) async fn run(context: &Context<'_>, args: Args) -> Result<u8, Failure> {
    let models: BTreeSet<ModelId> = args.models.iter().cloned().collect();
    let session = session(context).await;
    let (session, ran) = match session {
        Ok(session) => {
            let work = async |held| child(context, &args.command, held, &session).await;
            let ran = session.run(&models, args.strict, work).await;
            (Some(session), ran.map_err(Failure::from))
        }
        Err(failure) => (None, Err(failure)),
    };
    let (code, transfer, failure) = match ran {
        Ok((Ok(code), pushed)) => conclude(context, code, pushed),
        Ok((Err(failure), _)) => (failure.code, None, Some(failure)),
        Err(failure) => (context.signals.exit_code().unwrap_or(failure.code), None, Some(failure)),
    };
    let report = report("run", models, session.as_ref(), transfer.as_ref(), failure.as_ref(), code);
    if let Some(path) = &args.report {
        let text = serde_json::to_string_pretty(&report).map_err(anyhow::Error::from)?;
        write(path, &text)?;
    }
    if let Some(failure) = &failure {
        context.ui.show(failure);
    }
    if let (Some(session), Some(transfer)) = (&session, &transfer) {
        notes(context, transfer);
        say(context, session);
    }
    if context.ui.json() {
        context.ui.data(&report, String::new)?;
    }
    Ok(code)
}

/// The command's own code if it failed, else that of what failed after it. A lost lock may be why it failed.
fn conclude(
    context: &Context<'_>,
    code: u8,
    pushed: Result<Transfer, Error>,
) -> (u8, Option<Transfer>, Option<Failure>) {
    match pushed {
        Ok(transfer) => (code, Some(transfer), None),
        Err(error) => {
            let failure = Failure::from(error);
            let own = context.signals.exit_code().unwrap_or(failure.code);
            (if code == exit::OK || own == exit::LOCK_LOST { own } else { code }, None, Some(failure))
        }
    }
}

fn say(context: &Context<'_>, session: &Session) {
    if context.ui.verbose() {
        context.ui.note(&summary(&session.journal().1));
    }
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, format!("{text}\n"))
        .map_err(|error| Failure::system(format!("can't write the report {}: {error}", path.display())))
}

/// Runs the command and returns its exit code as a shell would.
async fn child(
    context: &Context<'_>,
    command: &[OsString],
    held: Held,
    session: &Session,
) -> Result<u8, Failure> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(Failure::usage("there is no command to run"));
    };
    let mut outer: Vec<String> = context.machine.outer.iter().map(ToString::to_string).collect();
    outer.push(held.to_string());
    let mut child = tokio::process::Command::new(program);
    child.args(arguments).env(HELD, outer.join(";"));
    if context.ui.json() {
        // Standard output is the report's.
        child.stdout(Stdio::from(std::io::stderr()));
    }
    die_with_parent(&mut child);
    let cannot = |error: std::io::Error| {
        let code = match error.kind() {
            std::io::ErrorKind::NotFound => exit::NOT_FOUND,
            _ => exit::NOT_EXECUTABLE,
        };
        let message = format!("can't run {}: {error}", program.to_string_lossy());
        Failure { code, message, hint: None, trace: None }
    };
    let mut running = child.spawn().map_err(cannot)?;
    context.signals.child(running.id());
    let ended = tokio::select! {
        ended = running.wait() => Some(ended),
        lost = session.lost() => {
            let stops = session.repository().config().locks.on_lost == OnLost::StopCommand;
            let then = if stops { "the command is stopped" } else { "the command goes on without it" };
            context.ui.warn(&format!("the lock `{}` was lost ({}); {then}, and nothing is pushed", lost.key, lost.loss));
            if stops { stop(&mut running).await } else { None }
        }
    };
    let ended = match ended {
        Some(ended) => ended,
        None => running.wait().await,
    };
    let status = ended.map_err(cannot)?;
    context.signals.child(None);
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    let code = match (status.code(), signal) {
        (Some(code), _) => code,
        (None, Some(signal)) => i32::from(exit::SIGNAL) + signal,
        (None, None) => i32::from(exit::SYSTEM),
    };
    Ok(u8::try_from(code).unwrap_or(exit::SYSTEM))
}

/// How long a command may take to end once it is asked to.
const GRACE: Duration = Duration::from_secs(10);

/// Asks a command to end, and ends it if it doesn't.
async fn stop(running: &mut tokio::process::Child) -> Option<std::io::Result<ExitStatus>> {
    let pid = running.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
    if let Some(pid) = pid {
        // It may have ended by itself.
        _ = kill_process(pid, Signal::TERM);
    }
    if let Ok(ended) = tokio::time::timeout(GRACE, running.wait()).await {
        return Some(ended);
    }
    // If even this fails, it is waited for.
    _ = running.start_kill();
    None
}

/// Asks the kernel to end the command when this process dies, since nobody holds its locks from then on.
#[cfg(target_os = "linux")]
fn die_with_parent(command: &mut tokio::process::Command) {
    use rustix::process::{getppid, set_parent_process_death_signal};
    let parent = rustix::process::getpid();
    // Safety: between fork and exec only system calls are made, and nothing is allocated.
    #[expect(unsafe_code, reason = "the only way to set it in the child")]
    unsafe {
        command.pre_exec(move || {
            set_parent_process_death_signal(Some(Signal::TERM))?;
            // The parent may have died before that.
            if getppid() == Some(parent) { Ok(()) } else { Err(std::io::ErrorKind::Interrupted.into()) }
        });
    }
}

#[cfg(not(target_os = "linux"))]
fn die_with_parent(_command: &mut tokio::process::Command) {}
