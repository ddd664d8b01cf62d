use lockkeeper_host::{Change, DamagedRecord, LocksStatus, Status};
use serde_json::{Value, json};

use super::Context;
use crate::exit;
use crate::failure::{Failure, chain};
use crate::ui::printable;

/// Show what is not pushed, what is wrong, and who holds locks
///
/// Takes no lock, writes nothing, and does not run the extension.
///
/// Examples:
///   lockkeeper status
///   lockkeeper status --json | jq -r '.changes[].path'
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {}

pub(super) async fn run(context: &Context<'_>, _args: Args) -> Result<u8, Failure> {
    let status = context.repository()?.status(&context.machine).await?;
    context.ui.data(&document(&status), || text(&status))?;
    Ok(exit::OK)
}

fn document(status: &Status) -> Value {
    let changes: Vec<Value> = status
        .scan
        .changes
        .iter()
        .map(|change| match change {
            Change::Written { path, size, .. } => json!({ "path": path, "change": "written", "size": size }),
            Change::Deleted { path, .. } => json!({ "path": path, "change": "deleted" }),
        })
        .collect();
    let skipped: Vec<Value> = status
        .scan
        .skipped
        .iter()
        .map(|skipped| json!({ "path": skipped.path, "reason": skipped.reason.to_string() }))
        .collect();
    let damaged: Vec<String> = status.scan.damaged.iter().map(damaged).collect();
    json!({
        "extension": status.extension.as_ref().ok(),
        "extension_problem": status.extension.as_ref().err().map(ToString::to_string),
        "changes": changes,
        "interrupted_pulls": status.scan.interrupted,
        "skipped": skipped,
        "damaged_records": damaged,
        "locks": locks(&status.locks),
    })
}

fn locks(locks: &LocksStatus) -> Value {
    let answer = locks.answer.as_ref();
    json!({
        "store": locks.kind,
        "place": locks.place,
        "round_trip_ms": answer.ok().map(|(round_trip, _)| round_trip.as_secs_f64() * 1000.0),
        "problem": answer.err().map(|error| chain(error)),
        "holders": answer.ok().map(|(_, holders)| holders),
    })
}

fn text(status: &Status) -> String {
    let mut lines = Vec::new();
    match &status.extension {
        Ok(identity) => {
            lines.push(format!(
                "extension  {} {} ({})",
                identity.name,
                identity.version,
                identity.digest.short()
            ));
        }
        Err(error) => lines.push(format!("extension  {error}")),
    }
    let LocksStatus { kind, place, answer } = &status.locks;
    match answer {
        Ok((round_trip, holders)) => {
            let round_trip = round_trip.as_secs_f64() * 1000.0;
            lines.push(format!("locks      {kind}, in {}, answers in {round_trip:.1} ms", printable(place)));
            lines.extend(
                holders.iter().map(|holder| format!("           {}: {} {holder}", holder.key, holder.mode)),
            );
        }
        Err(error) => lines.push(format!("locks      {}", printable(&chain(error)))),
    }
    lines.push(String::new());
    for folder in &status.scan.interrupted {
        lines.push(format!(
            "a pull of {folder} was cut off; it may hold old and new files: run `lockkeeper pull`"
        ));
    }
    for skipped in &status.scan.skipped {
        lines.push(format!("not synced: {} {}", skipped.path.escape_debug(), skipped.reason));
    }
    lines.extend(status.scan.damaged.iter().map(damaged));
    let changes = &status.scan.changes;
    if changes.is_empty() {
        lines.push("nothing to push".to_owned());
    } else {
        lines.push(format!("not pushed ({}; `lockkeeper push` sends them):", changes.len()));
        lines.extend(changes.iter().map(|change| {
            let what = if matches!(change, Change::Written { .. }) { "written" } else { "deleted" };
            format!("  {what}  {}", change.path().as_str().escape_debug())
        }));
    }
    lines.join("\n")
}

fn damaged(record: &DamagedRecord) -> String {
    format!(
        "the record of {} can't be read ({}): its files count as never synced until the next sync",
        record.folder, record.problem
    )
}
