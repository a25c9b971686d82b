//! What `policy run` would do now, by the same rules; changes nothing.

use std::sync::Arc;

use berth_api::Result;

use super::carry::Ready;
use crate::{
    engine::{Engine, clock, snapshot::unused_name},
    journal::Kind,
    view::PlannedView,
};

impl Engine {
    /// What a policy (all of them without a name) would make and remove now.
    ///
    /// # Errors
    /// `NotFound`; those of a repository that does not answer.
    pub async fn plan_policy(self: &Arc<Self>, name: Option<&str>) -> Result<Vec<PlannedView>> {
        let policies = self.chosen_policies(name)?;
        let mut plan = Vec::new();
        for ready in self.all_of(&policies) {
            plan.push(self.plan_one(&ready).await?);
        }
        Ok(plan)
    }

    async fn plan_one(self: &Arc<Self>, ready: &Ready) -> Result<PlannedView> {
        let mut view = PlannedView {
            policy: ready.task.policy.to_string(),
            volume: ready.name().to_string(),
            kind: ready.task.kind.as_str().to_owned(),
            repository: None,
            makes: None,
            reason: self.obstacle(&ready.task),
            removes: Vec::new(),
        };
        if ready.task.kind == Kind::Backup {
            view.repository = Some(self.repository_of(ready)?.name.clone());
        }
        if view.reason.is_some() {
            return Ok(view);
        }
        if ready.task.kind == Kind::Snapshot {
            let name = unused_name(&ready.volume, &format!("{}-", ready.task.policy));
            view.makes = Some(format!("{}@{name}", view.volume));
        }
        // As if it were made already.
        let surplus = self.surplus(ready, Some(clock::now())).await?;
        view.removes = surplus.into_iter().map(|one| one.view(ready)).collect();
        Ok(view)
    }
}
