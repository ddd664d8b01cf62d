//! `@lockkeeper/misbehaving`: does, on request, what an extension must not do.
//!
//! Whatever it isn't told to do wrong it does right, as `@lockkeeper/filesystem` does: `root` names its folder, and it declares
//! `scoped-sync`. `misbehave` names one thing to do wrong:
//!
//! | `misbehave` | in | what |
//! |---|---|---|
//! | `trap-in-capabilities`, `trap-in-push`, `trap-in-pull` | that call | panics |
//! | `endless-loop` | push, pull | computes for ever |
//! | `endless-allocation` | push, pull | takes memory for ever |
//! | `endless-recursion` | push, pull | calls itself for ever |
//! | `never-finishes` | push, pull | waits in one host call for a year |
//! | `look-around` | push, pull | counts environment, arguments and input, and fails with what it found |
//! | `confess` | push, pull | tells its environment, its configuration and what came of each of the `requests`, by every way out |
//! | `read-outside` | push, pull | reads `/etc/passwd`, by its name and by ways around |
//! | `follow-symlink` | push, pull | reads the file `path` of the cache, a symbolic link that leads out |
//! | `dial` | push, pull | connects to the TCP `address` |
//! | `write-cache` | push | creates, overwrites, renames and deletes files of the cache |
//! | `flood-log` | push, pull | logs 64 MiB |
//! | `flood-stdout` | push, pull | prints 64 MiB |
//! | `enormous-error` | push, pull | fails with a message of 64 MiB |
//! | `lying-report` | push | sends nothing and says that all went well |
//! | `write-outside-scope` | pull | writes files that nobody asked for, under names that no cache has |
//! | `delete-everything` | pull | says that the remote deleted the file `path` |
//! | `half-pull` | pull | writes half of the remote's files and panics |
//!
//! A value that begins with `@` names a file whose content is the value, such as `misbehave = "@/control/misbehave"`: so it can
//! be told something else while its configuration stays the same.
//!
//! Where it tries to get out (`read-outside`, `follow-symlink`, `dial`, `write-cache`) it fails with "could not …" and each reason
//! if it was held back. If any way was open, it goes on and succeeds.

mod confess;
mod endless;
mod escape;
mod pulls;

use std::io::Write;

use lockkeeper_sdk::bindings::exports::lockkeeper::datastore::{capabilities, index, sync};
use lockkeeper_sdk::bindings::lockkeeper::datastore::{host, types};
use lockkeeper_sdk::bindings::wasi::config::store;
use lockkeeper_sdk::folder::Folder;
use lockkeeper_sdk::{
    Component, Datastore, Error, Level, PullOptions, PullReport, PushOptions, PushReport, Result,
};
use serde::Deserialize;

const FLOOD: usize = 64 << 20;

struct Misbehaving;

lockkeeper_sdk::bindings::export!(Misbehaving with_types_in lockkeeper_sdk::bindings);

impl capabilities::Guest for Misbehaving {
    fn capabilities() -> capabilities::CapabilityFlags {
        if config("misbehave").is_ok_and(|told| told == "trap-in-capabilities") {
            trap("capabilities");
        }
        capabilities::CapabilityFlags::SCOPED_SYNC
    }
}

impl sync::Guest for Misbehaving {
    fn push(options: PushOptions) -> Result<PushReport, types::Error> {
        match config("misbehave")?.as_str() {
            "trap-in-push" => trap("push"),
            "write-cache" => escape::write_cache()?,
            "lying-report" => return Ok(PushReport { files: 0, unchanged: 0, bytes: 0, deletions: 0 }),
            told => in_any_call(told)?,
        }
        Component::<Honest>::push(options)
    }

    fn pull(options: PullOptions) -> Result<PullReport, types::Error> {
        match config("misbehave")?.as_str() {
            "trap-in-pull" => trap("pull"),
            "write-outside-scope" => Ok(pulls::outside_scope(Component::<Honest>::pull(options)?)?),
            "delete-everything" => Ok(pulls::delete(Component::<Honest>::pull(options)?, &config("path")?)?),
            "half-pull" => {
                pulls::half(&config("root")?)?;
                trap("pull")
            }
            told => {
                in_any_call(told)?;
                Component::<Honest>::pull(options)
            }
        }
    }
}

impl index::Guest for Misbehaving {
    fn show(scope: Option<String>) -> Result<(), types::Error> {
        Component::<Honest>::show(scope)
    }

    fn verify(scope: Option<String>) -> Result<(), types::Error> {
        Component::<Honest>::verify(scope)
    }

    fn rebuild(scope: Option<String>, fence: Option<u64>) -> Result<(), types::Error> {
        Component::<Honest>::rebuild(scope, fence)
    }

    fn convert(fence: Option<u64>) -> Result<(), types::Error> {
        Component::<Honest>::convert(fence)
    }
}

fn in_any_call(told: &str) -> Result<()> {
    match told {
        "endless-loop" => endless::computing(),
        "endless-allocation" => endless::allocating(),
        "endless-recursion" => endless::recursing(),
        "endless-hashing" => endless::hashing(),
        "never-finishes" => endless::waiting(),
        "look-around" => return Err(escape::surroundings()),
        "confess" => return Err(confess::everything(&config("requests")?)),
        "read-outside" => escape::read_outside()?,
        "follow-symlink" => escape::follow_symlink(&config("path")?)?,
        "dial" => escape::dial(&config("address")?)?,
        "flood-log" => {
            let line = "x".repeat(1024);
            (0..FLOOD / line.len()).for_each(|_| host::log(Level::Info, &line));
        }
        "flood-stdout" => {
            let line = format!("{}\n", "x".repeat(1023));
            let mut output = std::io::stdout().lock();
            // A host that stops taking output is one of the outcomes to see.
            let _ = (0..FLOOD / line.len()).try_for_each(|_| output.write_all(line.as_bytes()));
        }
        "enormous-error" => return Err(Error::fatal("x".repeat(FLOOD))),
        _ => {}
    }
    Ok(())
}

/// A value of the configuration, or of the file that it names; empty if it isn't set or there is no such file.
fn config(key: &str) -> Result<String> {
    match store::get(key) {
        Ok(value) => {
            let value = value.unwrap_or_default();
            Ok(match value.strip_prefix('@') {
                Some(file) => std::fs::read_to_string(file).unwrap_or_default(),
                None => value,
            })
        }
        Err(error) => Err(Error::fatal(format!("can't read the configuration: {error:?}"))),
    }
}

#[expect(clippy::panic, reason = "it is told to")]
fn trap(call: &str) -> ! {
    panic!("told to trap in {call}")
}

#[derive(Deserialize)]
struct Config {
    root: String,
}

/// What it does when it behaves.
struct Honest;

impl Datastore for Honest {
    type Config = Config;
    type Remote = Folder;

    fn open(config: Config) -> Result<Folder> {
        Folder::open(config.root)
    }
}
