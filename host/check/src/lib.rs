//! Puts an extension's promises to the test, in memory.
//!
//! A [`Subject`] is a loaded component with the [`Settings`] that it is given. A [`Check`] runs its suites and comes to a [`Verdict`];
//! each broken promise is a [`Finding`] with the [`Replay`] that shows it again. [`conforms`] is all of that for a `#[test]`.
//!
//! Underneath, a [`World`] is a remote in memory and a [`Repository`] what one host holds. [`World::push`] and [`World::pull`] run a call to its
//! end; [`run`] runs several guests at once, one operation at a time, in the order that a [`Schedule`] says. Nothing here
//! knows WebAssembly or any one datastore. `design/check.md` explains the method and its bounds.

mod bench;
mod check;
mod config;
mod conforms;
mod crash;
mod failure;
mod fault;
mod finding;
mod interleave;
mod judge;
mod namespace;
pub mod report;
mod repository;
mod run;
mod scenario;
mod schedule;
mod store;
mod subject;
mod suites;
mod world;

pub use bench::{Bench, Counts, NoProgress, Options, Outcome, Progress};
pub use check::{Check, Suite, SuiteVerdict, Verdict};
pub use config::{CheckConfig, CheckConfigError};
pub use conforms::{NotConformant, conforms};
pub use failure::Failure;
pub use finding::{Finding, Replay, Row, Rule, SuiteName, Violation, rows};
pub use judge::compare;
pub use lockkeeper_names::{CachePath, Scope};
pub use lockkeeper_sandbox::stepped::{
    Answered, Area, Injected, Loss, Operation, Performed, Reach, Touch, Tree,
};
pub use lockkeeper_sandbox::{Bytes, Limits};
pub use repository::{Files, Repository};
pub use run::{Actor, End, Errand, Event, Run, run};
pub use scenario::Start;
pub use schedule::{Schedule, ScheduleError, Strike, Turn, fault_name, letter};
pub use store::{Protocol, StoreGrant};
pub use subject::{DEFAULT_INSTRUCTIONS, FolderGrant, Settings, Subject};
pub use world::{Folder, World};
