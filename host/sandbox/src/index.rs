use std::path::PathBuf;
use std::sync::Arc;

use lockkeeper_names::Scope;

/// What to do with the index that an extension keeps in its remote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexAction {
    /// Tell what it lists.
    Show,
    /// Compare it with the content that the remote holds.
    Verify,
    /// Make its lost and damaged parts anew.
    Rebuild,
    /// Divide one index of everything into one for each scope.
    Convert,
}

impl IndexAction {
    /// The function of the contract.
    pub fn name(self) -> &'static str {
        match self {
            Self::Show => "index.show",
            Self::Verify => "index.verify",
            Self::Rebuild => "index.rebuild",
            Self::Convert => "index.convert",
        }
    }

    /// Whether it changes nothing, and so runs beside pushes.
    pub fn reads(self) -> bool {
        matches!(self, Self::Show | Self::Verify)
    }
}

/// What was found in an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingKind {
    /// The index lists this file.
    Listed,
    /// The index knows that this file was deleted.
    Deleted,
    /// The index lists this file, and the remote has no content for it.
    Missing,
    /// The index lists this file, and the remote's content is another one.
    Different,
    /// This part of the index can't be read.
    Damaged,
    /// The remote has this file's content, and the part of the index that would list it is gone or damaged.
    Unlisted,
    /// The file is listed again.
    Recovered,
    /// This part of the index was made of what listed everything.
    Converted,
}

/// One thing that an extension found in its index. The texts are the guest's.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// What was found.
    pub kind: FindingKind,
    /// The path of the file in the cache, or the name of the part of the index.
    pub path: String,
    /// The digest that the index lists.
    pub digest: Option<String>,
    /// The size in bytes that the index lists.
    pub size: Option<u64>,
    /// Anything else.
    pub note: Option<String>,
}

/// Hears what is found, one finding at a time.
pub type OnFinding = Arc<dyn Fn(Finding) + Send + Sync>;

/// What a call about the index hands to the guest.
pub struct Indexed {
    /// What to do.
    pub action: IndexAction,
    /// The scope to pass.
    pub scope: Option<Scope>,
    /// The extension's own folder for this scope and such calls.
    pub state: PathBuf,
    /// The fencing number of the lock that the call is made under, if its store has one.
    pub fence: Option<u64>,
    /// Hears what is found.
    pub found: OnFinding,
}
