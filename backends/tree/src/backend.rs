//! A pool of directory volumes, in the words of [`Backend`]: the same for every
//! place that a tree may lie in.

use std::time::Duration;

use berth_api::{
    Backend, Bytes, Capacity, Change, Content, Error, Fill, Found, Growth, Handle, Health, HostId,
    Label, Observed, Op, Options, PoolId, PoolIdentity, Progress, Report, Resize, Result,
    SharedRecords, Sidecar, Snapshots, Source, Usage, VolumeSpec,
};

use crate::{
    Tree, handle,
    place::{Place, Shown},
};

/// A pool whose volumes are directories of a tree that lies in `P`.
#[derive(Debug)]
pub struct Directories<P> {
    pub(crate) tree: Tree,
    pub(crate) place: P,
}

impl<P: Place> Directories<P> {
    /// The tree at its place. No I/O.
    pub fn at(place: P, tree: Tree) -> Self {
        Self { tree, place }
    }

    /// The same pool with an SELinux label for its volumes.
    pub fn labelled(self, label: Option<Label>) -> Self {
        Self { tree: self.tree.labelled(label), ..self }
    }

    /// An answer of the tree, in the words of the place if it is an error.
    pub(crate) fn said<T>(&self, result: Result<T>) -> Result<T> {
        result.map_err(|error| self.place.explain(error))
    }

    /// The same for a call that is done when it returns.
    pub(crate) fn done<T>(&self, result: Result<T>) -> Result<Progress<T>> {
        self.said(result).map(Progress::Ready)
    }

    /// Sees to it that the place can be reached.
    fn reach(&self, op: &Op, known: bool) -> Result<()> {
        op.check()?;
        self.place.ready(op, &self.tree, known).inspect_err(|error| self.tree.lost(error))
    }
}

impl<P: Place> Backend for Directories<P> {
    fn identify(&self, op: &Op, expected: Option<PoolId>, host: HostId) -> Result<PoolIdentity> {
        self.reach(op, expected.is_some())?;
        let identity = self.said(self.tree.identify(expected, host))?;
        self.place.accepted(op, &self.tree).inspect_err(|error| self.tree.lost(error))?;
        Ok(identity)
    }

    fn take_over(&self, op: &Op, host: HostId, known: bool) -> Result<PoolIdentity> {
        self.reach(op, true)?;
        self.said(self.tree.take_over(host, known))
    }

    fn plan(&self, op: &Op, spec: &VolumeSpec) -> Result<Handle> {
        op.check()?;
        self.said(self.tree.check())?;
        self.place.admit(&spec.options)?;
        if let Some(subdir) = &spec.options.subdir {
            self.said(self.tree.shows(subdir))?;
        }
        if spec.options.uid.or(spec.options.gid).is_some() {
            self.place.privileges()?;
        }
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
        self.done(self.tree.create(own(volume, sidecar)?, sidecar))
    }

    fn create_from(
        &self,
        op: &Op,
        volume: &Handle,
        sidecar: &Sidecar,
        fill: Fill<'_>,
    ) -> Result<Progress<Change>> {
        op.check()?;
        own(volume, sidecar)?;
        // What is put there belongs to others than the one who does it.
        self.place.privileges()?;
        self.done(self.tree.create_from(op, sidecar, fill))
    }

    fn content(&self, op: &Op, volume: &Handle, snapshot: Option<&Handle>) -> Result<Content> {
        op.check()?;
        let snapshot = snapshot.map(handle::snapshot_id).transpose()?;
        self.place.privileges()?;
        if snapshot.is_none() {
            self.place.settle(op)?;
        }
        self.said(self.tree.content(handle::id(volume)?, snapshot))
    }

    fn apply(&self, op: &Op, volume: &Handle, sidecar: &Sidecar) -> Result<Progress<Change>> {
        op.check()?;
        self.place.admit(&sidecar.spec.options)?;
        self.done(self.tree.apply(own(volume, sidecar)?, sidecar))
    }

    fn describe(&self, op: &Op, volume: &Handle, sidecar: &Sidecar) -> Result<Progress<Change>> {
        op.check()?;
        self.done(self.tree.describe(own(volume, sidecar)?, sidecar))
    }

    fn remove(&self, op: &Op, volume: &Handle) -> Result<Progress<Change>> {
        op.check()?;
        self.done(self.tree.remove(handle::id(volume)?))
    }

    fn restore(&self, op: &Op, volume: &Handle) -> Result<Progress<Change>> {
        op.check()?;
        self.done(self.tree.restore(handle::id(volume)?))
    }

    fn purge(&self, op: &Op, volume: &Handle) -> Result<Progress<Change>> {
        op.check()?;
        self.done(self.tree.purge(op, handle::id(volume)?))
    }

    fn attach(&self, op: &Op, volume: &Handle, options: &Options) -> Result<Progress<Source>> {
        op.check()?;
        let id = handle::id(volume)?;
        let (directory, path) = self.said(self.tree.attach(id))?;
        let content = Shown { id, directory, path };
        self.place.show(op, content, options).map(Progress::Ready)
    }

    fn detach(&self, op: &Op, volume: &Handle) -> Result<Progress<Change>> {
        op.check()?;
        self.place.hide(op, handle::id(volume)?).map(Progress::Ready)
    }

    fn inspect(&self, op: &Op, volume: &Handle) -> Result<Observed> {
        op.check()?;
        self.said(self.tree.inspect(handle::id(volume)?))
    }

    fn list(&self, op: &Op) -> Result<Vec<Found>> {
        let entries = self.said(self.tree.list(op))?;
        let found = entries.into_iter().map(|entry| Found {
            handle: handle::of_entry(&entry.name),
            entry: entry.name,
            sidecar: entry.sidecar,
            trashed: entry.trashed,
        });
        Ok(found.collect())
    }

    fn health(&self) -> Health {
        match self.place.health() {
            Health::Ready => self.tree.health(),
            away @ Health::Unavailable(_) => away,
        }
    }

    fn listen(&self, op: &Op) -> Result<()> {
        self.place.listen(op)
    }

    fn silence(&self) -> Option<Duration> {
        self.place.silence()
    }

    fn capacity(&self, op: &Op) -> Result<Capacity> {
        op.check()?;
        self.place.capacity(self.said(self.tree.capacity())?)
    }

    fn report(&self, op: &Op) -> Result<Report> {
        op.check()?;
        self.place.report(&self.tree)
    }

    fn records(&self) -> Option<&dyn SharedRecords> {
        self.tree.records()
    }

    fn snapshots(&self) -> Option<&dyn Snapshots> {
        Some(self)
    }

    fn resize(&self) -> Option<&dyn Resize> {
        Some(self)
    }

    fn growth(&self) -> Option<&dyn Growth> {
        self.place.growth()
    }
}

impl<P: Place> Resize for Directories<P> {
    fn can_limit(&self, op: &Op) -> Result<()> {
        op.check()?;
        self.said(self.tree.can_limit())
    }

    fn usage(&self, op: &Op, volume: &Handle) -> Result<Usage> {
        op.check()?;
        self.said(self.tree.usage(handle::id(volume)?))
    }

    fn enrol(&self, op: &Op, volume: &Handle) -> Result<Usage> {
        op.check()?;
        self.said(self.tree.enrol(op, handle::id(volume)?))
    }

    fn count(&self, op: &Op, volume: &Handle) -> Result<Bytes> {
        op.check()?;
        self.said(self.tree.count(op, handle::id(volume)?))
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
