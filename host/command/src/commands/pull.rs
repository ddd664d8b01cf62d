use lockkeeper_host::{ModelId, OnConflict};

use super::Context;
use super::transfer::{finish, reach, session};
use crate::failure::Failure;

/// Bring the remote's files into the cache
///
/// Brings the named models' files, or everything if none is named; everything
/// waits until no model command is running. Never overwrites work that was not
/// pushed: it stops and names the files, unless --on-conflict says which version
/// to keep. The other version is then saved below .lockkeeper/conflicts.
///
/// Examples:
///   lockkeeper pull
///   lockkeeper pull --model aws-ec2/web
///   lockkeeper pull --model aws-ec2/web --on-conflict keep-local
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// A model to pull; may be given several times
    #[arg(long = "model", value_name = "TYPE/ID")]
    models: Vec<ModelId>,
    /// What to do with a file that changed both here and in the remote
    #[arg(long, value_name = "WHAT", default_value = "stop")]
    on_conflict: Choice,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Choice {
    /// Change nothing and name the files
    Stop,
    /// Keep the local version; the next push overwrites the remote's
    KeepLocal,
    /// Take the remote's version
    KeepRemote,
}

impl From<Choice> for OnConflict {
    fn from(choice: Choice) -> Self {
        match choice {
            Choice::Stop => Self::Stop,
            Choice::KeepLocal => Self::KeepLocal,
            Choice::KeepRemote => Self::KeepRemote,
        }
    }
}

pub(super) async fn run(context: &Context<'_>, args: Args) -> Result<u8, Failure> {
    let reach = reach(args.models);
    let session = session(context).await?;
    let result = session.pull(&reach, args.on_conflict.into()).await.map_err(Failure::from);
    finish(context, "pull", reach, &session, result)
}
