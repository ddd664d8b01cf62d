//! Attempts to reach what was not granted. Each is an error if it was held back.

use std::fmt::Display;
use std::fs;
use std::io::Read;
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use lockkeeper_sdk::{Error, Result};

const CACHE: &str = "/cache";

/// What can be seen of the process that the host is.
pub(crate) fn surroundings() -> Error {
    let mut input = Vec::new();
    let read =
        std::io::stdin().read_to_end(&mut input).map_or_else(|error| error.to_string(), |n| n.to_string());
    let (variables, arguments) = (std::env::vars_os().count(), std::env::args_os().count());
    Error::fatal(format!("found {variables} variables, {arguments} arguments, {read} bytes of input"))
}

pub(crate) fn read_outside() -> Result<()> {
    let ways = [
        "/etc/passwd",
        "etc/passwd",
        "../../etc/passwd",
        "/cache/../etc/passwd",
        "/cache/../../../../../../etc/passwd",
        "/cache/data/../../../../../../etc/passwd",
        "/state/../../../../../../../etc/passwd",
    ];
    held_back("read outside", ways.map(|way| (way, fs::read(way).map(drop))))
}

pub(crate) fn follow_symlink(path: &str) -> Result<()> {
    held_back("follow the link", [(path, fs::read(Path::new(CACHE).join(path)).map(drop))])
}

pub(crate) fn dial(address: &str) -> Result<()> {
    held_back("connect", [(address, TcpStream::connect(address).map(drop))])
}

pub(crate) fn write_cache() -> Result<()> {
    let mut ways = vec![("create", fs::write(Path::new(CACHE).join("created"), "mine"))];
    if let Some(file) = some_file(Path::new(CACHE)) {
        let beside = file.with_extension("mine");
        let open = fs::OpenOptions::new().append(true).open(&file).map(drop);
        ways.extend([
            ("create beside", fs::write(&beside, "mine")),
            ("append", open),
            ("overwrite", fs::write(&file, "mine")),
            ("link", fs::hard_link(&file, file.with_extension("link"))),
            ("rename", fs::rename(&file, &beside)),
            ("delete", fs::remove_file(&file)),
        ]);
    }
    held_back("write the cache", ways)
}

fn some_file(folder: &Path) -> Option<PathBuf> {
    for entry in fs::read_dir(folder).ok()?.flatten() {
        let path = entry.path();
        let found = if path.is_dir() { some_file(&path) } else { Some(path) };
        if found.is_some() {
            return found;
        }
    }
    None
}

/// Fails with every reason if no way was open.
fn held_back<W: Display, E: Display>(
    what: &str,
    ways: impl IntoIterator<Item = (W, Result<(), E>)>,
) -> Result<()> {
    let mut reasons = Vec::new();
    for (way, outcome) in ways {
        match outcome {
            Ok(()) => return Ok(()),
            Err(error) => reasons.push(format!("{way}: {error}")),
        }
    }
    Err(Error::fatal(format!("could not {what}: {}", reasons.join("; "))))
}
