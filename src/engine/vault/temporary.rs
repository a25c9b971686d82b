//! Snapshots that are taken for a backup and go with it.
//!
//! ```text
//! commit temporary ─▶ backend.create ─▶ (the backup) ─▶ removing ─▶ backend.remove, purge ─▶ gone
//! ```
//! Nobody sees one. Recovery and the housekeeper remove those that no backup is at.

use std::{sync::Arc, time::Duration};

use berth_api::{Consistency, Op, Progress, Result, SnapshotName, SnapshotSidecar};

use crate::{
    catalog::{Snapshot, SnapshotState},
    engine::{
        Engine,
        jobs::{Job, UNLIMITED},
        pool::Pool,
        repeat::wait,
        snapshot::{accessor, entry_mut},
        volume::Volume,
    },
};

/// How soon a cancelled backup stops taking its snapshot.
const STEP: Duration = Duration::from_millis(200);

impl Engine {
    /// Takes a snapshot for the backup that `job` is.
    ///
    /// # Errors
    /// Those of taking a snapshot; there is none then.
    pub(super) async fn take_temporary(
        self: &Arc<Self>,
        volume: &Arc<Volume>,
        pool: &Arc<Pool>,
        job: &Job,
    ) -> Result<Snapshot> {
        let lock = volume.lock().await;
        let mut intent = self.sound(volume, pool).await?;
        let name: SnapshotName =
            format!("backup-{}", job.id()).parse().expect("letters, digits and a dash");
        let mut entry = Snapshot {
            state: SnapshotState::Temporary,
            ..self.planned(volume, pool, name, Consistency::Live).await?
        };
        let id = entry.sidecar.id;
        intent.snapshots.push(entry.clone());
        // Before it is written: nobody may take it for a leftover.
        volume.write(|life| life.at_work.insert(id));
        if let Err(error) = self.commit(volume, intent).await {
            volume.write(|life| life.at_work.remove(&id));
            return Err(error);
        }
        drop(lock);
        match self.copy_temporary(volume, pool, &entry, job).await {
            Ok(sidecar) => {
                entry.sidecar = sidecar;
                Ok(entry)
            }
            Err(error) => {
                self.remove_temporary(volume, pool, &entry).await;
                Err(error)
            }
        }
    }

    /// Removes the snapshot of a backup that has ended.
    pub(super) async fn remove_temporary(
        self: &Arc<Self>,
        volume: &Arc<Volume>,
        pool: &Arc<Pool>,
        entry: &Snapshot,
    ) {
        // Saboteur `skip-temporary-removal` leaves it where it is.
        if berth_host::failpoint::sabotaged("skip-temporary-removal") {
            return;
        }
        let lock = volume.lock().await;
        self.amend(volume, |record| {
            if let Some(entry) = entry_mut(record, entry.sidecar.id) {
                entry.state = SnapshotState::Removing;
            }
        });
        self.delete_snapshot(volume, pool, entry, lock).await;
    }

    /// The effect. Its progress is not the backup's.
    async fn copy_temporary(
        &self,
        volume: &Volume,
        pool: &Pool,
        entry: &Snapshot,
        job: &Job,
    ) -> Result<SnapshotSidecar> {
        let handle = volume.record().handle;
        loop {
            job.op.check()?;
            let op = Op::new(UNLIMITED);
            let (handle, entry) = (handle.clone(), entry.clone());
            let copy = pool.copy(op.clone(), move |backend, op| {
                let snapshots = accessor(backend)?;
                snapshots.create(op, &handle, &entry.handle, &entry.sidecar, &|| false)
            });
            tokio::pin!(copy);
            let copied = loop {
                if let Ok(copied) = tokio::time::timeout(STEP, &mut copy).await {
                    break copied?;
                }
                if job.op.is_cancelled() {
                    op.cancel();
                }
            };
            match copied {
                Progress::Ready(sidecar) => return Ok(sidecar),
                Progress::Pending { after, because } => {
                    job.waits(Some(because));
                    wait(after, &job.op).await;
                    job.waits(None);
                }
            }
        }
    }
}
