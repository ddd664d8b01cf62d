//! A remote in a folder.
//!
//! `objects/` holds the versions of files, `index/` what the pushes said, to be read in the order of the names.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, SystemTime};

use crate::index::{self, Files, Index, object, parse};
use crate::mutation::Mutation;
use crate::sync::Remote;
use crate::types::{Change, Error};
use crate::{fail, retry};

pub(crate) struct Folder {
    root: PathBuf,
    mutation: Mutation,
}

impl Folder {
    pub(crate) fn open(root: String, mutation: Mutation) -> Result<Self, Error> {
        match fs::read_dir(&root) {
            Ok(_) => Ok(Self { root: root.into(), mutation }),
            Err(error) => Err(Error::Config(fail(format!("`root` must name a granted folder: {error}")))),
        }
    }

    /// Writes a file so that a reader finds all of it or nothing, and so that it lasts.
    fn write(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let target = self.root.join(name);
        let folder = target.parent().unwrap_or(&self.root);
        fs::create_dir_all(folder)?;
        let temporary = match self.mutation {
            Mutation::TruncateInPlace => return fs::write(target, content),
            Mutation::FixedTemporaryName => self.root.join("unfinished"),
            _ => self.root.join(format!("unfinished-{}", unique()?)),
        };
        let mut file = File::create(&temporary)?;
        match file.write_all(content) {
            Err(_) if self.mutation == Mutation::SwallowedError => {}
            written => written?,
        }
        if self.mutation != Mutation::Unsynced {
            file.sync_all()?;
        }
        fs::rename(temporary, &target)?;
        if self.mutation != Mutation::Unsynced {
            // Not every file system can.
            _ = File::open(folder).and_then(|folder| folder.sync_all());
        }
        Ok(())
    }

    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        absent_or(fs::read(self.root.join(name)))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        absent_or(fs::remove_file(self.root.join(name))).map(drop)
    }

    /// The names of what the pushes said, in order.
    fn said(&self) -> io::Result<Vec<String>> {
        let entries = absent_or(fs::read_dir(self.root.join("index")))?;
        let name = |entry: io::Result<fs::DirEntry>| Ok(entry?.file_name().to_string_lossy().into_owned());
        let mut names = entries.into_iter().flatten().map(name).collect::<io::Result<Vec<_>>>()?;
        names.sort();
        Ok(names)
    }

    /// What follows the last push.
    fn next_number(&self) -> io::Result<u64> {
        let last = self.said()?.pop().and_then(|name| name.get(..16)?.parse().ok());
        Ok(last.map_or(0, |last: u64| last + 1))
    }

    /// Changes a document that others may write.
    fn merge(&self, name: &str, changes: &Files) -> Result<(), Error> {
        let name = format!("index/{name}");
        for _ in 0..8 {
            let before = self.read(&name).map_err(failed)?;
            let mut files = before.as_deref().map_or(Ok(Files::new()), parse)?;
            files.extend(changes.clone());
            if self.mutation != Mutation::CheckThenWrite || self.read(&name).map_err(failed)? == before {
                return self.write(&name, &index::format(&files)).map_err(failed);
            }
        }
        Err(retry("others keep writing the index"))
    }

    fn under_lock<T>(&self, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        let lock = self.root.join("lock");
        for _ in 0..50 {
            match fs::create_dir(&lock) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => sleep(Duration::from_millis(100)),
                Err(error) => return Err(failed(error)),
                Ok(()) => {
                    let result = work();
                    fs::remove_dir(lock).map_err(failed)?;
                    return result;
                }
            }
        }
        Err(retry("another push is going on"))
    }

    fn counted(&self) -> Result<u64, Error> {
        let count = self.read("count").map_err(failed)?.unwrap_or_default();
        let count = String::from_utf8_lossy(&count).parse().unwrap_or(0);
        self.write("count", (count + 1).to_string().as_bytes()).map_err(failed)?;
        Ok(count)
    }
}

impl Remote for Folder {
    fn begin(&self, seen: &Index, files: &Files) -> Result<(), Error> {
        if self.mutation != Mutation::SharedState {
            return Ok(());
        }
        let unfinished = self.read("pushing").map_err(failed)?;
        for (path, digest) in unfinished.as_deref().map_or(Ok(Files::new()), parse)? {
            if let Some(digest) = digest
                && seen.files.get(&path) != Some(&Some(digest.clone()))
            {
                self.delete(&object(&path, &digest))?;
            }
        }
        self.write("pushing", &index::format(files)).map_err(failed)
    }

    fn index(&self) -> Result<Index, Error> {
        let mut index = Index::default();
        let names = match self.said() {
            Err(_) if self.mutation == Mutation::ErrorMeansEmpty => Vec::new(),
            names => names.map_err(failed)?,
        };
        for name in names {
            match self.read(&format!("index/{name}")) {
                Err(_) if self.mutation == Mutation::ErrorMeansEmpty => {}
                said => index.files.extend(said.map_err(failed)?.as_deref().map_or(Ok(Files::new()), parse)?),
            }
        }
        Ok(index)
    }

    fn commit(&self, _: Index, _: &[Change], files: &Files) -> Result<(), Error> {
        let name = match self.mutation {
            Mutation::UnconditionalIndexWrite | Mutation::CheckThenWrite => return self.merge("all", files),
            Mutation::LockFolder => return self.under_lock(|| self.merge("all", files)),
            Mutation::ShardByType => {
                return by_type(files).iter().try_for_each(|(kind, it)| self.merge(kind, it));
            }
            Mutation::CounterObject => format!("{:016}", self.counted()?),
            Mutation::TimeBasedIds => format!("{:016}", milliseconds()),
            _ => format!("{:016}-{}", self.next_number().map_err(failed)?, unique().map_err(failed)?),
        };
        self.write(&format!("index/{name}"), &index::format(files)).map_err(failed)
    }

    fn get(&self, object: &str) -> Result<Option<Vec<u8>>, Error> {
        self.read(&format!("objects/{object}")).map_err(failed)
    }

    fn put(&self, object: &str, content: &[u8]) -> Result<(), Error> {
        self.write(&format!("objects/{object}"), content).map_err(failed)
    }

    fn delete(&self, object: &str) -> Result<(), Error> {
        self.remove(&format!("objects/{object}")).map_err(failed)
    }
}

/// Groups files by what stands after the root: the first segment of their model's type.
fn by_type(files: &Files) -> Vec<(String, Files)> {
    let mut shards: Vec<(String, Files)> = Vec::new();
    for (path, digest) in files {
        let kind = path.split('/').nth(1).unwrap_or_default();
        let at = shards.iter().position(|(it, _)| it == kind).unwrap_or_else(|| {
            shards.push((kind.to_owned(), Files::new()));
            shards.len() - 1
        });
        if let Some((_, shard)) = shards.get_mut(at) {
            shard.insert(path.clone(), digest.clone());
        }
    }
    shards
}

fn unique() -> io::Result<String> {
    Ok(format!("{:016x}", getrandom::u64().map_err(io::Error::other)?))
}

fn milliseconds() -> u128 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_millis())
}

fn absent_or<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        result => result.map(Some),
    }
}

fn failed(error: io::Error) -> Error {
    retry(format!("the remote folder: {error}"))
}
