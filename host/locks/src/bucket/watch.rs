//! Telling the living from the dead, by one's own clock alone.

use std::collections::HashMap;
use std::time::Duration;

use object_store::path::Path;

use crate::clock::Moment;

/// Which objects somebody has in its way, and since when each of them has not changed.
#[derive(Default)]
pub(super) struct Watch(HashMap<Path, Seen>);

struct Seen {
    tag: Option<String>,
    dead_at: Moment,
}

impl Watch {
    /// Notes that an object was found with a tag, after it was asked for; answers whether it has been so for longer than its lease.
    ///
    /// `asked` is when the request was sent: the object is at least as new as that. The count begins once the answer
    /// to the first such request is there. Tags are compared only with those that came in the same way: of a path, all are
    /// from listings, or all from reading it.
    pub(super) fn is_dead(
        &mut self,
        path: &Path,
        tag: Option<&String>,
        lease: Duration,
        asked: Moment,
    ) -> bool {
        match self.0.get(path) {
            // A store that doesn't tell versions apart doesn't tell the dead from the living.
            Some(seen) if tag.is_some() && seen.tag.as_ref() == tag => seen.dead_at <= asked,
            _ => {
                let seen = Seen { tag: tag.cloned(), dead_at: Moment::now().plus(lease) };
                self.0.insert(path.clone(), seen);
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stays_the_same_for_a_whole_lease_is_dead() {
        let (mut watch, path, lease) = (Watch::default(), Path::from("a/record"), Duration::from_secs(30));
        let tag = |text: &str| Some(text.to_owned());
        let start = Moment::now();
        assert!(!watch.is_dead(&path, tag("1").as_ref(), lease, start));
        assert!(!watch.is_dead(&path, tag("1").as_ref(), lease, start.plus(Duration::from_secs(29))));
        assert!(!watch.is_dead(&path, tag("2").as_ref(), lease, start.plus(Duration::from_secs(31))));
        assert!(!watch.is_dead(&path, tag("2").as_ref(), lease, start.plus(Duration::from_secs(29))));
        assert!(watch.is_dead(&path, tag("2").as_ref(), lease, start.plus(Duration::from_secs(40))));
    }

    #[test]
    fn what_has_no_tag_never_dies() {
        let (mut watch, path, lease) = (Watch::default(), Path::from("a/record"), Duration::from_secs(30));
        let start = Moment::now();
        for seconds in [0, 31, 62] {
            assert!(!watch.is_dead(&path, None, lease, start.plus(Duration::from_secs(seconds))));
        }
    }
}
