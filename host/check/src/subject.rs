use std::path::Path;
use std::sync::Arc;

use lockkeeper_sandbox::stepped::{Answered, Clock, Directive, Next, Stepper, Surroundings};
use lockkeeper_sandbox::{ComponentError, Events, Identity, Limits, LogLevel, inspect};

use crate::failure::Failure;

/// A folder that the extension is granted; in a check it is one in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderGrant {
    /// Where the guest sees it.
    pub guest: String,
    /// Whether it may be written.
    pub writable: bool,
}

/// What the extension under check is given.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The values of `[datastore.config]`.
    pub config: Vec<(String, String)>,
    /// The folders that it reaches, all empty at first.
    pub folders: Vec<FolderGrant>,
    /// What a call may use.
    pub limits: Limits,
    /// How many instructions a call may take, about.
    pub instructions: u64,
}

impl Settings {
    /// A folder at `/remote` as the remote, and `root = "/remote"` as the configuration.
    pub fn folder() -> Self {
        Self {
            config: vec![("root".to_owned(), "/remote".to_owned())],
            folders: vec![FolderGrant { guest: "/remote".to_owned(), writable: true }],
            limits: Limits::default(),
            instructions: DEFAULT_INSTRUCTIONS,
        }
    }

    /// Sets one value of the configuration.
    #[must_use]
    pub fn with(mut self, key: &str, value: &str) -> Self {
        self.config.retain(|(present, _)| present != key);
        self.config.push((key.to_owned(), value.to_owned()));
        self
    }
}

/// Seconds of computing for compiled code, and enough to start an interpreter.
pub const DEFAULT_INSTRUCTIONS: u64 = 4_000_000_000;

/// The extension under check, loaded.
pub struct Subject {
    pub(crate) stepper: Arc<Stepper>,
    pub(crate) settings: Settings,
    declared: Result<Option<bool>, Failure>,
}

impl Subject {
    /// Inspects and loads a component, and asks for its promises. Compiled code is kept in the folder `compiled`, if there is one.
    pub fn load(bytes: &[u8], settings: Settings, compiled: Option<&Path>) -> Result<Self, ComponentError> {
        let identity = inspect(bytes)?;
        let stepper = Stepper::load(&identity, bytes, &settings.limits, compiled)?;
        Ok(Self::asked(Arc::new(stepper), settings))
    }

    /// The same extension, configured in another way. Its limits stay.
    #[must_use]
    pub fn with(&self, settings: Settings) -> Self {
        Self::asked(self.stepper.clone(), settings)
    }

    /// Asks the extension for its promises.
    fn asked(stepper: Arc<Stepper>, settings: Settings) -> Self {
        let around = Surroundings {
            config: settings.config.clone(),
            mounts: Vec::new(),
            clock: Clock::default(),
            seed: 0,
            fuel: settings.instructions,
            events: Arc::new(Silent),
        };
        let mut asked = stepper.capabilities(around);
        let mut stepped = asked.begin();
        let declared = loop {
            match stepped.next {
                Next::Ready => stepped = asked.step(Directive::Proceed),
                Next::Sleeping(_) | Next::Stuck => break Err(Failure::Stuck),
                Next::Over(Ok(Answered::Declared(flag))) => break Ok(flag),
                Next::Over(Ok(_)) => break Ok(None),
                Next::Over(Err(error)) => break Err(Failure::of(&error)),
            }
        };
        drop(asked);
        Self { stepper, settings, declared }
    }

    /// Who the extension is.
    pub fn identity(&self) -> &Identity {
        self.stepper.identity()
    }

    /// What came of asking for its promises: whether it promises `scoped-sync`, absent if it exports no `capabilities`.
    pub fn declared(&self) -> Result<Option<bool>, &Failure> {
        self.declared.as_ref().copied()
    }

    /// Whether it promises `scoped-sync`.
    pub fn scoped_sync(&self) -> bool {
        self.declared == Ok(Some(true))
    }

    /// What it is given.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }
}

/// Hears nothing.
pub(crate) struct Silent;

impl Events for Silent {
    fn log(&self, _: LogLevel, _: &str) {}
    fn progress(&self, _: u64, _: u64, _: Option<u64>) {}
}
