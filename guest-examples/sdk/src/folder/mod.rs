//! A remote in a folder: a mounted share, a synced disk, another place on this machine.

mod documents;
mod listing;
mod unsynced;

use std::cell::RefCell;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use bytes::BytesMut;
use futures_util::stream::{self, LocalBoxStream};

use self::unsynced::Unsynced;
use crate::body::BUFFER;
use crate::path::OWN;
use crate::shard::Entry;
use crate::{Body, DocumentRead, Error, Listed, Object, PutNew, Remote, Result, Stored, Swap, Token};

/// How often a write is tried again because its folder was pruned meanwhile.
const ATTEMPTS: u32 = 4;

/// A remote that keeps each object in a file of its own. The file system has to support hard links.
///
/// New objects survive a power failure from the next document on that is written: nobody looks for them before.
pub struct Folder {
    root: PathBuf,
    unsynced: RefCell<Unsynced>,
}

impl Folder {
    /// Opens a folder, which has to exist: one that is not there is a mistake, not an empty remote.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self> {
        let root = root.into();
        match fs::read_dir(&root) {
            Ok(_) => Ok(Self { root, unsynced: RefCell::default() }),
            Err(error) => Err(Error::config(format!(
                "can't open the folder that `root` names: {error}; grant it in [datastore.grants] folders"
            ))
            .at(&root.to_string_lossy())),
        }
    }

    fn file(&self, key: &str) -> PathBuf {
        self.root.join(key)
    }

    /// Writes a file under a name of its own, where nobody looks for it.
    fn write_temporary(&self, key: &str, mut body: Body) -> Result<(Temporary, File)> {
        let folder = self.root.join(OWN).join("tmp");
        let mut write = || {
            let name = getrandom::u64().map_err(io::Error::other)?;
            let temporary = Temporary(folder.join(format!("{name:016x}")));
            let mut file =
                in_folder(&folder, || OpenOptions::new().write(true).create_new(true).open(&temporary.0))?;
            loop {
                let piece = body.read(BUFFER)?;
                if piece.is_empty() {
                    return Ok((temporary, file));
                }
                file.write_all(&piece)?;
            }
        };
        write().map_err(|error| failed("write", key, &error))
    }

    /// Gives a written file its name by `step`, which says how.
    fn place(&self, key: &str, step: impl Fn(&Path) -> io::Result<()>) -> io::Result<PathBuf> {
        let target = self.file(key);
        in_folder(target.parent().unwrap_or(&self.root), || step(&target))?;
        Ok(target)
    }

    /// Creates an object that is synced later; gives the file back if the key is taken.
    fn create(&self, key: &str, temporary: &Temporary, file: File) -> Result<Option<File>> {
        match self.place(key, |target| fs::hard_link(&temporary.0, target)) {
            Ok(target) => {
                let added = self.unsynced.borrow_mut().add(file, &target);
                added.map(|()| None).map_err(|error| error.at(key))
            }
            Err(error) if matches!(error.kind(), ErrorKind::AlreadyExists | ErrorKind::NotADirectory) => {
                Ok(Some(file))
            }
            Err(error) => Err(self.link_failed(key, &error)),
        }
    }
}

/// Does what needs a folder, and makes the folder where there is none, again if it is pruned meanwhile.
fn in_folder<T>(folder: &Path, step: impl Fn() -> io::Result<T>) -> io::Result<T> {
    for _ in 0..ATTEMPTS {
        match step() {
            Err(error) if error.kind() == ErrorKind::NotFound => fs::create_dir_all(folder)?,
            result => return result,
        }
    }
    step()
}

