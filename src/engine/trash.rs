//! The trash: bringing volumes back, and deleting them for good.
//!
//! ```text
//! undelete: commit ready (unsettled) ─▶ answer ─▶ backend.restore ─▶ settled (later)
//! purge:    commit purging ─▶ backend.purge ─▶ (gone)
//! ```

use std::{sync::Arc, time::Duration};

use berth_api::{Error, ErrorKind, Op, Result, VolumeId, VolumeName};

use super::{Engine, jobs::UNLIMITED, pool::Pool, time, volume::Volume};
use crate::{
    catalog::{Record, State},
    view::VolumeView,
};

/// A deletion that takes longer is shown as a job.
const WORTH_A_JOB: Duration = Duration::from_secs(2);

impl Engine {
    /// Brings a removed volume back, by name (the latest removed) or id.
    ///
    /// # Errors
    /// `Conflict` if the name is live; `NotFound`; `Unavailable`.
    pub async fn undelete(self: &Arc<Self>, name_or_id: &str) -> Result<VolumeView> {
        let deadline = time::short(self.setup.installation);
        self.writable()?;
        let volume = name_or_id
            .parse::<VolumeId>()
            .ok()
            .and_then(|id| self.index.by_id(id))
            .or_else(|| self.latest_removed(name_or_id))
            .ok_or_else(|| {
                let shown: String = name_or_id.chars().take(40).collect();
                Error::not_found(format!(
                    "nothing in the trash is called `{}`",
                    shown.escape_debug()
                ))
                .with_hint("`berth volume ls --removed` lists the trash")
            })?;
        let name = volume.record().name;
        let taken = || {
            Error::conflict(format!("a volume `{name}` exists"))
                .with_hint("remove it first; what is in the trash stays there")
        };
        let _reservation = self.index.reserve(&name).map_err(|_| taken())?;
        let lock = volume.lock_by(deadline).await?;
        let record = volume.record();
        match record.state {
            // Still `removing`: the move failed, and is not waited for.
            State::Removed { .. } | State::Removing { .. } if record.state.can_come_back() => {}
            State::Removed { .. } | State::Removing { .. } => {
                return Err(Error::not_found(format!("volume `{name}` is being deleted for good")));
            }
            _ => return Err(taken()),
        }
        let pool = self.configured(&record.pool)?;
        pool.ready().await?;
        let record = Record { state: State::Ready, unsettled: true, ..record };
        self.commit(&volume, record).await?;
        tracing::info!(volume = %name, id = %volume.id, "undeleted");
        let view = self.view(&volume);
        let engine = self.clone();
        tokio::spawn(async move {
            let _lock = lock;
            engine.finish_undelete(&volume, &pool).await;
        });
        Ok(view)
    }

    /// Moves the data of an undeleted volume back; the caller has the lock.
    pub(super) async fn finish_undelete(self: &Arc<Self>, volume: &Arc<Volume>, pool: &Arc<Pool>) {
        let restored = self
            .until_ready(pool, volume, |backend, op, record| {
                backend.restore(op, &record.handle)?;
                backend.describe(op, &record.handle, &record.sidecar())
            })
            .await;
        match restored {
            Ok(()) => self.settle(volume, State::Ready),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Corrupt) => {
                self.fault(volume, "undelete", &error);
            }
            // It stays unsettled: recovery and the housekeeper try again.
            Err(error) => {
                tracing::warn!(volume = %volume.record().name, error = %error.chain(), "undelete");
                self.try_again(volume);
            }
        }
    }

    /// Deletes a removed volume for good; the caller has the lock.
    pub(super) async fn purge(self: &Arc<Self>, volume: &Arc<Volume>, pool: &Arc<Pool>) {
        let record = volume.record();
        let State::Removed { at, expires, purging } = record.state else { return };
        if !purging {
            // From here on nothing half deleted can come back.
            let state = State::Removed { at, expires, purging: true };
            let record = Record { state, ..record.clone() };
            if let Err(error) = self.commit(volume, record).await {
                tracing::warn!(volume = %volume.record().name, error = %error.chain(), "purge");
                return;
            }
        }
        let op = Op::new(UNLIMITED);
        let handle = record.handle.clone();
        let walk = pool.walk(op.clone(), move |backend, op| {
            // Those of its snapshots that were taken out of it before.
            for snapshot in &record.snapshots {
                if let Some(snapshots) = backend.snapshots() {
                    snapshots.purge(op, &handle, &snapshot.handle)?;
                }
            }
            backend.purge(op, &handle)
        });
        tokio::pin!(walk);
        let soon = tokio::time::timeout(WORTH_A_JOB, &mut walk).await;
        let purged = if let Ok(purged) = soon {
            purged
        } else {
            let id = Some((volume.id, volume.record().name.to_string()));
            let job = self.jobs.start("purge", id, Some(&pool.name), op);
            let purged = walk.await;
            job.end(purged.as_ref().map(|_| String::new()));
            purged
        };
        match purged {
            Ok(_) => self.forget(volume),
            Err(error) => {
                tracing::warn!(volume = %record.name, error = %error.chain(), "purge");
                self.try_again(volume);
            }
        }
    }

    /// The latest volume of this name that is in the trash.
    pub(super) fn latest_removed(&self, name: &str) -> Option<Arc<Volume>> {
        let name: VolumeName = name.parse().ok()?;
        self.index
            .all()
            .into_iter()
            .filter_map(|volume| {
                let at = volume.read(|life| match life.record.state {
                    State::Removing { at, .. } | State::Removed { at, .. }
                        if life.record.name == name && life.record.state.can_come_back() =>
                    {
                        Some(at)
                    }
                    _ => None,
                })?;
                Some((at, volume))
            })
            .max_by_key(|(at, _)| *at)
            .map(|(_, volume)| volume)
    }
}
