//! Listing the documents below a folder, one folder at a time.

use std::fs;
use std::io;
use std::path::Path;

use super::{absent, failed};
use crate::{Error, Result};

/// The keys of the documents below a folder.
pub(super) struct Listing<'a> {
    root: &'a Path,
    folders: Vec<String>,
    documents: Vec<String>,
}

impl<'a> Listing<'a> {
    pub(super) fn new(root: &'a Path, prefix: &str) -> Self {
        Self { root, folders: vec![prefix.trim_end_matches('/').to_owned()], documents: Vec::new() }
    }

    fn read(&mut self, folder: &str) -> Result<()> {
        let unreadable = |error: io::Error| failed("list", folder, &error);
        let entries = match fs::read_dir(self.root.join(folder)) {
            Err(error) if absent(&error) => return Ok(()),
            result => result.map_err(unreadable)?,
        };
        for entry in entries {
            let entry = entry.map_err(unreadable)?;
            if !entry.file_type().map_err(unreadable)?.is_dir() {
                continue;
            }
            let Ok(name) = entry.file_name().into_string() else {
                return Err(Error::fatal(format!("{:?} is not valid UTF-8", entry.file_name())).at(folder));
            };
            let key = format!("{folder}/{name}");
            if is_document(&name) { self.documents.push(key) } else { self.folders.push(key) }
        }
        Ok(())
    }
}

impl Iterator for Listing<'_> {
    type Item = Result<String>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(document) = self.documents.pop() {
                return Some(Ok(document));
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
