//! Puts an extension's promises to the test, in memory.

mod failure;
mod repository;
mod run;
mod schedule;
mod subject;
mod world;

pub use failure::Failure;
pub use lockkeeper_sandbox::stepped::{Answered, Area, Injected, Loss, Operation, Performed, Reach, Touch, Tree};
pub use repository::{Files, Repository};
pub use run::{Actor, End, Errand, Event, Run, run};
pub use schedule::{Schedule, ScheduleError, Strike, Turn, fault_name, letter};
pub use subject::{DEFAULT_INSTRUCTIONS, FolderGrant, Settings, Subject};
pub use world::{Folder, World};
