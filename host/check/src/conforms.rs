use std::fmt;

use lockkeeper_sandbox::ComponentError;

use crate::bench::Options;
use crate::check::{Check, Verdict};
use crate::subject::{Settings, Subject};

/// Why a component does not conform, for a test to fail with.
pub enum NotConformant {
    /// It is no extension that can be run.
    Unloadable(ComponentError),
    /// Something did not hold.
    Broken(Box<Verdict>),
}

impl fmt::Display for NotConformant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unloadable(error) => error.fmt(f),
            Self::Broken(verdict) => {
                write!(f, "{} {} does not keep its promises:", verdict.extension, verdict.version)?;
                for finding in &verdict.findings {
                    write!(f, "\n  {}: {}", finding.suite, finding.violation.text)?;
                    if let Some(replay) = &finding.replay {
                        write!(f, "\n    again with: --replay {replay}")?;
                    }
                }
                Ok(())
            }
        }
    }
}

/// A test that fails shows this form of its error.
impl fmt::Debug for NotConformant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for NotConformant {}

/// Checks a component with every suite, for a `#[test]` of the extension's own repository.
///
/// ```no_run
/// use lockkeeper_check::{NotConformant, Options, Settings, conforms};
///
/// // #[test]
/// fn my_extension_keeps_its_promises() -> Result<(), NotConformant> {
///     let component = std::fs::read("target/wasm32-wasip2/release/my_extension.wasm").unwrap();
///     conforms(&component, Settings::folder(), Options::default()).map(drop)
/// }
/// ```
///
/// # Errors
/// If it can't be loaded, or if anything that was explored did not hold.
pub fn conforms(component: &[u8], settings: Settings, options: Options) -> Result<Verdict, NotConformant> {
    let subject = Subject::load(component, settings, None).map_err(NotConformant::Unloadable)?;
    let verdict = Check::new(&subject, options).run();
    if verdict.held() { Ok(verdict) } else { Err(NotConformant::Broken(Box::new(verdict))) }
}
