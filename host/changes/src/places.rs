//! Folders entered one step at a time, so that a symlink is never followed, not even to a place inside the cache.

use std::io::{self, Write};

use cap_fs_ext::{DirExt, FollowSymlinks, OpenOptionsFollowExt, OpenOptionsSyncExt};
use cap_std::fs::{Dir, DirEntry, File, FileType, OpenOptions};

use crate::error::{At, CacheError};

/// How deeply folders may nest. Each level holds file descriptors while it is walked.
pub(crate) const DEEPEST: usize = 100;

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Folder,
    Symlink,
    Special,
}

impl Kind {
    pub(crate) fn of(file_type: FileType) -> Self {
        if file_type.is_file() {
            Self::File
        } else if file_type.is_dir() {
            Self::Folder
        } else if file_type.is_symlink() {
            Self::Symlink
        } else {
            Self::Special
        }
    }

    /// What a listed entry is, none if it is gone by now.
    pub(crate) fn of_entry(entry: &DirEntry) -> io::Result<Option<Self>> {
        match Self::of(entry.file_type()?) {
            // Some file systems don't say what they list.
            Self::Special => match entry.metadata() {
                Ok(metadata) => Ok(Some(Self::of(metadata.file_type()))),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error),
            },
            kind => Ok(Some(kind)),
        }
    }
}

/// What was found where a folder was looked for.
#[derive(Debug)]
pub(crate) enum Place {
    Folder(Dir),
    Absent,
    /// Something that is no folder stands there or at a parent.
    Blocked {
        at: String,
        kind: Kind,
    },
}

impl Place {
    pub(crate) fn folder(self) -> Option<Dir> {
        match self {
            Self::Folder(dir) => Some(dir),
            _ => None,
        }
    }
}

/// Enters the folder `name`, which must be a single name.
pub(crate) fn enter(parent: &Dir, name: &str) -> io::Result<Place> {
    match parent.open_dir_nofollow(name) {
        Ok(dir) => Ok(Place::Folder(dir)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Place::Absent),
        Err(error) => match parent.symlink_metadata(name) {
            Ok(found) if !found.is_dir() => {
                Ok(Place::Blocked { at: name.to_owned(), kind: Kind::of(found.file_type()) })
            }
            _ => Err(error),
        },
    }
}

/// Enters the folder `name` of a folder that may be absent itself.
pub(crate) fn enter_option(parent: Option<&Dir>, name: &str) -> io::Result<Option<Dir>> {
    parent.map_or(Ok(None), |parent| Ok(enter(parent, name)?.folder()))
}

/// Enters a folder below `top`, given as names between slashes.
pub(crate) fn find(top: &Dir, folder: &str) -> Result<Place, CacheError> {
    let mut dir = top.try_clone().at("open", folder)?;
    for (at, name) in steps(folder) {
        dir = match enter(&dir, name).at("open", at)? {
            Place::Folder(next) => next,
            Place::Absent => return Ok(Place::Absent),
            Place::Blocked { kind, .. } => return Ok(Place::Blocked { at: at.to_owned(), kind }),
        };
    }
    Ok(Place::Folder(dir))
}

/// Enters the folder `name`, made if it is absent. Two processes may do so at once.
pub(crate) fn make(parent: &Dir, name: &str) -> io::Result<Dir> {
    if let Place::Folder(dir) = enter(parent, name)? {
        return Ok(dir);
    }
    match parent.create_dir(name) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => parent.open_dir_nofollow(name),
    }
}

/// Enters a folder below `top`, made if it is absent.
pub(crate) fn make_all(top: &Dir, folder: &str) -> Result<Dir, CacheError> {
    let mut dir = top.try_clone().at("open", folder)?;
    for (at, name) in steps(folder) {
        dir = make(&dir, name).at("create the folder", at)?;
    }
    Ok(dir)
}

/// Makes a folder with a new number for a name.
pub(crate) fn make_numbered(parent: &Dir) -> io::Result<(String, Dir)> {
    for number in 1_u64.. {
        let name = number.to_string();
        match parent.create_dir(&name) {
            Ok(()) => return parent.open_dir_nofollow(&name).map(|dir| (name, dir)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::StorageFull.into())
}

/// Opens a file for reading. Neither follows a symlink nor waits for a pipe's other end.
pub(crate) fn open_file(dir: &Dir, name: &str) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).follow(FollowSymlinks::No).nonblock(true);
    dir.open_with(name, &options)
}

/// Replaces a file as a whole: whoever reads it sees the old bytes or the new ones. One writer at a time.
pub(crate) fn replace(dir: &Dir, name: &str, bytes: &[u8]) -> io::Result<()> {
    let new = format!("{name}.new");
    create(dir, &new)?.write_all(bytes)?;
    dir.rename(&new, dir, name)
}

/// Creates an empty file in place of whatever stands there.
pub(crate) fn create(dir: &Dir, name: &str) -> io::Result<File> {
    match dir.remove_file(name) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    dir.open_with(name, OpenOptions::new().write(true).create_new(true))
}

/// The path of `name` in `folder`; the cache itself is the folder "".
pub(crate) fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

/// The path up to each name, and the name: `a`, `a`; `a/b`, `b`.
pub(crate) fn steps(folder: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut end = 0;
    folder.split('/').filter(|name| !name.is_empty()).map(move |name| {
        let start = if end == 0 { 0 } else { end + 1 };
        end = start + name.len();
        (folder.get(..end).unwrap_or(folder), name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_walked_name_by_name() {
        let walked: Vec<_> = steps("data/ü/b").collect();
        assert_eq!(walked, [("data", "data"), ("data/ü", "ü"), ("data/ü/b", "b")]);
        assert_eq!(steps("").count(), 0);
    }
}
