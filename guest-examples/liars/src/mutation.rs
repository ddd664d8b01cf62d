//! The ways to be broken, one for each value of `mutation`.

use crate::{Error, config, fail};

macro_rules! mutations {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal,)+) => {
        /// What is wrong with it.
        #[derive(Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Mutation {
            $($(#[doc = $doc])+ $name,)+
        }

        const ALL: &[(&str, Mutation)] = &[$(($text, Mutation::$name)),+];
    };
}

mutations! {
    /// Nothing.
    Honest = "honest",

    /// One index for everything is read, changed and written back.
    UnconditionalIndexWrite = "unconditional-index-write",
    /// The index is read once more before it is replaced, to see that nobody changed it; then it is replaced.
    CheckThenWrite = "check-then-write",
    /// There is an index for each type, so models of one type share it.
    ShardByType = "shard-by-type",
    /// A push takes its number from one object and puts it back plus one.
    CounterObject = "counter-object",
    /// A push is named by the clock.
    TimeBasedIds = "time-based-ids",
    /// Every file is written under the same temporary name first.
    FixedTemporaryName = "fixed-temporary-name",
    /// A push notes in one place what it is about to send, so that the next one can clean up after it.
    SharedState = "shared-state",

    /// Files are written in place.
    TruncateInPlace = "truncate-in-place",
    /// The index names files before they are there.
    IndexBeforeObjects = "index-before-objects",
    /// What is replaced is deleted before its successor is sent.
    DeleteBeforeUpload = "delete-before-upload",
    /// One index for everything, guarded by a folder in the remote that stands for a lock.
    LockFolder = "lock-folder",
    /// What the index names was not made to last before.
    Unsynced = "unsynced",

    /// A model whose last file was deleted is cleaned up by a prefix that lacks its slash.
    PrefixWithoutSlash = "prefix-without-slash",
    /// What the index lists and the cache doesn't show is taken for deleted.
    FullWalk = "full-walk",
    /// A pull brings everything, whatever it was asked for.
    ScopeIgnored = "scope-ignored",

    /// A file that could be sent in part only is listed all the same.
    SwallowedError = "swallowed-error",
    /// An index that can't be read is taken for an empty one.
    ErrorMeansEmpty = "error-means-empty",

    /// In a bucket: a request that is sent again lacks its condition.
    ConditionDropped = "condition-dropped",
    /// In a bucket: the version of the index comes from a request that follows the one which brought its content.
    LaterVersion = "later-version",
}

impl Mutation {
    pub(crate) fn configured() -> Result<Self, Error> {
        let name = config("mutation")?.unwrap_or_else(|| "honest".to_owned());
        let found = ALL.iter().find(|(text, _)| *text == name).map(|(_, mutation)| *mutation);
        found.ok_or_else(|| Error::Config(fail(format!("there is no mutation {name:?}"))))
    }
}
