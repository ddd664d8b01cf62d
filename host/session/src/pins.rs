//! `lockkeeper.lock`: which bytes each extension was accepted with.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use lockkeeper_names::ExtensionName;
use lockkeeper_sandbox::{ComponentDigest, Identity};
use serde::{Deserialize, Serialize};

use crate::registry::RegistryError;

/// One accepted extension.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    /// Its version.
    pub version: String,
    /// Its file's name in the registry folder.
    pub file: String,
    /// The hash of that file.
    pub digest: ComponentDigest,
}

/// All accepted extensions, by name.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pins {
    #[serde(default)]
    extension: BTreeMap<ExtensionName, Pin>,
    #[serde(skip)]
    path: PathBuf,
}

impl Pins {
    /// Reads the file; none means that nothing was accepted yet.
    pub fn read(path: &Path) -> Result<Self, RegistryError> {
        let unreadable = |problem: String| RegistryError::UnreadablePins {
            path: path.to_owned(),
            problem: problem.trim_end().to_owned(),
        };
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(unreadable(error.to_string())),
        };
        let pins: Self = toml::from_str(&text).map_err(|error| unreadable(error.to_string()))?;
        Ok(Self { path: path.to_owned(), ..pins })
    }

    /// The pin of an extension.
    pub fn get(&self, name: &ExtensionName) -> Option<&Pin> {
        self.extension.get(name)
    }

    /// Accepts an extension as it is now, and returns the pin that this replaces.
    pub fn accept(&mut self, identity: &Identity, file: &str) -> Result<Option<Pin>, RegistryError> {
        let pin =
            Pin { version: identity.version.clone(), file: file.to_owned(), digest: identity.digest.clone() };
        let before = self.extension.insert(identity.name.clone(), pin);
        self.write()?;
        Ok(before)
    }

    /// Forgets an extension.
    pub fn forget(&mut self, name: &ExtensionName) -> Result<(), RegistryError> {
        if self.extension.remove(name).is_some() {
            self.write()?;
        }
        Ok(())
    }

    fn write(&self) -> Result<(), RegistryError> {
        let problem = |problem: String| RegistryError::UnwritablePins { path: self.path.clone(), problem };
        let body = toml::to_string(self).map_err(|error| problem(error.to_string()))?;
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let write = || -> std::io::Result<()> {
            let mut file = tempfile::Builder::new().permissions_of_new_files().tempfile_in(folder)?;
            writeln!(
                file,
                "# The extensions that were accepted, by the hash of their files. Commit this file.\n"
            )?;
            file.write_all(body.as_bytes())?;
            file.as_file().sync_all()?;
            file.persist(&self.path).map_err(|error| error.error)?;
            Ok(())
        };
        write().map_err(|error| problem(error.to_string()))
    }
}

/// Temporary files are private by default; what they become should be as readable as any new file.
trait PermissionsOfNewFiles {
    fn permissions_of_new_files(&mut self) -> &mut Self;
}

impl PermissionsOfNewFiles for tempfile::Builder<'_, '_> {
    fn permissions_of_new_files(&mut self) -> &mut Self {
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            self.permissions(std::fs::Permissions::from_mode(0o666));
        }
        self
    }
}
