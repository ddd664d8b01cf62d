use std::path::{Path, PathBuf};
use std::time::Duration;

use lockkeeper_check::report::{Format, Report};
use lockkeeper_check::{
    Check, CheckConfig, Counts, Options, Outcome, Progress, Replay, Settings, Subject, SuiteName,
    SuiteVerdict, Verdict,
};
use lockkeeper_host::{ComponentFile, Error};

use super::Context;
use crate::exit;
use crate::failure::Failure;
use crate::ui::Ui;

/// Put an extension's promises to the test
///
/// Runs the extension in memory, step by step, against a remote that is in memory as
/// well: whole calls, two pushes in every order, a push that is killed at any instant,
/// a remote that fails. What was pushed is judged from outside, by a fresh pull. What is
/// found is shown as the shortest run that shows it, and --replay repeats exactly that.
///
/// Without --config it gets an empty folder at /remote and root = "/remote". A file says
/// otherwise:
///
///   [config]                   # handed to the extension as [datastore.config]
///   root = "/share"
///
///   [remote]
///   folders = ["/share"]       # where it sees its remote; or an object store:
///   s3 = [{ origin = "https://s3.test", bucket = "bucket" }]      # gcs likewise
///
/// A datastore behind TCP is checked against its real server: one that can be thrown away,
/// since each run leaves something in a place of its own, called {namespace}:
///
///   [config]
///   url = "mongodb://127.0.0.1:27017/{namespace}"
///
///   [remote]
///   tcp = ["127.0.0.1:27017"]
///
/// But for such a server, nothing outside of this process is read, written or reached. No
/// repository is needed.
///
/// Examples:
///   lockkeeper check ./my-extension.wasm
///   lockkeeper check ./my-extension.wasm --suite crash --budget 10m
///   lockkeeper check ./my-extension.wasm --format junit > check.xml
#[derive(clap::Args)]
#[command(verbatim_doc_comment, after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// The .wasm file
    file: PathBuf,
    /// What the extension is given, as TOML
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Only this suite; may be given several times
    #[arg(long = "suite", value_name = "SUITE")]
    suites: Vec<SuiteName>,
    /// How long the check may take, such as 30 (seconds) or 10m
    #[arg(long, value_name = "TIME", default_value = "60", value_parser = budget)]
    budget: Duration,
    /// How often a guest may be stopped in favour of another one
    #[arg(long, value_name = "N", default_value_t = Options::default().preemptions)]
    preemptions: usize,
    /// Where all that looks random comes from
    #[arg(long, value_name = "N", default_value_t = Options::default().seed)]
    seed: u64,
    /// Repeat the run that a finding names, and nothing else
    #[arg(long, value_name = "RUN", conflicts_with_all = ["suites", "seed", "preemptions"])]
    replay: Option<Replay>,
    /// How to write the report: text, json, junit or html
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

const AFTER_HELP: &str = "\
Suites:
  contract     errors, reports and conflicts, as the contract has them
  roundtrip    random trees are pushed, changed and pulled
  scope        scoped calls touch nothing outside of their scope
  interleave   two at a time, in every order up to --preemptions
  crash        killed at each operation, with and without a power loss
  fault        each operation of the remote fails
  limits       many files and large ones, within the limits of a call

Exit code 0 only if everything that was tried held, 76 if not.";

fn budget(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds) => Ok(Duration::from_secs(seconds)),
        Err(_) => crate::duration(text),
    }
}

pub(super) async fn run(context: &Context<'_>, args: Args) -> Result<u8, Failure> {
    let stop = context.signals.stop.clone();
    let (ui, compiled) = (context.ui.clone(), context.machine.compiled.clone());
    let checked = tokio::task::spawn_blocking(move || check(&ui, &args, compiled.as_deref()));
    tokio::select! {
        checked = checked => checked.map_err(|error| Failure::system(format!("the check broke off: {error}")))?,
        () = stop.cancelled() => Ok(context.signals.exit_code().unwrap_or(exit::SIGNAL)),
    }
}

fn check(ui: &Ui, args: &Args, compiled: Option<&Path>) -> Result<u8, Failure> {
    let (settings, assumed) = settings(args)?;
    let component = |source| Failure::from(Error::Component { path: args.file.clone(), source });
    let bytes = ComponentFile::bytes_of(&args.file).map_err(component)?;
    ui.status("loading the extension");
    let subject = Subject::load(&bytes, settings, compiled).map_err(component)?;
    let options = Options { budget: args.budget, preemptions: args.preemptions, seed: args.seed };
    let check = Check::new(&subject, options);
    let verdict = match &args.replay {
        Some(replay) => repeat(&check, &subject, replay)?,
        None if args.suites.is_empty() => check.run_with(&mut Shown(ui)),
        None => check.only(&args.suites).run_with(&mut Shown(ui)),
    };
    let command = command(args);
    let report = Report::new(&verdict, &assumed, &command);
    ui.data(&report, || report.render(args.format))?;
    if !report.held && args.config.is_none() && verdict.findings.iter().any(needs_config) {
        ui.note("it doesn't work with the configuration that was assumed; give it one with --config");
    }
    Ok(if report.held { exit::OK } else { exit::NOT_CONFORMANT })
}

/// Whether a finding says that an ordinary call was refused for its configuration.
fn needs_config(finding: &lockkeeper_check::Finding) -> bool {
    finding.suite == SuiteName::Contract
        && finding.violation.text.contains("with nothing in its way fails: error config")
}

fn settings(args: &Args) -> Result<(Settings, Vec<String>), Failure> {
    let Some(path) = &args.config else {
        let assumed =
            "a folder as the remote, seen at /remote, and root = \"/remote\" (there is no --config)";
        return Ok((Settings::folder(), vec![assumed.to_owned()]));
    };
    let config = CheckConfig::read(path);
    let config =
        config.map_err(|error| Failure { code: exit::CONFIG, ..Failure::system(error.to_string()) })?;
    Ok(config.settings())
}

/// How the check was called, as far as a replay needs it.
fn command(args: &Args) -> String {
    let quoted = |path: &Path| lockkeeper_check::report::quoted(&path.to_string_lossy());
    let config =
        args.config.as_ref().map(|config| format!(" --config {}", quoted(config))).unwrap_or_default();
    format!("lockkeeper check {}{config}", quoted(&args.file))
}

/// Repeats one run. Its verdict is about that run and nothing else.
fn repeat(check: &Check<'_>, subject: &Subject, replay: &Replay) -> Result<Verdict, Failure> {
    let began = std::time::Instant::now();
    let finding = check.replay(replay).map_err(Failure::usage)?;
    let outcome = if finding.is_some() { Outcome::Broken } else { Outcome::Held };
    let seconds = began.elapsed().as_secs_f64();
    let counts = Counts { schedules: 1, ..Counts::default() };
    let identity = subject.identity();
    Ok(Verdict {
        extension: identity.name.to_string(),
        version: identity.version.clone(),
        digest: identity.digest.to_string(),
        scoped_sync: subject.scoped_sync(),
        seed: replay.seed,
        preemptions: replay.schedule.preemptions(),
        suites: vec![SuiteVerdict { suite: replay.suite, outcome, counts, seconds }],
        findings: finding.into_iter().collect(),
    })
}

/// Shows on a terminal how far the check has come.
struct Shown<'a>(&'a Ui);

impl Progress for Shown<'_> {
    fn explored(&mut self, suite: SuiteName, counts: &Counts, used: f64) {
        let tried = counts.cases + counts.schedules + counts.crash_points + counts.faults;
        self.0.share(used, &format!("{suite}: {tried} tried"));
    }
}
