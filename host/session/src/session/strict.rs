//! Finding what a command changed outside of its models.

use std::collections::BTreeMap;

use lockkeeper_changes::{Change, Extent};
use lockkeeper_locks::Mode;
use lockkeeper_names::{CachePath, Digest, Scope};
use lockkeeper_policy::Plan;

use super::Session;
use crate::error::Error;

impl Session {
    /// The unpushed changes outside of the plan's models, by path.
    pub(super) async fn changed_elsewhere(
        &self,
        plan: &Plan,
    ) -> Result<BTreeMap<CachePath, Option<Digest>>, Error> {
        let covered = |path: &CachePath| covers(plan).any(|scope| scope.contains(path));
        let scan = self.scan(vec![Extent::Everything]).await?;
        let changes = scan.changes.into_iter().map(|change| match change {
            Change::Written { path, digest, .. } => (path, Some(digest)),
            Change::Deleted { path, .. } => (path, None),
        });
        Ok(changes.filter(|(path, _)| !covered(path)).collect())
    }

    /// Fails if files outside of the plan's models changed since, other than those of models that others hold now.
    pub(super) async fn refuse_strays(
        &self,
        plan: &Plan,
        before: &BTreeMap<CachePath, Option<Digest>>,
    ) -> Result<(), Error> {
        // Asked for before and after looking, since others come and go meanwhile.
        let mut busy = self.held_alone().await?;
        let after = self.changed_elsewhere(plan).await?;
        busy.extend(self.held_alone().await?);
        let is_busy = |path: &CachePath| {
            let below_root = path.as_str().split_once('/').map(|(_, rest)| rest).unwrap_or_default();
            busy.iter()
                .filter_map(|key| key.strip_prefix("model/"))
                .any(|model| below_root.strip_prefix(model).is_some_and(|rest| rest.starts_with('/')))
        };
        let strays =
            after.into_iter().filter(|(path, digest)| before.get(path) != Some(digest) && !is_busy(path));
        let paths: Vec<CachePath> = strays.map(|(path, _)| path).collect();
        if paths.is_empty() { Ok(()) } else { Err(Error::Stray { paths }) }
    }

    /// The keys that somebody holds alone. Who holds an ancestor's lock shared doesn't work on the ancestor.
    async fn held_alone(&self) -> Result<Vec<String>, Error> {
        let holders = self.store.holders().await?.into_iter();
        let alone = holders.filter(|holder| holder.mode == Mode::Exclusive && !holder.waiting);
        Ok(alone.map(|holder| holder.key.to_string()).collect())
    }
}

fn covers(plan: &Plan) -> impl Iterator<Item = &Scope> {
    plan.calls.iter().flat_map(|call| call.covers.iter().flatten())
}
