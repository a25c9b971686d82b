//! Removing snapshots.
//!
//! ```text
//! commit removing ─▶ answer ─▶ backend.remove, purge ─▶ entry dropped (later)
//! ```

use std::sync::Arc;

use berth_api::{Error, Handle, Op, Progress, Result, SnapshotId, Snapshots};

use super::{accessor, entry_mut, find};
use crate::{
    catalog::{Snapshot, SnapshotState},
    engine::{Engine, jobs::UNLIMITED, pool::Pool, time, volume::Volume},
};

impl Engine {
    /// Removes a snapshot; what is left of it is deleted in the background.
    ///
    /// # Errors
    /// `NotFound`; `Busy` if a clone is being made of it.
    pub async fn remove_snapshot(self: &Arc<Self>, volume: &str, name: &str) -> Result<()> {
        let volume = self.index.find(volume)?;
        let id = find(&volume, name)?.sidecar.id;
        self.remove_snapshot_of(&volume, id).await
    }

    /// [`remove_snapshot`](Self::remove_snapshot) of just this one, whatever else has
    /// its name by now.
    ///
    /// # Errors
    /// As there.
    pub(in crate::engine) async fn remove_snapshot_of(
        self: &Arc<Self>,
        volume: &Arc<Volume>,
        id: SnapshotId,
    ) -> Result<()> {
        let deadline = time::short(self.setup.installation);
        self.writable()?;
        let lock = volume.lock_by(deadline).await?;
        let mut record = volume.record();
        let there =
            |entry: &&Snapshot| entry.sidecar.id == id && entry.state == SnapshotState::Ready;
        let Some(entry) = record.snapshots.iter().find(there).cloned() else {
            return Err(Error::not_found(format!("the snapshot of `{}` is gone", record.name)));
        };
        let name = entry.sidecar.name.clone();
        let pool = self.configured(&record.pool)?;
        if volume.read(|life| life.read.contains_key(&id)) {
            return Err(Error::busy(format!("a clone of `{}@{name}` is being made", record.name))
                .with_hint("`berth job ls` shows it"));
        }
        if let Some(entry) = entry_mut(&mut record, id) {
            entry.state = SnapshotState::Removing;
        }
        tracing::info!(volume = %record.name, snapshot = %name, %id, "snapshot removed");
        self.commit(volume, record).await?;
        let (engine, volume) = (self.clone(), volume.clone());
        tokio::spawn(async move { engine.delete_snapshot(&volume, &pool, &entry, lock).await });
        Ok(())
    }

    /// Deletes a snapshot that is being removed, whole or half; the lock is let go
    /// of as soon as it is out of the volume.
    pub(in crate::engine) async fn delete_snapshot(
        self: &Arc<Self>,
        volume: &Arc<Volume>,
        pool: &Arc<Pool>,
        entry: &Snapshot,
        lock: tokio::sync::OwnedMutexGuard<()>,
    ) {
        let id = entry.sidecar.id;
        volume.write(|life| life.at_work.insert(id));
        let removed = self
            .on_snapshot(volume, pool, entry, |snapshots, op, volume, snapshot| {
                snapshots.remove(op, volume, snapshot)
            })
            .await;
        drop(lock);
        let deleted = match removed {
            Ok(()) => {
                let (handle, snapshot) = (volume.record().handle, entry.handle.clone());
                pool.walk(Op::new(UNLIMITED), move |backend, op| {
                    accessor(backend)?.purge(op, &handle, &snapshot)
                })
                .await
                .map(drop)
            }
            Err(error) => Err(error),
        };
        let _lock = volume.lock().await;
        volume.write(|life| life.at_work.remove(&id));
        match deleted {
            Ok(()) => self.amend(volume, |record| {
                record.snapshots.retain(|entry| entry.sidecar.id != id);
            }),
            // It stays `removing`: recovery and the housekeeper try again.
            Err(error) => {
                let name = volume.record().name;
                tracing::warn!(volume = %name, %id, error = %error.chain(), "delete a snapshot");
                self.try_again(volume);
            }
        }
    }

    /// [`delete_snapshot`](Self::delete_snapshot) as soon as the caller has let go of
    /// the lock.
    pub(in crate::engine) fn delete_later(
        self: &Arc<Self>,
        volume: &Arc<Volume>,
        pool: &Arc<Pool>,
        entry: Snapshot,
    ) {
        let (engine, volume, pool) = (self.clone(), volume.clone(), pool.clone());
        volume.write(|life| life.at_work.insert(entry.sidecar.id));
        tokio::spawn(async move {
            let lock = volume.lock().await;
            engine.delete_snapshot(&volume, &pool, &entry, lock).await;
        });
    }

    async fn on_snapshot(
        &self,
        volume: &Volume,
        pool: &Pool,
        entry: &Snapshot,
        call: fn(&dyn Snapshots, &Op, &Handle, &Handle) -> Result<Progress<berth_api::Change>>,
    ) -> Result<()> {
        let snapshot = entry.handle.clone();
        self.until_ready(pool, volume, move |backend, op, record| {
            call(accessor(backend)?, op, &record.handle, &snapshot)
        })
        .await
    }
}
