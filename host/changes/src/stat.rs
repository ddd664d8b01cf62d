use std::path::Path;
use std::sync::OnceLock;

use cap_std::fs::{Metadata, MetadataExt};

/// What the file system says of a file without reading it. Times are nanoseconds of the file system's own clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Stat {
    pub(crate) size: u64,
    pub(crate) mtime_ns: i64,
    pub(crate) ctime_ns: i64,
    pub(crate) inode: u64,
}

impl Stat {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        Self {
            size: metadata.len(),
            mtime_ns: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            ctime_ns: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
            inode: metadata.ino(),
        }
    }

    /// Whether the file is the same one but for its name, which a rename changes along with ctime.
    pub(crate) fn is_renamed(&self, before: &Self) -> bool {
        (self.size, self.mtime_ns, self.inode) == (before.size, before.mtime_ns, before.inode)
    }
}

fn nanoseconds(seconds: i64, nanoseconds: i64) -> i64 {
    seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds)
}

/// The file system's time at a moment before files were hashed.
///
/// A stat proves a digest only if it is older than that moment: whoever writes to the file later then gives it
/// another ctime. A file as young as its hashing could change within the same tick of the clock and look the same
/// (the racy-git case). Two clocks can't be compared, so the time comes from a probe: a nameless file in the cache.
#[derive(Debug)]
pub(crate) struct Clock<'a> {
    folder: &'a Path,
    moment: OnceLock<Option<i64>>,
}

impl<'a> Clock<'a> {
    /// A clock that is read when it is first needed. If it can't be read (a read-only cache), it proves nothing.
    pub(crate) fn new(folder: &'a Path) -> Self {
        Self { folder, moment: OnceLock::new() }
    }

    /// Reads the clock, unless that was done before.
    pub(crate) fn read(&self) {
        self.moment.get_or_init(|| {
            let probe = tempfile::tempfile_in(self.folder).ok()?;
            Some(Stat::of(&Metadata::from_file(&probe).ok()?).mtime_ns)
        });
    }

    /// Whether the stat is older than the moment the clock was read.
    pub(crate) fn proves(&self, stat: &Stat) -> bool {
        let moment = self.moment.get().copied().flatten();
        moment.is_some_and(|moment| stat.mtime_ns < moment && stat.ctime_ns < moment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_as_young_as_the_clock_proves_nothing() {
        let clock = Clock { folder: Path::new("/"), moment: OnceLock::from(Some(10)) };
        let stat = |mtime_ns, ctime_ns| Stat { size: 0, mtime_ns, ctime_ns, inode: 0 };
        assert!(clock.proves(&stat(9, 9)));
        for (mtime, ctime) in [(10, 9), (9, 10), (10, 10), (11, 9)] {
            assert!(!clock.proves(&stat(mtime, ctime)));
        }
    }

    #[test]
    fn a_clock_that_cannot_be_read_proves_nothing() {
        let clock = Clock::new(Path::new("/nowhere/at/all"));
        let stat = Stat { size: 0, mtime_ns: 0, ctime_ns: 0, inode: 0 };
        assert!(!clock.proves(&stat));
        clock.read();
        assert!(!clock.proves(&stat));
    }
}
