use lockkeeper_host::{LockKey, Released};
use serde_json::json;

use super::Context;
use crate::exit;
use crate::failure::Failure;
use crate::ui::table;

/// See who holds locks, and clear away what a dead process left
///
/// These commands never wait for a lock.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// List who holds which lock, since when, for which command
    List,
    /// Clear away one hold of a lock whose process is gone
    ///
    /// The kernel frees the locks of a process that ends, so this is seldom needed.
    /// A live process keeps its lock: end it with the command that the error names.
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
    let store = repository.locks(&context.machine);
    match command {
        Command::List => {
            let holders = store.holders().await.map_err(lockkeeper_host::Error::from)?;
            let folder = repository.locks_folder(&context.machine);
            let document = json!({ "store": "file", "folder": folder, "holders": holders });
            context.ui.data(&document, || {
                if holders.is_empty() {
                    return format!("no lock is held in {}", folder.display());
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
            let what = match released {
                Released::Stale => "its process was gone; the record was cleared away",
            };
            context
                .ui
                .data(&json!({ "key": key, "id": id, "released": "stale" }), || format!("{key}: {what}"))?;
        }
    }
    Ok(exit::OK)
}
