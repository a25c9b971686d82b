//! What is removed because no rule keeps it any more.
//!
//! Looked at is only what the policy made of the volume: snapshots with its mark, backups
//! with its label and the volume's id. What somebody else made, and what another policy
//! made, neither goes nor counts, whatever its name.

use std::{sync::Arc, time::Duration};

use berth_api::{Error, ErrorKind, Op, Result};
use berth_vault::{
    Backup, Id,
    retention::{Keep, series_of},
};
use jiff::Timestamp;

use super::carry::Ready;
use crate::{
    catalog::{Snapshot, SnapshotState},
    engine::{
        Engine, clock,
        vault::{FORGETTING, Repository, forget},
    },
    journal::Kind,
    view::RemovalView,
};

/// How long removing backups waits for those that are being made, which wait behind it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Something that is not kept.
#[derive(Clone, Debug)]
pub(super) enum Surplus {
    Snapshot(Box<Snapshot>),
    Backup(Box<Backup>),
}

impl Surplus {
    fn created(&self) -> Timestamp {
        match self {
            Self::Snapshot(entry) => entry.sidecar.created,
            Self::Backup(backup) => backup.created,
        }
    }

    fn name(&self, ready: &Ready) -> String {
        match self {
            Self::Snapshot(entry) => format!("{}@{}", ready.name(), entry.sidecar.name),
            Self::Backup(backup) => backup.id.to_string(),
        }
    }

    /// As users see it.
    pub(super) fn view(&self, ready: &Ready) -> RemovalView {
        let rules = match self {
            Self::Snapshot(_) => "keep-snapshots",
            Self::Backup(_) => "keep-backups",
        };
        RemovalView {
            name: self.name(ready),
            created: self.created(),
            reason: format!("no rule of `{rules}` keeps it"),
        }
    }
}

impl Ready {
    /// What stays of what it makes.
    pub(super) fn keep(&self) -> &Keep {
        match self.task.kind {
            Kind::Snapshot => &self.policy.keep_snapshots,
            Kind::Backup => &self.policy.keep_backups,
        }
    }
}

impl Engine {
    /// What is not kept any more, oldest first; as it would be if something more had been
    /// made at `extra`.
    ///
    /// # Errors
    /// Those of the repository.
    pub(super) async fn surplus(
        &self,
        ready: &Ready,
        extra: Option<Timestamp>,
    ) -> Result<Vec<Surplus>> {
        if ready.keep().is_empty() {
            return Ok(Vec::new());
        }
        let made: Vec<_> = match ready.task.kind {
            Kind::Snapshot => snapshots_of(ready).map(Box::new).map(Surplus::Snapshot).collect(),
            Kind::Backup => {
                let repository = self.repository_of(ready)?;
                let backups = self.backups_of_policy(ready, &repository).await?;
                backups.into_iter().map(Box::new).map(Surplus::Backup).collect()
            }
        };
        let times = made.iter().map(Surplus::created).chain(extra).enumerate();
        let zone = clock::local(clock::now()).time_zone().clone();
        let mut goes: Vec<_> = series_of(times, ready.keep(), &zone)
            .into_iter()
            .filter(|one| !one.keep)
            .filter_map(|one| made.get(one.id).cloned())
            .collect();
        goes.sort_by_key(Surplus::created);
        Ok(goes)
    }

    /// Removes what is not kept any more; the names of what went.
    ///
    /// # Errors
    /// `Busy` if the repository is locked. What was not removed is so at the next call.
    pub(super) async fn tidy(self: &Arc<Self>, ready: &Ready) -> Result<Vec<String>> {
        let surplus = self.surplus(ready, None).await?;
        let names = |all: &[Surplus]| all.iter().map(|one| one.name(ready)).collect();
        match ready.task.kind {
            Kind::Snapshot => {
                let mut gone = Vec::new();
                for one in surplus {
                    let Surplus::Snapshot(entry) = &one else { continue };
                    match self.remove_snapshot_of(&ready.volume, entry.sidecar.id).await {
                        Ok(()) => gone.push(one.name(ready)),
                        Err(error) if error.kind() == ErrorKind::NotFound => {}
                        // Somebody reads it: the next time it goes.
                        Err(error) if error.kind() == ErrorKind::Busy => {
                            tracing::info!(error = %error.chain(), "a snapshot stays for now");
                        }
                        Err(error) => return Err(error),
                    }
                }
                Ok(gone)
            }
            Kind::Backup => {
                let backups: Vec<_> = surplus
                    .iter()
                    .filter_map(|one| match one {
                        Surplus::Backup(backup) => Some((**backup).clone()),
                        Surplus::Snapshot(_) => None,
                    })
                    .collect();
                self.forget_backups(&self.repository_of(ready)?, &backups).await?;
                Ok(names(&surplus))
            }
        }
    }

    /// Removes backups at once.
    async fn forget_backups(&self, repository: &Arc<Repository>, gone: &[Backup]) -> Result<()> {
        if gone.is_empty() {
            return Ok(());
        }
        let alone = self.policies.uses(&repository.name).write_owned();
        let Ok(_alone) = tokio::time::timeout(PATIENCE, alone).await else {
            let name = &repository.name;
            return Err(Error::busy(format!("repository `{name}` is in use by other policies")));
        };
        // Before they are gone: a prune for nothing is no loss, none at all is one.
        repository.remember(|row| row.forgotten = true);
        let ids: Vec<Id> = gone.iter().map(|backup| backup.id).collect();
        let op = Op::new(FORGETTING);
        repository.work(op, move |open, op| forget(open, op, &ids)).await?;
        for backup in gone {
            let (id, volume) = (backup.id, &backup.label.volume);
            tracing::info!(backup = %id, %volume, repository = repository.name, "removed by policy");
            self.forget_last(repository, backup).await;
        }
        Ok(())
    }
}

/// The snapshots of the volume that the policy took.
fn snapshots_of(ready: &Ready) -> impl Iterator<Item = Snapshot> {
    // Saboteur `skip-policy-mark` takes all of the volume's for the policy's.
    let any = berth_host::failpoint::sabotaged("skip-policy-mark");
    let record = ready.volume.record();
    let policy = ready.task.policy.clone();
    record.snapshots.into_iter().filter(move |entry| {
        entry.state == SnapshotState::Ready
            && (any || entry.sidecar.policy.as_ref() == Some(&policy))
    })
}
