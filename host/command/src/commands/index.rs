use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use lockkeeper_host::{Finding, FindingKind, IndexAction, ModelId, Reach};
use serde_json::json;

use super::Context;
use super::transfer::{reach, session};
use crate::exit;
use crate::failure::Failure;
use crate::ui::printable;

/// Show, check and repair the index that the extension keeps in the remote
///
/// The index says which files the remote has. An extension built on the SDK keeps
/// one part of it for each model. Extensions without an index have no such commands.
#[derive(clap::Subcommand)]
#[command(verbatim_doc_comment)]
pub(crate) enum Command {
    /// List what the index says the remote has
    ///
    /// Takes no lock and changes nothing.
    ///
    /// Examples:
    ///   lockkeeper index show
    ///   lockkeeper index show --model aws-ec2/web
    #[command(verbatim_doc_comment)]
    Show(Args),
    /// Check the index against the content that the remote holds
    ///
    /// Reads all content. Takes no lock and changes nothing. Exits with 74 if something
    /// is wrong: `missing` and `different` files have no content or another one than
    /// listed, `damaged` parts of the index can't be read, `unlisted` files have content
    /// and the part of the index that would list them is gone.
    ///
    /// Examples:
    ///   lockkeeper index verify
    ///   lockkeeper index verify --model aws-ec2/web --json
    #[command(verbatim_doc_comment)]
    Verify(Args),
    /// Make lost and damaged parts of the index anew, from the content that the remote holds
    ///
    /// Parts that can be read stay as they are. What a damaged part still says of deleted
    /// files is kept; a part that is gone knows of none. Takes the locks of a push.
    ///
    /// Examples:
    ///   lockkeeper index rebuild
    ///   lockkeeper index rebuild --model aws-ec2/web
    #[command(verbatim_doc_comment)]
    Rebuild(Args),
    /// Divide one index for everything into one for each model
    ///
    /// For a remote that was kept by an extension without `scoped-sync`, after `extension` in
    /// lockkeeper.toml was set to one that declares it. Whoever still uses the old one is refused
    /// from then on. Cut off, it is run again. Takes the repository's lock alone.
    ///
    /// Example:
    ///   lockkeeper index convert
    #[command(verbatim_doc_comment)]
    Convert,
}

#[derive(clap::Args)]
pub(crate) struct Args {
    /// A model; may be given several times
    #[arg(long = "model", value_name = "TYPE/ID")]
    models: Vec<ModelId>,
}

pub(super) async fn run(context: &Context<'_>, command: Command) -> Result<u8, Failure> {
    let (action, reach) = match command {
        Command::Show(args) => (IndexAction::Show, reach(args.models)),
        Command::Verify(args) => (IndexAction::Verify, reach(args.models)),
        Command::Rebuild(args) => (IndexAction::Rebuild, reach(args.models)),
        Command::Convert => (IndexAction::Convert, Reach::Structural),
    };
    let session = session(context).await?;
    let found: Arc<Mutex<Vec<Finding>>> = Arc::default();
    let add = {
        let found = found.clone();
        move |finding| found.lock().unwrap_or_else(PoisonError::into_inner).push(finding)
    };
    let failure = session.index(action, &reach, Arc::new(add)).await.err().map(Failure::from);
    let mut found = std::mem::take(&mut *found.lock().unwrap_or_else(PoisonError::into_inner));
    found.sort_by(|one, other| (&one.path, one.kind).cmp(&(&other.path, other.kind)));
    let wrong = found.iter().any(|finding| is_wrong(finding.kind));
    let code = match &failure {
        Some(failure) => context.signals.exit_code().unwrap_or(failure.code),
        None if wrong => exit::DAMAGED,
        None => exit::OK,
    };
    if let Some(failure) = &failure {
        context.ui.show(failure);
    }
    let (locks, _) = session.journal();
    let document = json!({
        "findings": found,
        "locks": locks,
        "error": failure.as_ref().map(Failure::report),
        "exit_code": code,
    });
    context.ui.data(&document, || found.iter().map(line).collect::<Vec<_>>().join("\n"))?;
    if failure.is_none() {
        context.ui.note(&summary(action, &found));
        advice(&found).into_iter().for_each(|advice| context.ui.note(advice));
    }
    Ok(code)
}

fn is_wrong(kind: FindingKind) -> bool {
    use FindingKind::{Converted, Damaged, Deleted, Different, Listed, Missing, Recovered, Unlisted};
    match kind {
        Missing | Different | Damaged | Unlisted => true,
        Listed | Deleted | Recovered | Converted => false,
    }
}

fn name(kind: FindingKind) -> &'static str {
    match kind {
        FindingKind::Listed => "listed",
        FindingKind::Deleted => "deleted",
        FindingKind::Missing => "missing",
        FindingKind::Different => "different",
        FindingKind::Damaged => "damaged",
        FindingKind::Unlisted => "unlisted",
        FindingKind::Recovered => "recovered",
        FindingKind::Converted => "converted",
    }
}

/// A finding as one line; the guest's texts can't begin another one.
fn line(finding: &Finding) -> String {
    let size = finding.size.map(|size| size.to_string()).unwrap_or_default();
    let note = finding.note.as_ref().map(|note| format!("  ({note})")).unwrap_or_default();
    let path = finding.path.escape_debug();
    printable(&format!("{:<9}  {size:>12}  {path}{note}", name(finding.kind)))
}

fn summary(action: IndexAction, found: &[Finding]) -> String {
    let mut counts: BTreeMap<FindingKind, usize> = BTreeMap::new();
    for finding in found {
        *counts.entry(finding.kind).or_default() += 1;
    }
    if counts.is_empty() {
        return match action {
            IndexAction::Show => "the index lists nothing",
            IndexAction::Verify => "the remote holds what the index lists",
            IndexAction::Rebuild => "no part of the index is lost or damaged",
            IndexAction::Convert => "nothing was left to convert",
        }
        .to_owned();
    }
    let counts: Vec<String> =
        counts.into_iter().map(|(kind, count)| format!("{count} {}", name(kind))).collect();
    counts.join(", ")
}

/// What to do about what is wrong.
fn advice(found: &[Finding]) -> Vec<&'static str> {
    let any = |kinds: &[FindingKind]| found.iter().any(|finding| kinds.contains(&finding.kind));
    let mut advice = Vec::new();
    if any(&[FindingKind::Damaged, FindingKind::Unlisted]) {
        advice.push("`lockkeeper index rebuild` makes lost and damaged parts of the index anew");
    }
    if any(&[FindingKind::Missing, FindingKind::Different]) {
        advice.push("restore that content in the remote, or change those files and push them");
    }
    advice
}
