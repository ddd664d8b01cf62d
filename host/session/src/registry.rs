use std::path::{Path, PathBuf};

use lockkeeper_names::ExtensionName;
use lockkeeper_sandbox::{ComponentDigest, ComponentError, ComponentFile, Identity, inspect};

use crate::pins::Pins;

/// What is wrong in a registry folder or its pins.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The folder can't be read.
    #[error("can't read the registry folder {}: {source}", .path.display())]
    Unreadable {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file can't be put into the folder, or taken out.
    #[error("can't write {}: {source}", .path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is no extension.
    #[error("{} is no extension: {source}", .path.display())]
    NoExtension {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: ComponentError,
    },
    /// No file in the folder has this name.
    #[error("there is no extension {name} in {}", .path.display())]
    NotFound {
        /// The name.
        name: ExtensionName,
        /// The registry folder.
        path: PathBuf,
    },
    /// Two files say that they are the same version of the same extension.
    #[error("{} and {} both claim to be {name} {version}; remove one of them", .first.display(), .second.display())]
    Ambiguous {
        /// The name.
        name: ExtensionName,
        /// The version.
        version: String,
        /// One file.
        first: PathBuf,
        /// The other one.
        second: PathBuf,
    },
    /// The file isn't the one that was accepted.
    #[error("{} is not the file that was accepted as {name}: pinned {}, found {}", .path.display(), .pinned.short(), .found.short())]
    DigestChanged {
        /// The extension.
        name: ExtensionName,
        /// Its file.
        path: PathBuf,
        /// The digest in `lockkeeper.lock`.
        pinned: ComponentDigest,
        /// The digest of the file.
        found: ComponentDigest,
    },
    /// `lockkeeper.lock` can't be read.
    #[error("can't read {}: {problem}", .path.display())]
    UnreadablePins {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// `lockkeeper.lock` can't be written.
    #[error("can't write {}: {problem}", .path.display())]
    UnwritablePins {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

impl RegistryError {
    /// Why an accepted extension's file is none, or is another one.
    pub(crate) fn no_extension(name: &ExtensionName, path: PathBuf, source: ComponentError) -> Self {
        match source {
            ComponentError::NotAccepted { accepted: pinned, found } => {
                Self::DigestChanged { name: name.clone(), path, pinned, found }
            }
            source => Self::NoExtension { path, source },
        }
    }
}

/// A folder of extensions.
#[derive(Debug, Clone)]
pub struct Registry {
    folder: PathBuf,
}

/// A file of the registry folder.
#[derive(Debug)]
pub struct Listed {
    /// The file.
    pub path: PathBuf,
    /// Who it is, or why it is no extension.
    pub identity: Result<Identity, ComponentError>,
}

impl Registry {
    /// Names a registry folder; it need not exist yet.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Reads every `.wasm` file of the folder, sorted by file name. Two files of one name and version are an error.
    pub fn list(&self) -> Result<Vec<Listed>, RegistryError> {
        let unreadable = |source| RegistryError::Unreadable { path: self.folder.clone(), source };
        let mut paths = Vec::new();
        match std::fs::read_dir(&self.folder) {
            Ok(entries) => {
                for entry in entries {
                    let path = entry.map_err(unreadable)?.path();
                    if path.extension().is_some_and(|extension| extension == "wasm") {
                        paths.push(path);
                    }
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(unreadable(error)),
        }
        paths.sort();
        let listed: Vec<Listed> = paths
            .into_iter()
            .map(|path| {
                let identity = ComponentFile::read(&path).map(|file| file.identity().clone());
                Listed { path, identity }
            })
            .collect();
        self.refuse_doubles(&listed)?;
        Ok(listed)
    }

    fn refuse_doubles(&self, listed: &[Listed]) -> Result<(), RegistryError> {
        let mut seen: Vec<(&Identity, &Path)> = Vec::new();
        for (identity, path) in
            listed.iter().filter_map(|it| Some((it.identity.as_ref().ok()?, it.path.as_path())))
        {
            let double = seen
                .iter()
                .find(|(other, _)| (&other.name, &other.version) == (&identity.name, &identity.version));
            if let Some((_, first)) = double {
                return Err(RegistryError::Ambiguous {
                    name: identity.name.clone(),
                    version: identity.version.clone(),
                    first: (*first).to_owned(),
                    second: path.to_owned(),
                });
            }
            seen.push((identity, path));
        }
        Ok(())
    }

    /// Finds an extension: the accepted file if there is one, else the newest version in the folder, which is thereby accepted.
    ///
    /// An accepted file is the only one that is looked at, and not read again if the folder `compiled` knows it.
    pub(crate) fn find(
        &self,
        name: &ExtensionName,
        pins: &mut Pins,
        compiled: Option<&Path>,
    ) -> Result<ComponentFile, RegistryError> {
        let Some(pin) = pins.get(name).cloned() else {
            let found = self.newest(name)?;
            pins.accept(found.identity(), &file_name(found.path()))?;
            return Ok(found);
        };
        let path = self.folder.join(&pin.file);
        if !path.exists() {
            return Err(RegistryError::NotFound { name: name.clone(), path: self.folder.clone() });
        }
        Self::accepted(name, path, &pin.digest, compiled)
    }

    fn accepted(
        name: &ExtensionName,
        path: PathBuf,
        digest: &ComponentDigest,
        compiled: Option<&Path>,
    ) -> Result<ComponentFile, RegistryError> {
        ComponentFile::accepted(&path, digest, compiled)
            .map_err(|source| RegistryError::no_extension(name, path, source))
    }

    pub(crate) fn newest(&self, name: &ExtensionName) -> Result<ComponentFile, RegistryError> {
        let mut named: Vec<(Identity, PathBuf)> = self
            .list()?
            .into_iter()
            .filter_map(|listed| Some((listed.identity.ok()?, listed.path)))
            .filter(|(identity, _)| identity.name == *name)
            .collect();
        named.sort_by_key(|(identity, _)| semver::Version::parse(&identity.version).ok());
        let Some((identity, path)) = named.pop() else {
            return Err(RegistryError::NotFound { name: name.clone(), path: self.folder.clone() });
        };
        Self::accepted(name, path, &identity.digest, None)
    }

    /// Copies a file into the folder, unless it is there already, and accepts it. Loads and runs nothing.
    ///
    /// Returns who it is and the path that it has now.
    pub fn add(&self, file: &Path, pins: &mut Pins) -> Result<(Identity, PathBuf), RegistryError> {
        let no_extension = |source| RegistryError::NoExtension { path: file.to_owned(), source };
        let bytes = ComponentFile::bytes_of(file).map_err(no_extension)?;
        let identity = inspect(&bytes).map_err(no_extension)?;
        let unwritable = |source| RegistryError::Unwritable { path: self.folder.clone(), source };
        std::fs::create_dir_all(&self.folder).map_err(unwritable)?;
        let inside =
            file.parent().and_then(|parent| parent.canonicalize().ok()) == self.folder.canonicalize().ok();
        let target = if inside { file.to_owned() } else { self.folder.join(file_name(file)) };
        for listed in self.list()? {
            let Ok(other) = listed.identity else { continue };
            let same = (&other.name, &other.version) == (&identity.name, &identity.version);
            if same && file_name(&listed.path) != file_name(&target) {
                return Err(RegistryError::Ambiguous {
                    name: identity.name,
                    version: identity.version,
                    first: listed.path,
                    second: target,
                });
            }
        }
        if !inside {
            let unwritable = |source| RegistryError::Unwritable { path: target.clone(), source };
            let temporary = tempfile::NamedTempFile::new_in(&self.folder).map_err(unwritable)?;
            std::fs::write(temporary.path(), &bytes).map_err(unwritable)?;
            temporary.persist(&target).map_err(|error| unwritable(error.error))?;
        }
        pins.accept(&identity, &file_name(&target))?;
        Ok((identity, target))
    }

    /// Removes an extension's file and its pin, and returns the file's path.
    pub fn remove(&self, name: &ExtensionName, pins: &mut Pins) -> Result<PathBuf, RegistryError> {
        let path = match pins.get(name) {
            Some(pin) => self.folder.join(&pin.file),
            None => self.newest(name)?.path().to_owned(),
        };
        match std::fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => return Err(RegistryError::Unwritable { path, source }),
        }
        pins.forget(name)?;
        Ok(path)
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
