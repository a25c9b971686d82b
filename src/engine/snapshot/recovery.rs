//! What a crash left of snapshots: a whole one is taken, of any other nothing stays.

use std::sync::Arc;

use berth_api::{Observed, Op, Result, SnapshotSidecar};

use super::{accessor, entry_mut};
use crate::{
    catalog::{Snapshot, SnapshotState},
    engine::{Engine, pool::Pool, time, volume::Volume},
};

impl Engine {
    /// Settles what a crash left of a volume's snapshots; the caller has the lock.
    pub(in crate::engine) async fn recover_snapshots(
        self: &Arc<Self>,
        volume: &Arc<Volume>,
        pool: &Arc<Pool>,
    ) -> Result<()> {
        for entry in volume.record().snapshots {
            let id = entry.sidecar.id;
            if entry.state == SnapshotState::Ready || volume.read(|life| life.at_work.contains(&id))
            {
                continue;
            }
            if entry.state == SnapshotState::Creating
                && let Some(sidecar) = self.complete(volume, pool, &entry).await?
            {
                self.amend(volume, |record| {
                    if let Some(entry) = entry_mut(record, id) {
                        entry.sidecar = sidecar;
                        entry.state = SnapshotState::Ready;
                    }
                });
                continue;
            }
            self.amend(volume, |record| {
                if let Some(entry) = entry_mut(record, id) {
                    entry.state = SnapshotState::Removing;
                }
            });
            self.delete_later(volume, pool, entry);
        }
        Ok(())
    }

    /// What a snapshot that was being taken says of itself, if it is whole; synced
    /// again, since whoever made it may have been killed before that.
    async fn complete(
        &self,
        volume: &Volume,
        pool: &Pool,
        entry: &Snapshot,
    ) -> Result<Option<SnapshotSidecar>> {
        let (handle, entry) = (volume.record().handle, entry.clone());
        pool.run(Op::new(time::CALL), move |backend, op| {
            let snapshots = accessor(backend)?;
            match snapshots.inspect(op, &handle, &entry.handle)? {
                Observed::Present { .. } => {}
                _ => return Ok(None),
            }
            let whole = snapshots.create(op, &handle, &entry.handle, &entry.sidecar, &|| false)?;
            Ok(whole.ready())
        })
        .await
    }
}
