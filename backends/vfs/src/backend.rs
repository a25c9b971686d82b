//! The pool, as a [`Backend`].

use std::path::Path;

use berth_api::{
    Backend, Bytes, Capacity, Change, Error, Found, Handle, Health, HostId, Observed, Op, PoolId,
    PoolIdentity, Progress, Resize, Result, Sidecar, Snapshots, Source, Usage, VolumeSpec,
};
use berth_tree::Tree;

use crate::handle;

/// A pool in a directory of this host.
#[derive(Debug)]
pub struct Vfs {
    pub(crate) tree: Tree,
}

impl Vfs {
    /// The pool `name` at `path`. No I/O.
    pub fn open(name: &str, path: &Path) -> Self {
        Self { tree: Tree::new(name, path) }
    }
}

impl Backend for Vfs {
    fn identify(&self, op: &Op, expected: Option<PoolId>, host: HostId) -> Result<PoolIdentity> {
        op.check()?;
        self.tree.identify(expected, host)
    }

    fn take_over(&self, op: &Op, host: HostId) -> Result<PoolIdentity> {
        op.check()?;
        self.tree.take_over(host)
    }

    fn plan(&self, op: &Op, spec: &VolumeSpec) -> Result<Handle> {
        op.check()?;
        self.tree.check()?;
        if spec.options.size.is_some() {
            self.tree.can_limit().map_err(|error| {
                let asked = spec.given.contains_key("size");
                if asked { error } else { error.context("its volumes have a `size` by default") }
            })?;
        }
        Ok(handle::of(spec.id))
    }

    fn create(&self, op: &Op, volume: &Handle, sidecar: &Sidecar) -> Result<Progress<Change>> {
        op.check()?;
        self.tree.create(own(volume, sidecar)?, sidecar).map(Progress::Ready)
    }

    fn apply(&self, op: &Op, volume: &Handle, sidecar: &Sidecar) -> Result<Progress<Change>> {
        op.check()?;
        self.tree.apply(own(volume, sidecar)?, sidecar).map(Progress::Ready)
    }

    fn describe(&self, op: &Op, volume: &Handle, sidecar: &Sidecar) -> Result<Progress<Change>> {
        op.check()?;
        self.tree.describe(own(volume, sidecar)?, sidecar).map(Progress::Ready)
    }

    fn remove(&self, op: &Op, volume: &Handle) -> Result<Progress<Change>> {
        op.check()?;
        self.tree.remove(handle::id(volume)?).map(Progress::Ready)
    }

    fn restore(&self, op: &Op, volume: &Handle) -> Result<Progress<Change>> {
        op.check()?;
        self.tree.restore(handle::id(volume)?).map(Progress::Ready)
    }

    fn purge(&self, op: &Op, volume: &Handle) -> Result<Progress<Change>> {
        op.check()?;
        self.tree.purge(op, handle::id(volume)?).map(Progress::Ready)
    }

    fn attach(&self, op: &Op, volume: &Handle) -> Result<Progress<Source>> {
        op.check()?;
        let (directory, path) = self.tree.attach(handle::id(volume)?)?;
        Ok(Progress::Ready(Source::Directory { directory, path }))
    }

    fn detach(&self, op: &Op, volume: &Handle) -> Result<Progress<Change>> {
        op.check()?;
        handle::id(volume)?;
        Ok(Progress::Ready(Change::Already))
    }

    fn inspect(&self, op: &Op, volume: &Handle) -> Result<Observed> {
        op.check()?;
        self.tree.inspect(handle::id(volume)?)
    }

    fn list(&self, op: &Op) -> Result<Vec<Found>> {
        let entries = self.tree.list(op)?;
        let found = entries.into_iter().map(|entry| Found {
            handle: handle::of_entry(&entry.name),
            entry: entry.name,
            sidecar: entry.sidecar,
            trashed: entry.trashed,
        });
        Ok(found.collect())
    }

    fn health(&self) -> Health {
        self.tree.health()
    }

    fn capacity(&self, op: &Op) -> Result<Capacity> {
        op.check()?;
        self.tree.capacity()
    }

    fn snapshots(&self) -> Option<&dyn Snapshots> {
        Some(self)
    }

    fn resize(&self) -> Option<&dyn Resize> {
        Some(self)
    }
}

impl Resize for Vfs {
    fn can_limit(&self, op: &Op) -> Result<()> {
        op.check()?;
        self.tree.can_limit()
    }

    fn usage(&self, op: &Op, volume: &Handle) -> Result<Usage> {
        op.check()?;
        self.tree.usage(handle::id(volume)?)
    }

    fn enrol(&self, op: &Op, volume: &Handle) -> Result<Usage> {
        op.check()?;
        self.tree.enrol(op, handle::id(volume)?)
    }

    fn count(&self, op: &Op, volume: &Handle) -> Result<Bytes> {
        op.check()?;
        self.tree.count(op, handle::id(volume)?)
    }
}

/// The volume that both name.
pub(crate) fn own(volume: &Handle, sidecar: &Sidecar) -> Result<berth_api::VolumeId> {
    let id = handle::id(volume)?;
    if id == sidecar.spec.id {
        Ok(id)
    } else {
        let other = sidecar.spec.id;
        Err(Error::internal(format!("the handle of {id} came with the description of {other}")))
    }
}
