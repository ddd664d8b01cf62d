use std::fmt;
use std::time::{Duration, SystemTime};

use crate::{LockKey, Mode};

/// Who takes a lock, as the caller says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The user's name.
    pub user: String,
    /// The machine's name.
    pub host: String,
    /// The process on that machine.
    pub pid: u32,
    /// The command that the process carries out; everybody who can read the locks can read it.
    pub command: String,
}

/// Who holds a lock, or stands first in line for it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Holder {
    /// Names this one hold of the lock; never used again.
    pub id: String,
    /// What is locked.
    pub key: LockKey,
    /// How it is locked, or is to be.
    pub mode: Mode,
    /// Whether the lock isn't held yet: this is who gets it next, and newcomers queue behind.
    pub waiting: bool,
    /// The user's name, `unknown` if it couldn't be read.
    pub user: String,
    /// The machine's name, `unknown` if it couldn't be read.
    pub host: String,
    /// The process on that machine, 0 if it couldn't be read.
    pub pid: u32,
    /// The command that the process carries out.
    pub command: String,
    /// Since when, RFC 3339 in UTC by the holder's own clock: for people to read, not to compare.
    pub since: String,
}

impl Holder {
    /// A new hold with an id that nobody has, by this machine's calendar.
    pub(crate) fn new(key: &LockKey, mode: Mode, who: &Identity, waiting: bool) -> Self {
        let Identity { user, host, pid, command } = who.clone();
        // A clock set to before 1970 can't be written as a date.
        let now = SystemTime::now().max(SystemTime::UNIX_EPOCH);
        Self {
            id: Self::new_id(),
            key: key.clone(),
            mode,
            waiting,
            user,
            host,
            pid,
            command,
            since: humantime::format_rfc3339_seconds(now).to_string(),
        }
    }

    /// An id that nobody has.
    pub(crate) fn new_id() -> String {
        format!("{:012x}", fastrand::u64(..) >> 16)
    }

    /// A holder that is alive, but whose record couldn't be read. Exclusive, for that is the worst it can be.
    pub(crate) fn unknown(key: &LockKey, id: &str) -> Self {
        Self {
            id: id.to_owned(),
            key: key.clone(),
            mode: Mode::Exclusive,
            waiting: false,
            user: "unknown".to_owned(),
            host: "unknown".to_owned(),
            pid: 0,
            command: String::new(),
            since: String::new(),
        }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.waiting {
            f.write_str("next in line: ")?;
        }
        if self.pid == 0 {
            return write!(f, "a live process whose record can't be read (id {})", self.id);
        }
        let (user, host, since) = (escaped(&self.user), escaped(&self.host), escaped(&self.since));
        write!(f, "{user}@{host}, pid {}, since {since}, {}", self.pid, quoted(&self.command))
    }
}

/// What somebody who has waited for a while is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// What is waited for.
    pub key: LockKey,
    /// How it is to be locked.
    pub mode: Mode,
    /// For how long by now.
    pub waited: Duration,
    /// Who holds it, and who stands first in line; empty if they gave it back this moment.
    pub holders: Vec<Holder>,
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, mode, waited, holders } = self;
        write!(f, "waiting for the {mode} lock `{key}` since {}: {}", seconds(*waited), held_by(holders))
    }
}

/// A duration as people say it: `0.2 s`, `61 s`.
pub(crate) fn seconds(duration: Duration) -> String {
    let digits = if duration < Duration::from_secs(10) { 1 } else { 0 };
    format!("{:.digits$} s", duration.as_secs_f64())
}

/// Holders in one line, the first few of them.
pub(crate) fn held_by(holders: &[Holder]) -> String {
    const SHOWN: usize = 3;
    if holders.is_empty() {
        return "its holder changes right now".to_owned();
    }
    let mut shown: Vec<String> = holders.iter().take(SHOWN).map(Holder::to_string).collect();
    if let Some(more) = holders.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        shown.push(format!("and {more} more"));
    }
    format!("held by {}", shown.join("; "))
}

/// A text that somebody else wrote, safe to print: in backticks, control characters escaped, a long one cut.
pub(crate) fn quoted(text: &str) -> String {
    format!("`{}`", escaped(text))
}

fn escaped(text: &str) -> String {
    const LONGEST: usize = 120;
    let mut shown = String::new();
    for character in text.chars().take(LONGEST) {
        if character.is_control() {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(pid: u32) -> Holder {
        let key = LockKey::parse("model/a/b").unwrap();
        Holder {
            user: "ada".into(),
            host: "mill".into(),
            pid,
            command: "lockkeeper run \u{1b}[2J".into(),
            since: "2026-01-02T03:04:05Z".into(),
            ..Holder::unknown(&key, "1f")
        }
    }

    #[test]
    fn a_wait_names_what_is_waited_for_and_the_first_holders() {
        let waiting = Waiting {
            key: LockKey::parse("model/a/b").unwrap(),
            mode: Mode::Shared,
            waited: Duration::from_millis(1234),
            holders: (1..=5).map(holder).collect(),
        };
        let text = waiting.to_string();
        let start = "waiting for the shared lock `model/a/b` since 1.2 s: held by ada@mill, pid 1, since 2026-01-02T03:04:05Z";
        assert!(text.starts_with(start), "{text}");
        assert!(text.ends_with("and 2 more"), "{text}");
    }

    #[test]
    fn what_a_holder_wrote_reaches_no_terminal_unescaped() {
        assert!(!holder(7).to_string().contains('\u{1b}'));
    }
}
