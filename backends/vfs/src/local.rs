//! A directory of this host, as a [`Place`] for a tree.

use std::path::Path;

use berth_api::{Bytes, Capacity, Growth, Op, Report, Result};
use berth_tree::{Directories, Place, Sharing, Tree};

use crate::{
    advice,
    image::{Image, ImageFile},
};

/// A pool in a directory of this host.
pub type Vfs = Directories<Local>;

/// Where such a pool lies.
#[derive(Debug)]
pub struct Local {
    /// What is mounted there, if that is ours to mount.
    image: Option<Image>,
}

impl Local {
    /// The pool `name` at `path`. No I/O.
    pub fn open(name: &str, path: &Path) -> Vfs {
        Directories::at(Self { image: None }, Tree::new(name, path))
    }

    /// The pool `name` on the image `file`, mounted at `mountpoint`. No I/O.
    pub fn on_image(name: &str, mountpoint: &Path, file: ImageFile) -> Vfs {
        let image = Some(Image::new(name, mountpoint, file));
        Directories::at(Self { image }, Tree::new(name, mountpoint))
    }

    /// The pool `name` at `path`, which several hosts use. No I/O.
    pub fn shared(name: &str, path: &Path, sharing: Sharing) -> Vfs {
        Directories::at(Self { image: None }, Tree::shared(name, path, sharing))
    }
}

impl Place for Local {
    fn ready(&self, _: &Op, _: &Tree, known: bool) -> Result<()> {
        self.image.as_ref().map_or(Ok(()), |image| image.ready(known))
    }

    fn capacity(&self, found: Capacity) -> Result<Capacity> {
        let Some(image) = &self.image else { return Ok(found) };
        // What the disk below does not have nobody can use, and the trash is to be
        // emptied early then.
        Ok(Capacity { free: found.free.min(image.room()?), ..found })
    }

    fn report(&self, tree: &Tree) -> Result<Report> {
        match &self.image {
            Some(image) => image.report(),
            None => advice::report(tree),
        }
    }

    fn growth(&self) -> Option<&dyn Growth> {
        self.image.as_ref().map(|image| image as &dyn Growth)
    }
}

impl Growth for Image {
    fn grow(&self, op: &Op, size: Option<Bytes>) -> Result<Bytes> {
        op.check()?;
        self.enlarge(size)
    }
}
