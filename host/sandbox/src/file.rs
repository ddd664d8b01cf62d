//! Component files, read once: as long as a file stays as it is, who it is is remembered.
//!
//! What is remembered stands beside the compiled code, which is what runs: that of the accepted digest and of nothing else. So
//! a stamp never decides which code runs, only whether a start looks at the file again.

use std::borrow::Cow;
use std::fs::{File, Metadata};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::engine::is_private;
use crate::error::ComponentError;
use crate::identity::{ComponentDigest, Identity, inspect};

/// The largest component file that is read.
const LARGEST_COMPONENT: u64 = 256 << 20;

/// A file that was written later than this before it was read may be written again without another time.
const SETTLED: Duration = Duration::from_secs(2);

/// A file that is an extension.
#[derive(Debug)]
pub struct ComponentFile {
    path: PathBuf,
    identity: Identity,
    /// Its bytes, if it had to be read.
    bytes: Option<Vec<u8>>,
}

impl ComponentFile {
    /// Reads a file and who it is, without compiling or running it.
    pub fn read(path: &Path) -> Result<Self, ComponentError> {
        let (bytes, _) = read(path)?;
        let identity = inspect(&bytes)?;
        Ok(Self { path: path.to_owned(), identity, bytes: Some(bytes) })
    }

    /// Reads the bytes of a file, whatever they are, with a bound on their number.
    pub fn bytes_of(path: &Path) -> Result<Vec<u8>, ComponentError> {
        Ok(read(path)?.0)
    }

    /// Finds out whether a file still is the one that was accepted.
    ///
    /// It isn't read again if the folder of compiled code knows it and its size, times and inode are as they were.
    pub fn accepted(
        path: &Path,
        accepted: &ComponentDigest,
        compiled: Option<&Path>,
    ) -> Result<Self, ComponentError> {
        Self::accepted_at(path, accepted, compiled, SystemTime::now())
    }

    fn accepted_at(
        path: &Path,
        accepted: &ComponentDigest,
        compiled: Option<&Path>,
        now: SystemTime,
    ) -> Result<Self, ComponentError> {
        let unreadable = |source| ComponentError::Unreadable { path: path.to_owned(), source };
        let compiled = compiled.filter(|folder| is_private(folder));
        let stamp = Stamp::of(&std::fs::metadata(path).map_err(unreadable)?);
        if let (Some(folder), Some(stamp)) = (compiled, stamp)
            && let Some(identity) = Known::recall(folder, stamp)
            && identity.digest == *accepted
        {
            return Ok(Self { path: path.to_owned(), identity, bytes: None });
        }
        let (bytes, stamp) = read(path)?;
        accept(&bytes, accepted)?;
        let identity = inspect(&bytes)?;
        if let (Some(folder), Some(stamp)) = (compiled, stamp.filter(|stamp| stamp.is_settled(now))) {
            // If that is not possible, it is read again next time.
            _ = Known { stamp, identity: identity.clone() }.keep(folder);
        }
        Ok(Self { path: path.to_owned(), identity, bytes: Some(bytes) })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Who it is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Its bytes, which are those of its digest.
    pub(crate) fn bytes(&self) -> Result<Cow<'_, [u8]>, ComponentError> {
        if let Some(bytes) = &self.bytes {
            return Ok(bytes.into());
        }
        let (bytes, _) = read(&self.path)?;
        accept(&bytes, &self.identity.digest)?;
        Ok(bytes.into())
    }
}

fn accept(bytes: &[u8], accepted: &ComponentDigest) -> Result<(), ComponentError> {
    let found = ComponentDigest::of(bytes);
    if found == *accepted {
        return Ok(());
    }
    Err(ComponentError::NotAccepted { accepted: accepted.clone(), found })
}

/// Reads a component file, with a bound on its size, and its stamp if it did not change meanwhile.
fn read(path: &Path) -> Result<(Vec<u8>, Option<Stamp>), ComponentError> {
    let unreadable = |source| ComponentError::Unreadable { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(unreadable)?;
    let before = file.metadata().map_err(unreadable)?;
    let size = before.len();
    if size > LARGEST_COMPONENT {
        return Err(ComponentError::TooLarge { path: path.to_owned(), size, limit: LARGEST_COMPONENT });
    }
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
    file.read_to_end(&mut bytes).map_err(unreadable)?;
    let after = file.metadata().map_err(unreadable)?;
    Ok((bytes, Stamp::of(&before).filter(|before| Stamp::of(&after) == Some(*before))))
}

/// What changes if a file is written or replaced. Nobody can set `changed` but the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    /// Seconds and nanoseconds since 1970.
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    #[cfg(unix)]
    fn of(metadata: &Metadata) -> Option<Self> {
        use std::os::unix::fs::MetadataExt;
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }

    #[cfg(not(unix))]
    fn of(_: &Metadata) -> Option<Self> {
        None
    }

    fn is_settled(&self, now: SystemTime) -> bool {
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let latest = now.saturating_sub(SETTLED).as_secs();
        i64::try_from(latest).is_ok_and(|latest| self.modified.0.max(self.changed.0) < latest)
    }
}

/// What is remembered of a file.
#[derive(Serialize, Deserialize)]
struct Known {
    stamp: Stamp,
    identity: Identity,
}

impl Known {
    fn recall(folder: &Path, stamp: Stamp) -> Option<Identity> {
        let text = std::fs::read(Self::path(folder, stamp)).ok()?;
        let known: Self = serde_json::from_slice(&text).ok()?;
        (known.stamp == stamp).then_some(known.identity)
    }

