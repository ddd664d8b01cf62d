use std::path::PathBuf;

/// An extension's own folder for one remote and scope.
///
/// What an extension notes there during a pull is about files that it brought. If they were not moved into the cache in the
/// end, the notes are wrong, and the folder is emptied before it is used again.
pub(super) struct StateFolder {
    pub(super) path: PathBuf,
    /// Exists from before a pull until its files are in the cache.
    doubt: PathBuf,
}

impl StateFolder {
    pub(super) fn open(path: PathBuf) -> std::io::Result<Self> {
        let doubt = path.with_extension("doubt");
        if doubt.exists() {
            match std::fs::remove_dir_all(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                _ => std::fs::remove_file(&doubt)?,
            }
        }
        std::fs::create_dir_all(&path)?;
        Ok(Self { path, doubt })
    }

    pub(super) fn doubt(&self) -> std::io::Result<()> {
        std::fs::write(&self.doubt, b"")
    }

    pub(super) fn trust(self) {
        // If it stays, the folder is emptied for nothing.
        _ = std::fs::remove_file(self.doubt);
    }
}
