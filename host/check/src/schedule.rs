//! Who does how many operations, and what strikes then: enough to repeat a run exactly.
//!
//! As text, turns with dots between them: `a12.b.a` is twelve operations of `a`, then all of `b`, then the rest of `a`. A turn
//! may end in a strike at the operation that comes next:
//!
//! | text | what happens |
//! |---|---|
//! | `a5!` | `a` is killed before its sixth operation |
//! | `a5!content`, `a5!journal` | and the power fails: what was not synced is lost |
//! | `a5!torn` | half of the sixth operation happens, then it is killed |
//! | `a5~io` | the sixth operation fails with this error; `a` goes on |
//! | `a5~~io` | so does every one after it |

use std::fmt;
use std::str::FromStr;

use lockkeeper_sandbox::stepped::{Fault, Injected, Loss};
use serde::{Deserialize, Serialize};

/// What happens to a guest at an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Strike {
    /// It is killed before the operation.
    Kill,
    /// It is killed and the power fails.
    PowerLoss(Loss),
    /// Half of the operation happens, then it is killed.
    Tear,
    /// The operation fails.
    Fail(Injected),
    /// The operation and all that follow fail.
    Outage(Injected),
}

/// One guest's turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Turn {
    /// The guest, by its number.
    pub guest: usize,
    /// How many operations it does; until it is done or sleeps, if absent.
    pub steps: Option<usize>,
    /// What strikes at the operation after that.
    pub strike: Option<Strike>,
}

impl Turn {
    /// A turn until the guest is done or sleeps.
    pub fn all(guest: usize) -> Self {
        Self { guest, steps: None, strike: None }
    }

    /// A turn of so many operations.
    pub fn of(guest: usize, steps: usize) -> Self {
        Self { guest, steps: Some(steps), strike: None }
    }
}

/// The turns of a run. After the last, the guests go on in order until all are done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Schedule(pub Vec<Turn>);

impl Schedule {
    /// How often a guest is stopped that could have gone on.
    pub fn preemptions(&self) -> usize {
        self.0.iter().filter(|turn| turn.steps.is_some() && turn.strike.is_none()).count()
    }
}

/// Why a text is not a schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a schedule: {problem}")]
pub struct ScheduleError {
    text: String,
    problem: String,
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, turn) in self.0.iter().enumerate() {
            if position > 0 {
                f.write_str(".")?;
            }
            write!(f, "{}", letter(turn.guest))?;
            if let Some(steps) = turn.steps {
                write!(f, "{steps}")?;
            }
            match turn.strike {
                None => {}
                Some(Strike::Kill) => f.write_str("!")?,
                Some(Strike::PowerLoss(Loss::Content)) => f.write_str("!content")?,
                Some(Strike::PowerLoss(Loss::Journal)) => f.write_str("!journal")?,
                Some(Strike::Tear) => f.write_str("!torn")?,
                Some(Strike::Fail(fault)) => write!(f, "~{}", fault_name(fault))?,
                Some(Strike::Outage(fault)) => write!(f, "~~{}", fault_name(fault))?,
            }
        }
        Ok(())
    }
}

/// A guest's name in schedules and tables: `a`, `b`, `c`.
pub fn letter(guest: usize) -> char {
    char::from(b'a'.saturating_add(u8::try_from(guest).unwrap_or(25).min(25)))
}

/// How a fault is called in a schedule.
pub fn fault_name(fault: Injected) -> String {
    match fault {
        Injected::File(fault) => fault.name().to_owned(),
        Injected::Status(status) => status.to_string(),
        Injected::LostAnswer => "lost-answer".to_owned(),
        Injected::Reset => "reset".to_owned(),
        Injected::Garbage => "garbage".to_owned(),
        Injected::Truncated => "truncated".to_owned(),
        Injected::Hang => "hang".to_owned(),
        Injected::Refused => "refused".to_owned(),
    }
}

fn fault_of(name: &str) -> Option<Injected> {
    let file = [Fault::Io, Fault::Access, Fault::InsufficientSpace, Fault::Interrupted];
    if let Some(fault) = file.into_iter().find(|fault| fault.name() == name) {
        return Some(Injected::File(fault));
    }
    Some(match name {
        "lost-answer" => Injected::LostAnswer,
        "reset" => Injected::Reset,
        "garbage" => Injected::Garbage,
        "truncated" => Injected::Truncated,
        "hang" => Injected::Hang,
        "refused" => Injected::Refused,
        status => Injected::Status(status.parse().ok()?),
    })
}

impl FromStr for Schedule {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        let wrong = |problem: &str| ScheduleError { text: text.to_owned(), problem: problem.to_owned() };
        let mut turns = Vec::new();
        for turn in text.split('.').filter(|turn| !turn.is_empty()) {
            let mut letters = turn.chars();
            let guest = letters
                .next()
                .filter(char::is_ascii_lowercase)
                .ok_or_else(|| wrong("a turn begins with a letter"))?;
            let rest = letters.as_str();
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (steps, strike) = rest.split_at(digits);
            let steps = match steps {
                "" => None,
                steps => Some(steps.parse().map_err(|_| wrong("too many steps"))?),
            };
            let fault = |name| fault_of(name).ok_or_else(|| wrong("no such fault"));
            let strike = match strike {
                "" => None,
                "!" => Some(Strike::Kill),
                "!content" => Some(Strike::PowerLoss(Loss::Content)),
                "!journal" => Some(Strike::PowerLoss(Loss::Journal)),
                "!torn" => Some(Strike::Tear),
                other => Some(match (other.strip_prefix("~~"), other.strip_prefix('~')) {
                    (Some(name), _) => Strike::Outage(fault(name)?),
                    (None, Some(name)) => Strike::Fail(fault(name)?),
                    (None, None) => return Err(wrong("a turn ends in `!…`, `~…` or nothing")),
                }),
            };
            turns.push(Turn { guest: usize::from(guest as u8 - b'a'), steps, strike });
        }
        Ok(Self(turns))
    }
}

impl TryFrom<String> for Schedule {
    type Error = ScheduleError;

    fn try_from(text: String) -> Result<Self, ScheduleError> {
        text.parse()
    }
}

impl From<Schedule> for String {
    fn from(schedule: Schedule) -> Self {
        schedule.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_reads_back_as_it_is_shown() {
        for text in [
            "",
            "a",
            "a12.b.a",
            "a5!",
            "a5!content.b",
            "b0!torn",
            "a3~io.b",
            "a3~~503",
            "a1~lost-answer.c7.b!journal",
        ] {
            assert_eq!(text.parse::<Schedule>().unwrap().to_string(), text);
        }
        for text in ["1", "a?", "a5~nonsense", "A", "a99999999999999999999"] {
            assert!(text.parse::<Schedule>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_kill_is_no_preemption() {
        assert_eq!("a12.b3.a".parse::<Schedule>().unwrap().preemptions(), 2);
        assert_eq!("a12!.b.a".parse::<Schedule>().unwrap().preemptions(), 0);
    }
}