    fn keep(&self, folder: &Path) -> std::io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.persist(Self::path(folder, self.stamp)).map_err(|error| error.error)?;
        Ok(())
    }

    fn path(folder: &Path, Stamp { device, inode, .. }: Stamp) -> PathBuf {
        folder.join(format!("known-{device:x}-{inode:x}.json"))
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A file that is an extension, in a folder of its own, and a folder for compiled code.
    struct Scene {
        folder: tempfile::TempDir,
    }

    impl Scene {
        fn new() -> Self {
            let scene = Self { folder: tempfile::tempdir().unwrap() };
            std::fs::write(scene.file(), component("1.0.0")).unwrap();
            scene
        }

        fn file(&self) -> PathBuf {
            self.folder.path().join("it.wasm")
        }

        fn compiled(&self) -> PathBuf {
            self.folder.path().join("compiled")
        }

        fn look(&self, accepted: &ComponentDigest, later: u64) -> Result<ComponentFile, ComponentError> {
            let now = SystemTime::now() + Duration::from_secs(later);
            ComponentFile::accepted_at(&self.file(), accepted, Some(&self.compiled()), now)
        }

        fn was_read(&self, accepted: &ComponentDigest) -> bool {
            let file = self.look(accepted, 60).unwrap();
            assert_eq!(file.identity().digest, *accepted);
            assert_eq!(ComponentDigest::of(&file.bytes().unwrap()), *accepted);
            file.bytes.is_some()
        }
    }

    fn component(version: &str) -> Vec<u8> {
        let text = r#"(component $"@test/it" (instance $i) (export "lockkeeper:datastore/sync@0.1.0" (instance $i)))"#;
        let mut bytes = wat::parse_str(text).unwrap();
        let section = [&[7], b"version".as_slice(), version.as_bytes()].concat();
        bytes.extend([&[0, section.len() as u8], section.as_slice()].concat());
        bytes
    }

    #[test]
    fn a_file_that_stays_as_it_is_is_read_once() {
        let scene = Scene::new();
        let accepted = ComponentDigest::of(&component("1.0.0"));
        assert!(scene.was_read(&accepted));
        assert!(!scene.was_read(&accepted));
        let file = scene.look(&accepted, 60).unwrap();
        assert_eq!(
            (file.identity().name.to_string().as_str(), file.identity().version.as_str()),
            ("@test/it", "1.0.0")
        );
    }

    #[test]
    fn a_file_that_was_just_written_is_read_again() {
        let scene = Scene::new();
        let accepted = ComponentDigest::of(&component("1.0.0"));
        for _ in 0..2 {
            assert!(scene.look(&accepted, 0).unwrap().bytes.is_some());
        }
    }

    #[test]
    fn a_change_is_found_whatever_size_and_time_the_file_has_now() {
        let scene = Scene::new();
        let accepted = ComponentDigest::of(&component("1.0.0"));
        scene.was_read(&accepted);
        let before = std::fs::metadata(scene.file()).unwrap();
        std::fs::write(scene.file(), component("1.0.1")).unwrap();
        File::options()
            .write(true)
            .open(scene.file())
            .unwrap()
            .set_modified(before.modified().unwrap())
            .unwrap();
        let after = std::fs::metadata(scene.file()).unwrap();
        assert_eq!((before.len(), before.modified().unwrap()), (after.len(), after.modified().unwrap()));
        match scene.look(&accepted, 60) {
            Err(ComponentError::NotAccepted { found, .. }) => {
                assert_eq!(found, ComponentDigest::of(&component("1.0.1")));
                assert!(scene.was_read(&found));
                assert!(!scene.was_read(&found));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_file_that_was_moved_there_is_another_one() {
        let scene = Scene::new();
        let accepted = ComponentDigest::of(&component("1.0.0"));
        scene.was_read(&accepted);
        let other = scene.folder.path().join("other");
        std::fs::write(&other, component("1.0.1")).unwrap();
        std::fs::rename(other, scene.file()).unwrap();
        assert!(matches!(scene.look(&accepted, 60), Err(ComponentError::NotAccepted { .. })));
    }

    #[test]
    fn a_file_that_is_not_the_accepted_one_is_not_remembered_as_such() {
        let scene = Scene::new();
        let other = ComponentDigest::of(b"another");
        for _ in 0..2 {
            assert!(matches!(scene.look(&other, 60), Err(ComponentError::NotAccepted { .. })));
        }
        scene.was_read(&ComponentDigest::of(&component("1.0.0")));
        assert!(matches!(scene.look(&other, 60), Err(ComponentError::NotAccepted { .. })));
    }

    #[test]
    fn what_is_remembered_is_not_believed_if_others_can_write_it_or_it_is_damaged() {
        let scene = Scene::new();
        let accepted = ComponentDigest::of(&component("1.0.0"));
        scene.was_read(&accepted);
        std::fs::set_permissions(scene.compiled(), std::fs::Permissions::from_mode(0o777)).unwrap();
        assert!(scene.was_read(&accepted));
        std::fs::set_permissions(scene.compiled(), std::fs::Permissions::from_mode(0o700)).unwrap();
        assert!(!scene.was_read(&accepted));
        for known in std::fs::read_dir(scene.compiled()).unwrap() {
            std::fs::write(known.unwrap().path(), "{}").unwrap();
        }
        assert!(scene.was_read(&accepted));
    }
}
