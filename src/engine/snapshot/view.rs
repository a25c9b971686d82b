//! What users see of snapshots.

use berth_api::Result;

use crate::{
    catalog::{Snapshot, SnapshotState},
    engine::{Engine, volume::Life},
    view::SnapshotView,
};

impl Engine {
    /// The snapshots of a volume, or of all, by volume and in the order they were
    /// taken. From memory.
    ///
    /// # Errors
    /// `NotFound` if there is no such volume.
    pub fn snapshots(&self, volume: Option<&str>) -> Result<Vec<SnapshotView>> {
        let volumes = match volume {
            Some(name) => vec![self.index.find(name)?],
            None => self.index.all_live(),
        };
        let views = volumes.iter().flat_map(|volume| volume.read(ready_of)).collect();
        Ok(views)
    }

    /// One snapshot.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn snapshot(&self, volume: &str, name: &str) -> Result<SnapshotView> {
        let volume = self.index.find(volume)?;
        let entry = super::find(&volume, name)?;
        Ok(volume.read(|life| view(life, &entry)))
    }
}

impl Life {
    /// How many snapshots users see.
    pub(in crate::engine) fn snapshots(&self) -> u64 {
        let ready = |entry: &&Snapshot| entry.state == SnapshotState::Ready;
        self.record.snapshots.iter().filter(ready).count() as u64
    }
}

fn ready_of(life: &Life) -> Vec<SnapshotView> {
    let ready = |entry: &&Snapshot| entry.state == SnapshotState::Ready;
    life.record.snapshots.iter().filter(ready).map(|entry| view(life, entry)).collect()
}

fn view(life: &Life, entry: &Snapshot) -> SnapshotView {
    let sidecar = &entry.sidecar;
    SnapshotView {
        name: format!("{}@{}", life.record.name, sidecar.name),
        id: sidecar.id,
        volume: life.record.name.to_string(),
        pool: life.record.pool.clone(),
        created: sidecar.created,
        size_used: None,
        consistency: sidecar.consistency,
        read_only: true,
    }
}
