//! Puts an extension's promises to the test, in memory.

mod bench;
mod check;
mod config;
mod crash;
mod failure;
mod fault;
mod finding;
mod interleave;
mod judge;
pub mod report;
mod repository;
mod run;
mod scenario;
mod schedule;
mod subject;
mod suites;
mod world;

pub use bench::{Bench, Counts, NoProgress, Options, Outcome, Progress};
pub use check::{Check, Suite, SuiteVerdict, Verdict};
pub use config::{CheckConfig, CheckConfigError};
pub use failure::Failure;
pub use finding::{Finding, Replay, Row, Rule, SuiteName, Violation, rows};
pub use judge::compare;
pub use lockkeeper_sandbox::stepped::{
    Answered, Area, Injected, Loss, Operation, Performed, Reach, Touch, Tree,
};
pub use repository::{Files, Repository};
pub use run::{Actor, End, Errand, Event, Run, run};
pub use scenario::Start;
pub use schedule::{Schedule, ScheduleError, Strike, Turn, fault_name, letter};
pub use subject::{DEFAULT_INSTRUCTIONS, FolderGrant, Settings, Subject};
pub use world::{Folder, World};
