use lockkeeper_host::{LockKey, Released};
use serde_json::json;

use super::Context;
use crate::exit;
use crate::failure::Failure;
use crate::ui::table;

/// See who holds locks, and end a hold
///
/// These commands never wait for a lock.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// List who holds which lock, since when, for which command
    List,
    /// End one hold of a lock
    ///
    /// For a process that hangs, or whose machine is gone: its hold is ended only if
    /// it still has this id. Where locks have leases, its holder stops as soon as it
    /// notices, and nobody gets the lock before that or before the lease is over.
    /// In the file store a live process keeps its lock: end it with the command that
    /// the error names. The kernel frees the locks of a process that is gone.
    ///
    /// Example:
    ///   lockkeeper locks release model/aws-ec2/web --id 5f2c…
    #[command(verbatim_doc_comment)]
    Release {
        /// The lock, as `locks list` names it
        key: LockKey,
        /// The hold, as `locks list` names it
        #[arg(long)]
        id: String,
    },
}

pub(super) async fn run(context: &Context<'_>, command: Command) -> Result<u8, Failure> {
    let repository = context.repository()?;
    let store = repository.locks(&context.machine)?;
    match command {
        Command::List => {
            let holders = store.holders().await.map_err(lockkeeper_host::Error::from)?;
            let (kind, place) = (store.kind(), store.place());
            let document = json!({ "store": kind, "place": place, "holders": holders });
            context.ui.data(&document, || {
                if holders.is_empty() {
                    return format!("no lock is held in {}", crate::ui::printable(&place));
                }
                let head = ["LOCK", "MODE", "SINCE", "WHO", "COMMAND", "ID"];
                let mut rows = vec![head.map(str::to_owned).to_vec()];
                rows.extend(holders.iter().map(|holder| {
                    let mode = if holder.waiting {
                        format!("next: {}", holder.mode)
                    } else {
                        holder.mode.to_string()
                    };
                    let who = format!("{}@{} pid {}", holder.user, holder.host, holder.pid);
                    let cells =
                        [holder.key.to_string(), mode, holder.since.clone(), who, holder.command.clone()];
                    let mut row: Vec<String> = cells.iter().map(|cell| crate::ui::printable(cell)).collect();
                    row.push(holder.id.clone());
                    row
                }));
                table(&rows)
            })?;
        }
        Command::Release { key, id } => {
            let released = store.release(&key, &id).await.map_err(lockkeeper_host::Error::from)?;
            let (released, within, what) = match released {
                Released::Stale => {
                    ("stale", None, "its process was gone; the record was cleared away".to_owned())
                }
                Released::Ending { within } => (
                    "ending",
                    Some(within.as_secs_f64()),
                    format!(
                        "its holder loses it as soon as it notices; it is free within {}",
                        humantime::format_duration(within)
                    ),
                ),
                Released::Waiting => (
                    "waiting",
                    None,
                    "it was waited for, not held; whoever waited has lost its place".to_owned(),
                ),
            };
            let document = json!({ "key": key, "id": id, "released": released, "within_s": within });
            context.ui.data(&document, || format!("{key}: {what}"))?;
        }
    }
    Ok(exit::OK)
}
