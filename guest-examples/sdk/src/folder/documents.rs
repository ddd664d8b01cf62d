//! Documents with compare-and-swap, made of hard links.
//!
//! A document is a folder of numbered generations, `00000001.json`, `00000002.json` and so on. The highest one is its
//! content, its number with a hash of that the token: a folder that was emptied and filled anew counts from 1 again. To swap from generation N is to link a complete file as N + 1, which only one
//! of several writers can do.
//!
//! Why two writers can't both win. A generation is removed only by someone who has seen a higher one, so the
//! highest never disappears. A writer that read N and links N + 1 therefore either follows the highest, and
//! then it is the one that linked N + 1; or it is late and N + 1 was there and has been removed, and then a
//! higher one is there, which it finds by looking again. The last [`KEPT`] generations stay, so that a late
//! writer finds the number taken, and a reader has its file, without depending on how fast folders are listed.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::unsynced::sync_folder;
use super::{Folder, absent, failed};
use crate::{Body, Document, DocumentRead, Error, Result, Swap, Token};

/// How many generations below the newest one are kept.
const KEPT: u64 = 8;
/// How often a reader looks again because the file that it was about to open is gone.
const ATTEMPTS: u32 = 16;

pub(super) fn read(folder: &Path, known: Option<&Token>) -> io::Result<DocumentRead> {
    for _ in 0..ATTEMPTS {
        let Some(newest) = generations(folder)?.into_iter().max() else { return Ok(DocumentRead::Absent) };
        match fs::read(file(folder, newest)) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            result => {
                let bytes = result?;
                let token = token(newest, &bytes);
                return Ok(match known {
                    Some(known) if *known == token => DocumentRead::Unchanged,
                    _ => DocumentRead::Changed(Document { bytes, token }),
                });
            }
        }
    }
    Err(ErrorKind::ResourceBusy.into())
}

pub(super) fn swap(remote: &Folder, key: &str, expected: Option<&Token>, bytes: &[u8]) -> Result<Swap> {
    let folder = remote.file(key);
    let expected = match expected {
        Some(expected) => {
            let generation =
                generation(expected).ok_or_else(|| Error::fatal("not a token of this remote").at(key))?;
            match fs::read(file(&folder, generation)) {
                Ok(bytes) if token(generation, &bytes) == *expected => generation,
                Ok(_) => return Ok(Swap::Mismatch),
                Err(error) if absent(&error) => return Ok(Swap::Mismatch),
                Err(error) => return Err(failed("read", key, &error)),
            }
        }
        None => 0,
    };
    let own = expected + 1;
    // A document says that objects are there.
    let (temporary, content) = remote.write_temporary(key, Body::of(bytes.to_vec()))?;
    remote.unsynced.borrow_mut().sync().map_err(|error| error.at(key))?;
    content.sync_all().map_err(|error| failed("write", key, &error))?;
    let linked = remote.place(&format!("{key}/{}", name(own)), |target| fs::hard_link(&temporary.0, target));
    match linked {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(Swap::Mismatch),
        Err(error) => return Err(remote.link_failed(key, &error)),
        Ok(_) => sync_folder(&folder),
    }
    let found = generations(&folder).map_err(|error| failed("read", key, &error))?;
    if found.iter().any(|generation| *generation > own) {
        let _ = fs::remove_file(file(&folder, own));
        return Ok(Swap::Mismatch);
    }
    for old in found.into_iter().filter(|generation| generation + KEPT < own) {
        let _ = fs::remove_file(file(&folder, old));
    }
    Ok(Swap::Swapped(token(own, bytes)))
}

fn token(generation: u64, bytes: &[u8]) -> Token {
    let digest = blake3::hash(bytes).to_hex();
    Token(format!("{generation}-{}", digest.get(..32).unwrap_or_default()))
}

fn generation(token: &Token) -> Option<u64> {
    token.0.split_once('-')?.0.parse().ok()
}

/// Lists the generations of a document; none if there is no such document.
fn generations(folder: &Path) -> io::Result<Vec<u64>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if absent(&error) => return Ok(Vec::new()),
        result => result?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        let number: Option<u64> =
            name.to_str().and_then(|name| name.strip_suffix(".json")).and_then(|name| name.parse().ok());
        found.extend(number);
    }
    Ok(found)
}

fn name(generation: u64) -> String {
    format!("{generation:08}.json")
}

fn file(folder: &Path, generation: u64) -> PathBuf {
    folder.join(name(generation))
}
