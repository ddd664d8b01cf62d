//! The remote: a granted folder. Replace it by what you sync with.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::PathBuf;

use crate::wit::lockkeeper::datastore::types::Error;
use crate::wit::wasi::config::store;
use crate::{Index, failure, retry};

/// The granted folder that `root` names.
pub(crate) struct Remote {
    root: PathBuf,
}

impl Remote {
    pub(crate) fn configured() -> Result<Self, Error> {
        let wrong = |problem: String| Error::Config(failure("", &problem));
        let root = store::get("root").map_err(|error| wrong(format!("`root`: {error:?}")))?;
        let root = root.ok_or_else(|| wrong("`root` must name a granted folder".to_owned()))?;
        fs::read_dir(&root).map_err(|error| wrong(format!("`root`, {root}: {error}")))?;
        Ok(Self { root: root.into() })
    }

    /// What all pushes together say.
    pub(crate) fn index(&self) -> Result<Index, Error> {
        let mut index = Index::new();
        for name in self.pushes().map_err(failed("pushes"))? {
            let name = format!("pushes/{name}");
            let bytes = fs::read(self.root.join(&name)).map_err(failed(&name))?;
            index.extend(parse(&bytes).ok_or_else(|| retry(&name, "it is damaged"))?);
        }
        Ok(index)
    }

    pub(crate) fn get(&self, path: &str, digest: &str) -> Result<Vec<u8>, Error> {
        fs::read(self.root.join(object(path, digest))).map_err(failed(path))
    }

    pub(crate) fn put(&self, path: &str, digest: &str, content: &[u8]) -> Result<(), Error> {
        self.write(&object(path, digest), content).map_err(failed(path))
    }

    /// Makes a push visible: all of it at once, under a name that no other push takes.
    pub(crate) fn commit(&self, push: &Index) -> Result<(), Error> {
        let commit = || {
            let last = self.pushes()?.pop().and_then(|name| name.get(..16)?.parse().ok());
            let number = last.map_or(1, |last: u64| last + 1);
            self.write(&format!("pushes/{number:016}-{}", unique()?), &format(push))
        };
        commit().map_err(failed("pushes"))
    }

    /// Drops a version that no index names any more.
    pub(crate) fn forget(&self, path: &str, digest: &str) -> Result<(), Error> {
        match fs::remove_file(self.root.join(object(path, digest))) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(failed(path)(error)),
            _ => Ok(()),
        }
    }

    fn pushes(&self) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(self.root.join("pushes")) {
            // Only this means that there are none. Any other error is one.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let name = |entry: io::Result<fs::DirEntry>| Ok(entry?.file_name().to_string_lossy().into_owned());
        let mut names = entries.map(name).collect::<io::Result<Vec<_>>>()?;
        names.sort();
        Ok(names)
    }

    /// Writes a file that lasts, and that nobody sees before it is complete.
    fn write(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let target = self.root.join(name);
        let folder = target.parent().unwrap_or(&self.root);
        fs::create_dir_all(folder)?;
        let unfinished = self.root.join(format!("unfinished-{}", unique()?));
        let mut file = File::create(&unfinished)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(unfinished, &target)?;
        // Not every file system can.
        _ = File::open(folder).and_then(|folder| folder.sync_all());
        Ok(())
    }
}

fn object(path: &str, digest: &str) -> String {
    format!("objects/{}", blake3::hash(format!("{digest} {path}").as_bytes()))
}

/// Writes an index down so that a part can't be taken for the whole. No path holds a NUL.
fn format(index: &Index) -> Vec<u8> {
    let lines = index.iter().map(|(path, digest)| format!("{} {path}\0", digest.as_deref().unwrap_or("-")));
    lines.chain([format!("{}\0", index.len())]).collect::<String>().into_bytes()
}

fn parse(bytes: &[u8]) -> Option<Index> {
    let mut lines: Vec<&str> = std::str::from_utf8(bytes).ok()?.strip_suffix('\0')?.split('\0').collect();
    let count: usize = lines.pop()?.parse().ok()?;
    let line = |line: &str| {
        let (digest, path) = line.split_once(' ')?;
        Some((path.to_owned(), (digest != "-").then(|| digest.to_owned())))
    };
    lines.into_iter().map(line).collect::<Option<Index>>().filter(|index| index.len() == count)
}

fn unique() -> io::Result<String> {
    Ok(format!("{:016x}", getrandom::u64().map_err(io::Error::other)?))
}

fn failed(name: &str) -> impl Fn(io::Error) -> Error {
    move |error| retry(name, &format!("the remote folder: {error}"))
}
