use lockkeeper_names::Digest;

use crate::records::Entry;
use crate::shelf::Local;
use crate::stat::Stat;

/// What becomes of one path when a pull is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Here is what the remote has: only the record changes.
    Agree,
    /// The remote has not changed since the last sync, the cache has: local work stays.
    Keep,
    /// The cache holds what was last synced, or nothing if nothing was: the remote's file takes its place.
    Take { over: Option<Stat> },
    /// The cache holds what was last synced: it is deleted here too.
    Delete { seen: Stat },
    /// Both changed.
    Conflict,
}

/// Compares the local file, the content last synced and the remote's, which is none if the file was deleted there.
pub(crate) fn decide(local: &Local, base: Option<&Entry>, remote: Option<Digest>) -> Verdict {
    let base = base.map(|entry| entry.digest);
    match (local, remote) {
        (Local::File(seen), Some(remote)) if seen.digest == remote => Verdict::Agree,
        (_, Some(remote)) if base == Some(remote) => Verdict::Keep,
        (Local::File(seen), Some(_)) if base == Some(seen.digest) => Verdict::Take { over: Some(seen.stat) },
        (Local::Absent, Some(_)) if base.is_none() => Verdict::Take { over: None },
        (Local::File(seen), None) if base == Some(seen.digest) => Verdict::Delete { seen: seen.stat },
        (Local::File(_), None) => Verdict::Conflict,
        // The file is gone here as well, whatever stands there now.
        (Local::Absent | Local::Obstacle { .. }, None) => Verdict::Agree,
        (_, Some(_)) => Verdict::Conflict,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::look::Seen;
    use crate::places::Kind;

    #[test]
    fn three_digests_decide() {
        let digest = |text: &str| (text != "-").then(|| Digest::of(text.as_bytes()));
        let stat = Stat { size: 1, mtime_ns: 1, ctime_ns: 1, inode: 1 };
        let take = Verdict::Take { over: Some(stat) };
        for (local, base, remote, verdict) in [
            ("new", "-", "new", Verdict::Agree),
            ("new", "old", "new", Verdict::Agree),
            ("old", "old", "old", Verdict::Agree),
            ("old", "old", "new", take),
            ("-", "-", "new", Verdict::Take { over: None }),
            ("mine", "old", "old", Verdict::Keep),
            ("-", "old", "old", Verdict::Keep),
            ("obstacle", "old", "old", Verdict::Keep),
            ("mine", "old", "new", Verdict::Conflict),
            ("mine", "-", "new", Verdict::Conflict),
            ("-", "old", "new", Verdict::Conflict),
            ("obstacle", "-", "new", Verdict::Conflict),
            ("obstacle", "old", "new", Verdict::Conflict),
            ("old", "old", "-", Verdict::Delete { seen: stat }),
            ("mine", "old", "-", Verdict::Conflict),
            ("mine", "-", "-", Verdict::Conflict),
            ("-", "old", "-", Verdict::Agree),
            ("obstacle", "old", "-", Verdict::Agree),
        ] {
            let found = match local {
                "obstacle" => Local::Obstacle { at: "a".into(), kind: Kind::Symlink },
                text => digest(text)
                    .map_or(Local::Absent, |digest| Local::File(Seen { digest, stat, proven: false })),
            };
            let base = digest(base).map(|digest| Entry { digest, stat: None });
            assert_eq!(decide(&found, base.as_ref(), digest(remote)), verdict, "{local} {base:?} {remote}");
        }
    }
}
