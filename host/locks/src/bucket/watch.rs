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
    lease: Duration,
    dead_at: Moment,
}

impl Watch {
    /// Notes that an object was found with a tag, after it was asked for; answers whether it has been so for longer than its lease.
    ///
    /// `asked` is when the request was sent: the object is at least as new as that. The count begins once the answer
    /// to the first such request is there.
    pub(super) fn is_dead(
        &mut self,
        path: &Path,
        tag: Option<&String>,
        lease: Duration,
        asked: Moment,
    ) -> bool {
        match self.0.get(path) {
            Some(seen) if seen.tag.as_ref() == tag => seen.dead_at <= asked,
            _ => {
                let seen = Seen { tag: tag.cloned(), lease, dead_at: Moment::now().plus(lease) };
                self.0.insert(path.clone(), seen);
                false
            }
        }
    }

    /// The lease of an object that is known already with this tag.
    pub(super) fn lease(&self, path: &Path, tag: Option<&String>) -> Option<Duration> {
        self.0.get(path).filter(|seen| seen.tag.as_ref() == tag).map(|seen| seen.lease)
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
}
