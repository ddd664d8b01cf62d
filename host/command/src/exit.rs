//! The exit codes of the command. They are public: scripts rely on them.
//!
//! `lockkeeper run` passes its command's own exit code through, so there a code can come from either.

use lockkeeper_host::ErrorKind;

/// Everything was done.
pub const OK: u8 = 0;
/// The command line is wrong.
pub const USAGE: u8 = 64;
/// Files changed both here and in the remote, or outside of the models.
pub const CONFLICT: u8 = 65;
/// The extension reported an error.
pub const REPORTED: u8 = 69;
/// The extension trapped.
pub const TRAPPED: u8 = 70;
/// The system refused something: a file, a folder, a process.
pub const SYSTEM: u8 = 71;
/// The extension reached one of its limits.
pub const LIMIT: u8 = 72;
/// A lock was lost while it was held: what was under way was stopped.
pub const LOCK_LOST: u8 = 73;
/// The index and the content of the remote don't match.
pub const DAMAGED: u8 = 74;
/// A lock could not be had.
pub const LOCK_TIMEOUT: u8 = 75;
/// The file is no extension, or does not keep the contract.
pub const NOT_CONFORMANT: u8 = 76;
/// The extension was denied something by the sandbox, and failed.
pub const DENIED: u8 = 77;
/// The configuration is wrong, or there are no credentials for what it names.
pub const CONFIG: u8 = 78;
/// The extension's file is not the one that was accepted.
pub const DIGEST_CHANGED: u8 = 79;
/// The command of `run` can't be executed.
pub const NOT_EXECUTABLE: u8 = 126;
/// The command of `run` was not found.
pub const NOT_FOUND: u8 = 127;
/// What a signal's number is added to when it ends the command.
pub const SIGNAL: u8 = 128;

/// The exit code for a kind of error.
pub fn code(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Config => CONFIG,
        ErrorKind::Conflict => CONFLICT,
        ErrorKind::Reported => REPORTED,
        ErrorKind::Trapped => TRAPPED,
        ErrorKind::Limit => LIMIT,
        ErrorKind::System => SYSTEM,
        ErrorKind::LockTimeout => LOCK_TIMEOUT,
        ErrorKind::LockLost => LOCK_LOST,
        ErrorKind::NotConformant => NOT_CONFORMANT,
        ErrorKind::Denied => DENIED,
        ErrorKind::DigestChanged => DIGEST_CHANGED,
        ErrorKind::Interrupted => SIGNAL + 2,
    }
}

/// The table for `--help`.
pub const TABLE: &str = "\
Exit codes:
    0  done                                72  the extension reached a limit
   64  wrong command line                  73  a lock was lost, and the work was stopped
   65  conflict: nothing was overwritten   75  a lock could not be had in time
   69  the extension reported an error     76  not an extension, or it breaks the contract
   70  the extension trapped               77  the sandbox denied the extension something
   71  the system refused something        78  wrong configuration, or no credentials
   74  the index and the remote's content  79  the extension's file was changed
       don't match
  `run` passes its command's own exit code through; 126 and 127 mean that it could not be
  started, 128 + n that signal n ended it.";
