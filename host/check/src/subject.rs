use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use lockkeeper_sandbox::stepped::{Answered, Clock, Directive, Next, Stepper, Surroundings};
use lockkeeper_sandbox::{ComponentError, Events, Identity, Limits, LogLevel, inspect};

use crate::failure::Failure;
use crate::store::{Live, Protocol, State, StoreGrant};

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
    /// The object stores that it reaches, all empty at first.
    pub stores: Vec<StoreGrant>,
    /// The real servers that it reaches over TCP. Every run has a namespace of its own there: in the values of the
    /// configuration, `{namespace}` stands for its name.
    pub servers: Vec<SocketAddr>,
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
            stores: Vec::new(),
            servers: Vec::new(),
            limits: Limits::default(),
            instructions: DEFAULT_INSTRUCTIONS,
        }
    }

    /// An empty bucket as the remote; the configuration is the extension's own affair.
    pub fn store(protocol: Protocol, origin: &str, bucket: &str) -> Self {
        let store = StoreGrant { protocol, origin: origin.to_owned(), bucket: bucket.to_owned() };
        Self { config: Vec::new(), folders: Vec::new(), stores: vec![store], ..Self::folder() }
    }

    /// A real server as the remote. Some value of the configuration has to say `{namespace}`.
    pub fn server(address: SocketAddr) -> Self {
        Self { config: Vec::new(), folders: Vec::new(), servers: vec![address], ..Self::folder() }
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
    /// The stores, each with its state when it is empty.
    pub(crate) stores: Vec<(Arc<Live>, State)>,
    declared: Result<Option<bool>, Failure>,
}

impl Subject {
    /// Inspects and loads a component, and asks for its promises. Compiled code is kept in the folder `compiled`, if there is one.
    pub fn load(bytes: &[u8], settings: Settings, compiled: Option<&Path>) -> Result<Self, ComponentError> {
        let identity = inspect(bytes)?;
        let stepper = Arc::new(Stepper::load(&identity, bytes, &settings.limits, compiled)?);
        let empty = |live: Arc<Live>| {
            let state = live.state();
            (live, state)
        };
        let stores =
            settings.stores.iter().map(|grant| Live::new(grant).map(empty)).collect::<Result<_, _>>();
        let stores = stores.map_err(|problem| ComponentError::Unloadable { problem })?;
        let declared = promises(&stepper, &settings);
        Ok(Self { stepper, settings, stores, declared })
    }

    /// The same extension, configured in another way. Its limits and its object stores stay.
    #[must_use]
    pub fn with(&self, settings: Settings) -> Self {
        let (stepper, stores) = (self.stepper.clone(), self.stores.clone());
        let settings = Settings { stores: self.settings.stores.clone(), ..settings };
        let declared = promises(&stepper, &settings);
        Self { stepper, settings, stores, declared }
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

/// Asks the extension for its promises.
fn promises(stepper: &Stepper, settings: &Settings) -> Result<Option<bool>, Failure> {
    let around = Surroundings {
        config: settings.config.clone(),
        mounts: Vec::new(),
        endpoints: Vec::new(),
        servers: Vec::new(),
        clock: Clock::default(),
        seed: 0,
        fuel: settings.instructions,
        events: Arc::new(Silent),
    };
    let mut asked = stepper.capabilities(around);
    let mut stepped = asked.begin();
    loop {
        match stepped.next {
            Next::Ready => stepped = asked.step(Directive::Proceed),
            Next::Sleeping(_) | Next::Stuck => return Err(Failure::Stuck),
            Next::Over(Ok(Answered::Declared(flag))) => return Ok(flag),
            Next::Over(Ok(_)) => return Ok(None),
            Next::Over(Err(error)) => return Err(Failure::of(&error)),
        }
    }
}

/// Hears nothing.
pub(crate) struct Silent;

impl Events for Silent {
    fn log(&self, _: LogLevel, _: &str) {}
    fn progress(&self, _: u64, _: u64, _: Option<u64>) {}
}
