//! Snapshots of directory volumes, in the words of [`berth_api::Snapshots`].

use berth_api::{
    Change, Error, Estimate, Fill, FoundSnapshot, Handle, Observed, Op, Origin, Progress, Result,
    Sidecar, SnapshotId, SnapshotSidecar, Snapshots,
};

use crate::{
    backend::{Directories, own},
    handle::{self, snapshot_id},
    place::Place,
};

impl<P: Place> Snapshots for Directories<P> {
    fn possible(&self) -> Result<()> {
        self.place.privileges()
    }

    fn estimate(&self, op: &Op, origin: Origin<'_>, measure: bool) -> Result<Estimate> {
        op.check()?;
        let snapshot = origin.snapshot.map(snapshot_id).transpose()?;
        self.place.privileges()?;
        let estimate = self.tree.estimate(op, handle::id(origin.volume)?, snapshot, measure);
        let estimate = self.said(estimate)?;
        Ok(Estimate { carrier: self.place.carrier(), ..estimate })
    }

    fn plan(&self, op: &Op, volume: &Handle, id: SnapshotId) -> Result<Handle> {
        op.check()?;
        handle::id(volume)?;
        self.place.privileges()?;
        self.said(self.tree.check())?;
        Ok(handle::of_snapshot(id))
    }

    fn create(
        &self,
        op: &Op,
        volume: &Handle,
        snapshot: &Handle,
        sidecar: &SnapshotSidecar,
        quiet: &dyn Fn() -> bool,
    ) -> Result<Progress<SnapshotSidecar>> {
        op.check()?;
        own_snapshot(snapshot, sidecar)?;
        self.place.settle(op)?;
        self.done(self.tree.create_snapshot(op, handle::id(volume)?, sidecar, quiet))
    }

    fn remove(&self, op: &Op, volume: &Handle, snapshot: &Handle) -> Result<Progress<Change>> {
        op.check()?;
        self.done(self.tree.remove_snapshot(handle::id(volume)?, snapshot_id(snapshot)?))
    }

    fn purge(&self, op: &Op, volume: &Handle, snapshot: &Handle) -> Result<Progress<Change>> {
        op.check()?;
        handle::id(volume)?;
        self.done(self.tree.purge_snapshot(op, snapshot_id(snapshot)?))
    }

    fn sweep(&self, op: &Op) -> Result<()> {
        op.check()?;
        self.said(self.tree.sweep(op))
    }

    fn inspect(&self, op: &Op, volume: &Handle, snapshot: &Handle) -> Result<Observed> {
        op.check()?;
        self.said(self.tree.inspect_snapshot(handle::id(volume)?, snapshot_id(snapshot)?))
    }

    fn list(&self, op: &Op, volume: &Handle) -> Result<Vec<FoundSnapshot>> {
        let entries = self.said(self.tree.list_snapshots(op, handle::id(volume)?))?;
        let found = entries.into_iter().map(|entry| FoundSnapshot {
            handle: handle::of_snapshot_entry(&entry.name),
            entry: entry.name,
            sidecar: entry.sidecar,
        });
        Ok(found.collect())
    }

    fn clone_into(
        &self,
        op: &Op,
        origin: Origin<'_>,
        volume: &Handle,
        sidecar: &Sidecar,
    ) -> Result<Progress<Change>> {
        op.check()?;
        own(volume, sidecar)?;
        let snapshot = origin.snapshot.map(snapshot_id).transpose()?;
        self.place.privileges()?;
        if snapshot.is_none() {
            self.place.settle(op)?;
        }
        self.done(self.tree.clone_volume(op, handle::id(origin.volume)?, snapshot, sidecar))
    }

    fn roll_back(
        &self,
        op: &Op,
        volume: &Handle,
        snapshot: &Handle,
        kept: &Handle,
        sidecar: &SnapshotSidecar,
    ) -> Result<Progress<Change>> {
        op.check()?;
        own_kept(volume, kept, sidecar)?;
        self.place.privileges()?;
        // What was written last belongs to the content that is kept.
        self.place.settle(op)?;
        self.done(self.tree.roll_back(op, snapshot_id(snapshot)?, sidecar))
    }

    fn replace(
        &self,
        op: &Op,
        volume: &Handle,
        kept: &Handle,
        sidecar: &SnapshotSidecar,
        fill: Fill<'_>,
    ) -> Result<Progress<Change>> {
        op.check()?;
        own_kept(volume, kept, sidecar)?;
        self.place.privileges()?;
        self.place.settle(op)?;
        self.done(self.tree.replace(op, sidecar, fill))
    }

    fn undo_roll_back(&self, op: &Op, volume: &Handle, kept: &Handle) -> Result<bool> {
        op.check()?;
        self.said(self.tree.undo_roll_back(op, handle::id(volume)?, snapshot_id(kept)?))
    }
}

/// The handles and the description are of one snapshot of one volume.
fn own_kept(volume: &Handle, kept: &Handle, sidecar: &SnapshotSidecar) -> Result<()> {
    own_snapshot(kept, sidecar)?;
    let id = handle::id(volume)?;
    if id == sidecar.volume {
        Ok(())
    } else {
        let other = sidecar.volume;
        Err(Error::internal(format!("the handle of {id} came with a description of {other}")))
    }
}

/// The handle and the description are of one snapshot.
fn own_snapshot(snapshot: &Handle, sidecar: &SnapshotSidecar) -> Result<()> {
    let id = snapshot_id(snapshot)?;
    if id == sidecar.id {
        Ok(())
    } else {
        let other = sidecar.id;
        Err(Error::internal(format!("the handle of {id} came with the description of {other}")))
    }
}
