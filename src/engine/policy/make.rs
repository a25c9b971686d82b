//! What one slot makes: a snapshot, or a backup.
//!
//! Whatever stopped the one who began it, whoever comes next finds what was made: the
//! snapshot by its name, the backup by its label and its time. On a pool that several
//! hosts share the same keeps two hosts from making it twice.

use std::sync::Arc;

use berth_api::{Error, ErrorKind, Op, PolicyName, Result, SnapshotName};
use berth_vault::Backup;
use jiff::Timestamp;

use super::carry::Ready;
use crate::{
    catalog::SnapshotState,
    engine::{
        Engine,
        jobs::{Job, UNLIMITED},
        snapshot::{Order, STAMP},
        vault::{BackupOrder, LISTING, Repository, backups_in},
        volume::Volume,
    },
    journal::Kind,
    view::JobState,
};

impl Engine {
    /// Makes what is due; `VOLUME@NAME` or the backup's id.
    ///
    /// # Errors
    /// Those of the job.
    pub(super) async fn make(self: &Arc<Self>, ready: &Ready, slot: Timestamp) -> Result<String> {
        match ready.task.kind {
            Kind::Snapshot => self.make_snapshot(ready, slot).await,
            Kind::Backup => self.make_backup(ready, slot).await,
        }
    }

    async fn make_snapshot(self: &Arc<Self>, ready: &Ready, slot: Timestamp) -> Result<String> {
        let (volume, policy) = (&ready.volume, &ready.task.policy);
        let name: SnapshotName = format!("{policy}-{}", slot.strftime(STAMP))
            .parse()
            .expect("a policy's name is short and begins as one of a snapshot");
        // Another host may have taken it.
        self.freshen(ready.name().as_str()).await;
        if let Some(path) = taken(volume, &name, policy)? {
            return Ok(path);
        }
        let order = Order { name: name.clone(), policy: Some(policy.clone()), hook: None };
        let made = match self.begin_snapshot(volume, order) {
            Ok(job) => ended(&job).await,
            Err(error) => Err(error),
        };
        match made {
            Err(error) if error.kind() == ErrorKind::Conflict => {
                self.freshen(ready.name().as_str()).await;
                taken(volume, &name, policy)?.ok_or(error)
            }
            other => other,
        }
    }

    async fn make_backup(self: &Arc<Self>, ready: &Ready, slot: Timestamp) -> Result<String> {
        let repository = self.repository_of(ready)?;
        let made = self.backups_of_policy(ready, &repository).await?;
        if let Some(backup) = made.iter().rev().find(|backup| backup.created >= slot) {
            return Ok(backup.id.to_string());
        }
        self.back_up_now(ready, &repository).await
    }

    /// Backs the volume up, marked as the policy's.
    ///
    /// # Errors
    /// Those of the job.
    pub(super) async fn back_up_now(
        self: &Arc<Self>,
        ready: &Ready,
        repository: &Arc<Repository>,
    ) -> Result<String> {
        let _use = self.policies.uses(&repository.name).read_owned().await;
        let order = BackupOrder { snapshot: None, policy: Some(ready.task.policy.clone()) };
        ended(&*self.begin_backup(&ready.volume, repository, order)?).await
    }

    /// Where its backups go.
    ///
    /// # Errors
    /// As [`Repositories::chosen`](crate::engine::vault::Repositories::chosen).
    pub(super) fn repository_of(&self, ready: &Ready) -> Result<Arc<Repository>> {
        self.repositories.chosen(ready.policy.repository.as_deref()).cloned()
    }

    /// The backups of the volume that the policy made, oldest first.
    ///
    /// # Errors
    /// As [`Repository::call`]; none if there is no repository yet.
    pub(super) async fn backups_of_policy(
        &self,
        ready: &Ready,
        repository: &Arc<Repository>,
    ) -> Result<Vec<Backup>> {
        let listed = match repository.work(Op::new(LISTING), backups_in).await {
            // The built-in one is made by its first backup.
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            other => other?.0,
        };
        let task = &ready.task;
        // Saboteur `skip-policy-mark` takes all backups of the volume for the policy's.
        let any = berth_host::failpoint::sabotaged("skip-policy-mark");
        let own = |backup: &Backup| {
            backup.label.volume_id == task.volume
                && (any || backup.label.policy.as_ref() == Some(&task.policy))
        };
        Ok(listed.into_iter().filter(own).collect())
    }
}

/// The snapshot of that slot, if it is there.
///
/// # Errors
/// `Conflict` if another one has its name; `Unavailable` while it is being taken.
fn taken(volume: &Volume, name: &SnapshotName, policy: &PolicyName) -> Result<Option<String>> {
    volume.read(|life| {
        let path = format!("{}@{name}", life.record.name);
        let there =
            life.record.snapshots.iter().find(|entry| {
                entry.sidecar.name == *name && entry.state != SnapshotState::Removing
            });
        match there {
            None => Ok(None),
            Some(entry) if entry.sidecar.policy.as_ref() != Some(policy) => Err(Error::conflict(
                format!("`{path}` is not of policy `{policy}`, and in its way"),
            )
            .with_hint(format!("berth snapshot rm {path}"))),
            Some(entry) if entry.state == SnapshotState::Ready => Ok(Some(path)),
            Some(_) => Err(Error::unavailable(format!("`{path}` is being taken"))),
        }
    })
}

/// What a job came to.
///
/// # Errors
/// What it failed with.
pub(super) async fn ended(job: &Job) -> Result<String> {
    let view = job.wait(UNLIMITED).await;
    if view.state == JobState::Done {
        return Ok(view.outcome.unwrap_or_default());
    }
    let kind = view.error_kind.unwrap_or(ErrorKind::Internal);
    let error = Error::new(kind, view.error.unwrap_or_else(|| "it does not say why".to_owned()));
    Err(match view.hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    })
}
