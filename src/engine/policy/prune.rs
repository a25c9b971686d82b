//! Repositories from which policies removed backups: what these alone needed is freed once
//! a week, by a prune of its own.

use std::sync::Arc;

use berth_api::Error;
use jiff::{SignedDuration, Timestamp};

use super::{Prune, due, make::ended, sooner};
use crate::{
    engine::{Engine, clock, vault::Repository},
    journal::Remembered,
};

/// Between two prunes of a repository by this host.
const WEEK: SignedDuration = SignedDuration::from_hours(7 * 24);

impl Engine {
    /// Begins the prunes that are due; when to look again.
    pub(super) fn prune_round(self: &Arc<Self>, now: Timestamp) -> Option<Timestamp> {
        let mut wake = None;
        for repository in self.repositories.all() {
            let Some(due) = repository.remembered().and_then(|row| due_at(&row, now)) else {
                continue;
            };
            let mut state = self.policies.state();
            let due = match state.prunes.get(&repository.name) {
                Some(Prune::AtWork) => continue,
                Some(Prune::Failed(failed)) => due.max(failed.next.min(now + WEEK)),
                None => due,
            };
            if due > now {
                wake = sooner(wake, Some(due));
                continue;
            }
            let before = match state.prunes.insert(repository.name.clone(), Prune::AtWork) {
                Some(Prune::Failed(failed)) => Some(failed),
                _ => None,
            };
            let (engine, repository) = (self.clone(), repository.clone());
            tokio::spawn(async move {
                let after = engine.prune_by_policy(&repository, before, due).await;
                let mut state = engine.policies.state();
                match after {
                    Some(prune) => state.prunes.insert(repository.name.clone(), prune),
                    None => state.prunes.remove(&repository.name),
                };
                drop(state);
                engine.policies.look();
            });
        }
        wake
    }

    /// Prunes; what is known after a failure.
    async fn prune_by_policy(
        self: &Arc<Self>,
        repository: &Arc<Repository>,
        before: Option<crate::journal::Failed>,
        due: Timestamp,
    ) -> Option<Prune> {
        let pruned = if let Ok(_alone) = self.policies.uses(&repository.name).try_write_owned() {
            match self.begin_prune(Some(&repository.name), false) {
                Ok(job) => ended(&job).await,
                Err(error) => Err(error),
            }
        } else {
            let name = &repository.name;
            Err(Error::busy(format!("repository `{name}` is in use by policies")))
        };
        let error = pruned.err()?;
        tracing::info!(
            repository = repository.name,
            error = %error.chain(),
            "what policies removed is freed later"
        );
        let said = (error.chain(), error.hint().map(ToOwned::to_owned));
        let slot = before.as_ref().map_or(due, |failed| failed.slot);
        Some(Prune::Failed(due::failed(before.as_ref(), slot, said, clock::now())))
    }
}

/// When a repository is pruned; never, if nothing was removed from it.
fn due_at(row: &Remembered, now: Timestamp) -> Option<Timestamp> {
    // What was pruned in the future was pruned by a clock that was wrong.
    let last = row.pruned.filter(|last| *last <= now);
    row.forgotten.then(|| last.map_or(Timestamp::MIN, |last| last + WEEK))
}
