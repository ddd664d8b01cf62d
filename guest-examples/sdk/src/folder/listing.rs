//! Listing what is below a folder, one folder at a time.

use std::fs;
use std::io;
use std::path::Path;

use super::{absent, failed};
use crate::path::OWN;
use crate::{Error, Listed, Result, Stored};

/// What a walk does with a folder.
enum Step<T> {
    Found(T),
    Enter,
    Skip,
}

/// The documents below a folder of the index.
pub(super) fn documents<'a>(root: &'a Path, prefix: &str) -> impl Iterator<Item = Result<Listed>> + use<'a> {
    Walk::new(root, prefix, |key: &str, name: &str, entry: &fs::DirEntry| {
        Ok(match entry.file_type()?.is_dir() {
            true if is_document(name) => Step::Found(Listed { key: key.to_owned(), token: None }),
            true => Step::Enter,
            false => Step::Skip,
        })
    })
}

/// The objects below a folder. What is the SDK's own is listed only to who asks for it.
pub(super) fn objects<'a>(root: &'a Path, prefix: &str) -> impl Iterator<Item = Result<Stored>> + use<'a> {
    Walk::new(root, prefix, |key: &str, _: &str, entry: &fs::DirEntry| {
        let kind = entry.file_type()?;
        Ok(if kind.is_dir() {
            if key == OWN { Step::Skip } else { Step::Enter }
        } else if kind.is_file() {
            Step::Found(Stored { key: key.to_owned(), size: entry.metadata()?.len() })
        } else {
            Step::Skip
        })
    })
}

struct Walk<'a, T, F> {
    root: &'a Path,
    folders: Vec<String>,
    found: Vec<T>,
    step: F,
}

impl<'a, T, F: FnMut(&str, &str, &fs::DirEntry) -> io::Result<Step<T>>> Walk<'a, T, F> {
    fn new(root: &'a Path, prefix: &str, step: F) -> Self {
        Self { root, folders: vec![prefix.trim_end_matches('/').to_owned()], found: Vec::new(), step }
    }

    fn read(&mut self, folder: &str) -> Result<()> {
        let unreadable = |error: io::Error| failed("list", folder, &error);
        let entries = match fs::read_dir(self.root.join(folder)) {
            Err(error) if absent(&error) => return Ok(()),
            result => result.map_err(unreadable)?,
        };
        for entry in entries {
            let entry = entry.map_err(unreadable)?;
            let Ok(name) = entry.file_name().into_string() else {
                return Err(Error::fatal(format!("{:?} is not valid UTF-8", entry.file_name())).at(folder));
            };
            let key = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
            match (self.step)(&key, &name, &entry) {
                Ok(Step::Found(found)) => self.found.push(found),
                Ok(Step::Enter) => self.folders.push(key),
                Ok(Step::Skip) => {}
                // It went away meanwhile.
                Err(error) if absent(&error) => {}
                Err(error) => return Err(unreadable(error)),
            }
        }
        Ok(())
    }
}

impl<T, F: FnMut(&str, &str, &fs::DirEntry) -> io::Result<Step<T>>> Iterator for Walk<'_, T, F> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(found) = self.found.pop() {
                return Some(Ok(found));
            }
            let folder = self.folders.pop()?;
            if let Err(error) = self.read(&folder) {
                return Some(Err(error));
            }
        }
    }
}

/// Says whether a folder of the index is a document: its name begins with one dot, that of a scope's folder with none or two.
fn is_document(name: &str) -> bool {
    name.starts_with('.') && !name.starts_with("..")
}
