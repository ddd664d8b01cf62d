//! Looking after the index that the extension keeps in the remote.

use std::sync::Arc;

use lockkeeper_policy::{Call, Reach};
use lockkeeper_sandbox::{Finding, FindingKind, IndexAction, Indexed, OnFinding};

use super::Session;
use crate::error::Error;

impl Session {
    /// Does something with the index, as far as the reach says, and tells what was found.
    ///
    /// What changes nothing takes no lock. The rest takes the locks of a push with the same reach.
    pub async fn index(&self, action: IndexAction, reach: &Reach, found: OnFinding) -> Result<(), Error> {
        let plan = self.plan(reach);
        let (reach, plan) = if action.reads() { (&Reach::ReadOnly, plan.reading()) } else { (reach, plan) };
        self.holding(reach, &plan, async || {
            self.around_sync(&plan, async || {
                for call in &plan.calls {
                    self.index_one(action, call, &found).await?;
                }
                Ok(())
            })
            .await
        })
        .await
    }

    async fn index_one(&self, action: IndexAction, call: &Call, found: &OnFinding) -> Result<(), Error> {
        let (covers, found) = (call.covers.clone(), found.clone());
        // Without a scope, the extension tells more than was asked for.
        let covered = move |finding: Finding| {
            let part = matches!(finding.kind, FindingKind::Damaged | FindingKind::Converted);
            let inside = |path: &str| {
                covers.as_ref().is_none_or(|covers| covers.iter().any(|it| path.starts_with(it.as_str())))
            };
            if part || inside(&finding.path) {
                found(finding);
            }
        };
        let indexed = Indexed {
            action,
            scope: call.scope.clone(),
            // Of its own: a pull may be using the other one right now, under a lock that this call does not take.
            state: self.state_folder(call, "-index")?.path,
            fence: self.fence(call),
            found: Arc::new(covered),
        };
        self.extension.index(&self.setting, indexed).await.map_err(Error::Call)
    }
}