impl Remote for Folder {
    async fn get(&self, key: &str) -> Result<Option<Object<'_>>> {
        match File::open(self.file(key)) {
            // A folder is no object, and below a file there is none.
            Ok(file) if file.metadata().is_ok_and(|metadata| metadata.is_dir()) => Ok(None),
            Ok(file) => Ok(Some(pieces(file))),
            Err(error) if absent(&error) || error.kind() == ErrorKind::IsADirectory => Ok(None),
            Err(error) => Err(failed("read", key, &error)),
        }
    }

    async fn put(&self, key: &str, body: Body) -> Result<()> {
        let (temporary, file) = self.write_temporary(key, body)?;
        let Some(file) = self.create(key, &temporary, file)? else { return Ok(()) };
        // What is replaced may be in use, so the new bytes have to be safe before they take its name.
        let replaced =
            file.sync_all().and_then(|()| self.place(key, |target| fs::rename(&temporary.0, target)));
        let target = replaced.map_err(|error| failed("write", key, &error))?;
        self.unsynced.borrow_mut().add_name(&target);
        Ok(())
    }

    async fn put_new(&self, key: &str, body: Body) -> Result<PutNew> {
        // Nobody should write a large file in vain.
        if body.size() > BUFFER as u64 && fs::symlink_metadata(self.file(key)).is_ok() {
            return Ok(PutNew::Exists);
        }
        let (temporary, file) = self.write_temporary(key, body)?;
        let taken = self.create(key, &temporary, file)?;
        Ok(taken.map_or(PutNew::Created, |_| PutNew::Exists))
    }

    async fn delete(&self, key: &str) -> Result<()> {
        match fs::remove_file(self.file(key)) {
            Ok(()) => {}
            Err(error) if absent(&error) => {}
            Err(_) if self.file(key).is_dir() => return Ok(()),
            Err(error) => return Err(failed("delete", key, &error)),
        }
        // A folder that is empty now would stand in the way of a file of its name.
        let mut folder = Path::new(key).parent();
        while let Some(empty) = folder.filter(|folder| *folder != Path::new("")) {
            if fs::remove_dir(self.root.join(empty)).is_err() {
                break;
            }
            folder = empty.parent();
        }
        Ok(())
    }

    async fn rename(&self, from: &str, to: &str, _: &Entry) -> Result<bool> {
        let source = self.file(from);
        match self.place(to, |target| fs::rename(&source, target)) {
            Ok(target) => {
                self.unsynced.borrow_mut().add_name(&target);
                Ok(true)
            }
            Err(error) if absent(&error) && !source.exists() => Ok(false),
            Err(error) => Err(failed("write", to, &error)),
        }
    }

    async fn read_document(&self, key: &str, known: Option<&Token>) -> Result<DocumentRead> {
        documents::read(&self.file(key), known).map_err(|error| failed("read", key, &error))
    }

    async fn swap_document(&self, key: &str, expected: Option<&Token>, bytes: &[u8]) -> Result<Swap> {
        documents::swap(self, key, expected, bytes)
    }

    fn list_documents(&self, prefix: &str) -> LocalBoxStream<'_, Result<Listed>> {
        Box::pin(stream::iter(listing::documents(&self.root, prefix)))
    }

    fn list_objects(&self, prefix: &str) -> LocalBoxStream<'_, Result<Stored>> {
        Box::pin(stream::iter(listing::objects(&self.root, prefix)))
    }
}

/// A file as a stream.
fn pieces(file: File) -> Object<'static> {
    Box::pin(stream::try_unfold(file, async |mut file| {
        let mut piece = BytesMut::zeroed(BUFFER);
        let read = loop {
            match file.read(&mut piece) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => {
                    break result
                        .map_err(|error| Error::retry(format!("can't read from the remote: {error}")))?;
                }
            }
        };
        piece.truncate(read);
        Ok((read > 0).then(|| (piece.freeze(), file)))
    }))
}

impl Folder {
    fn link_failed(&self, key: &str, error: &io::Error) -> Error {
        match error.kind() {
            ErrorKind::Unsupported | ErrorKind::PermissionDenied => Error::config(format!(
                "can't make a hard link in {}: {error}; the folder has to be writable and its file system has to support hard links",
                self.root.display()
            ))
            .at(key),
            _ => failed("write", key, error),
        }
    }
}

/// A file that is removed when nobody needs it any more. It may be gone, and it may stay: it is in nobody's way.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Says whether a path leads nowhere, as opposed to an error on the way.
fn absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn failed(what: &str, key: &str, error: &io::Error) -> Error {
    let message = format!("can't {what} this file of the remote folder: {error}");
    let error = match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Error::config(message),
        ErrorKind::TimedOut
        | ErrorKind::Interrupted
        | ErrorKind::StaleNetworkFileHandle
        | ErrorKind::ResourceBusy => Error::retry(message),
        _ => Error::fatal(message),
    };
    error.at(key)
}
