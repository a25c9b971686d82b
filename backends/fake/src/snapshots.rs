//! Snapshots of the fake, between two looks at the script.

use berth_api::{
    Change, Estimate, Fill, FoundSnapshot, Handle, Observed, Op, Origin, Progress, Result, Sidecar,
    SnapshotId, SnapshotSidecar, Snapshots,
};

use crate::Fake;

impl Fake {
    fn inner(&self) -> &dyn Snapshots {
        &self.vfs
    }
}

impl Snapshots for Fake {
    fn estimate(&self, op: &Op, origin: Origin<'_>, measure: bool) -> Result<Estimate> {
        self.at_once("estimate", || self.inner().estimate(op, origin, measure))
    }

    fn plan(&self, op: &Op, volume: &Handle, id: SnapshotId) -> Result<Handle> {
        self.at_once("snapshot-plan", || Snapshots::plan(&self.vfs, op, volume, id))
    }

    fn create(
        &self,
        op: &Op,
        volume: &Handle,
        snapshot: &Handle,
        sidecar: &SnapshotSidecar,
        quiet: &dyn Fn() -> bool,
    ) -> Result<Progress<SnapshotSidecar>> {
        let lie = Some(sidecar.clone());
        self.in_time("snapshot", snapshot, lie, || {
            self.inner().create(op, volume, snapshot, sidecar, quiet)
        })
    }

    fn remove(&self, op: &Op, volume: &Handle, snapshot: &Handle) -> Result<Progress<Change>> {
        let lie = Some(Change::Done);
        self.in_time("snapshot-remove", snapshot, lie, || self.inner().remove(op, volume, snapshot))
    }

    fn purge(&self, op: &Op, volume: &Handle, snapshot: &Handle) -> Result<Progress<Change>> {
        let lie = Some(Change::Done);
        self.in_time("snapshot-purge", snapshot, lie, || self.inner().purge(op, volume, snapshot))
    }

    fn sweep(&self, op: &Op) -> Result<()> {
        self.at_once("snapshot-purge", || self.inner().sweep(op))
    }

    fn inspect(&self, op: &Op, volume: &Handle, snapshot: &Handle) -> Result<Observed> {
        self.at_once("snapshot-inspect", || self.inner().inspect(op, volume, snapshot))
    }

    fn list(&self, op: &Op, volume: &Handle) -> Result<Vec<FoundSnapshot>> {
        self.at_once("snapshot-list", || self.inner().list(op, volume))
    }

    fn clone_into(
        &self,
        op: &Op,
        origin: Origin<'_>,
        volume: &Handle,
        sidecar: &Sidecar,
    ) -> Result<Progress<Change>> {
        let lie = Some(Change::Done);
        self.in_time("clone", volume, lie, || self.inner().clone_into(op, origin, volume, sidecar))
    }

    fn roll_back(
        &self,
        op: &Op,
        volume: &Handle,
        snapshot: &Handle,
        kept: &Handle,
        sidecar: &SnapshotSidecar,
    ) -> Result<Progress<Change>> {
        let lie = Some(Change::Done);
        self.in_time("roll-back", volume, lie, || {
            self.inner().roll_back(op, volume, snapshot, kept, sidecar)
        })
    }

    fn replace(
        &self,
        op: &Op,
        volume: &Handle,
        kept: &Handle,
        sidecar: &SnapshotSidecar,
        fill: Fill<'_>,
    ) -> Result<Progress<Change>> {
        let lie = Some(Change::Done);
        self.in_time("replace", volume, lie, || {
            self.inner().replace(op, volume, kept, sidecar, fill)
        })
    }

    fn undo_roll_back(&self, op: &Op, volume: &Handle, kept: &Handle) -> Result<bool> {
        self.at_once("undo-roll-back", || self.inner().undo_roll_back(op, volume, kept))
    }
}
