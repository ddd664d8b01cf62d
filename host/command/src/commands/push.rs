use lockkeeper_host::ModelId;

use super::Context;
use super::transfer::{finish, reach, session};
use crate::failure::Failure;

/// Send what changed in the cache to the remote
///
/// Sends the named models' changes, or all of them if none is named; all of them
/// waits until no model command is running. Sends only what changed here since
/// the last sync, so an old copy never overwrites newer files. A file that
/// changed in the remote as well is a conflict: it is named, and nothing is
/// overwritten.
///
/// Examples:
///   lockkeeper push
///   lockkeeper push --model aws-ec2/web --model aws-ec2/db
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// A model to push; may be given several times
    #[arg(long = "model", value_name = "TYPE/ID")]
    models: Vec<ModelId>,
}

pub(super) async fn run(context: &Context<'_>, args: Args) -> Result<u8, Failure> {
    let reach = reach(args.models);
    let session = session(context).await?;
    let result = session.push(&reach).await.map_err(Failure::from);
    finish(context, "push", reach, &session, result)
}
