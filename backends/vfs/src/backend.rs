//! The pool, as a [`Backend`].

use std::path::Path;

use berth_api::{
    Backend, Bytes, Capacity, Change, Content, Error, Fill, Found, Growth, Handle, Health, HostId,
    Label, Observed, Op, PoolId, PoolIdentity, Progress, Report, Resize, Result, SharedRecords,
    Sidecar, Snapshots, Source, Usage, VolumeSpec,
};
use berth_tree::{Sharing, Tree};

use crate::{
    advice, handle,
    image::{Image, ImageFile},
};

/// A pool in a directory of this host.
#[derive(Debug)]
pub struct Vfs {
    pub(crate) tree: Tree,
    /// What is mounted where the tree lies, if that is ours to mount.
    image: Option<Image>,
}

impl Vfs {
    /// The pool `name` at `path`. No I/O.
    pub fn open(name: &str, path: &Path) -> Self {
        Self { tree: Tree::new(name, path), image: None }
    }

    /// The pool `name` on the image `file`, mounted at `mountpoint`. No I/O.
    pub fn on_image(name: &str, mountpoint: &Path, file: ImageFile) -> Self {
        let image = Some(Image::new(name, mountpoint, file));
        Self { image, ..Self::open(name, mountpoint) }
    }

    /// The same pool with an SELinux label for its volumes.
    pub fn labelled(self, label: Option<Label>) -> Self {
        Self { tree: self.tree.labelled(label), ..self }
    }

    /// Sees to it that the image is mounted, if there is one; `known` is never
    /// made anew.
    fn mount(&self, known: bool) -> Result<()> {
        let Some(image) = &self.image else { return Ok(()) };
        image.ready(known).inspect_err(|error| self.tree.lost(error))
    }

    /// The pool `name` at `path`, which several hosts use. No I/O.
    pub fn shared(name: &str, path: &Path, sharing: Sharing) -> Self {
        Self { tree: Tree::shared(name, path, sharing), image: None }
    }
}

impl Backend for Vfs {
    fn identify(&self, op: &Op, expected: Option<PoolId>, host: HostId) -> Result<PoolIdentity> {
        op.check()?;
        self.mount(expected.is_some())?;
        self.tree.identify(expected, host)
    }

    fn take_over(&self, op: &Op, host: HostId) -> Result<PoolIdentity> {
        op.check()?;
        self.mount(true)?;
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

    fn create_from(
        &self,
        op: &Op,
        volume: &Handle,
        sidecar: &Sidecar,
        fill: Fill<'_>,
    ) -> Result<Progress<Change>> {
        op.check()?;
        own(volume, sidecar)?;
        self.tree.create_from(op, sidecar, fill).map(Progress::Ready)
    }

    fn content(&self, op: &Op, volume: &Handle, snapshot: Option<&Handle>) -> Result<Content> {
        op.check()?;
        let snapshot = snapshot.map(handle::snapshot_id).transpose()?;
        self.tree.content(handle::id(volume)?, snapshot)
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
        let mut capacity = self.tree.capacity()?;
        if let Some(image) = &self.image {
            // What the disk below does not have nobody can use, and the trash is to
            // be emptied early then.
            capacity.free = capacity.free.min(image.room()?);
        }
        Ok(capacity)
    }

    fn report(&self, op: &Op) -> Result<Report> {
        op.check()?;
        match &self.image {
            Some(image) => image.report(),
            None => advice::report(&self.tree),
        }
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
        self.image.as_ref().map(|image| image as &dyn Growth)
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

impl Growth for Image {
    fn grow(&self, op: &Op, size: Option<Bytes>) -> Result<Bytes> {
        op.check()?;
        self.enlarge(size)
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
