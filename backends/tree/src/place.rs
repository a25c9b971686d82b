//! Where a tree lies, and what must be done so that it can be used there.

use std::{fmt::Debug, os::fd::OwnedFd, path::PathBuf, time::Duration};

use berth_api::{
    Capacity, Carrier, Change, Error, Growth, Health, Op, Options, Report, Result, Source, VolumeId,
};

use crate::Tree;

/// Whoever knows that a place is away, before anybody touches it and waits.
pub trait Gate: Debug + Send + Sync + 'static {
    /// Lets a call begin; may take as long as a look, never as long as the place is away.
    ///
    /// # Errors
    /// `Unavailable` while the place is known to be away.
    fn pass(&self) -> Result<()>;

    /// Hears that the place has just answered.
    fn answered(&self) {}

    /// Hears why a call could not reach the tree.
    fn failed(&self, error: &Error);
}

/// The content of a volume, as the tree opened it.
#[derive(Debug)]
pub struct Shown {
    /// The volume.
    pub id: VolumeId,
    /// The open directory (`O_PATH`).
    pub directory: OwnedFd,
    /// Where it is; below the path of the tree.
    pub path: PathBuf,
}

/// What tells one backend of directory volumes from another.
pub trait Place: Debug + Send + Sync + 'static {
    /// Sees to it that `tree` can be reached at its path. `known`: the catalog has
    /// the pool, so nothing may be made anew. May be called by several at once.
    ///
    /// # Errors
    /// `Unavailable`; what makes the place unusable for good.
    fn ready(&self, op: &Op, tree: &Tree, known: bool) -> Result<()>;

    /// Looks at the place once its tree is known to be the right one.
    ///
    /// # Errors
    /// `Unavailable`.
    fn accepted(&self, op: &Op, tree: &Tree) -> Result<()> {
        let _ = tree;
        op.check()
    }

    /// Whether the place can be used now, from what was last seen; does not block.
    fn health(&self) -> Health {
        Health::Ready
    }

    /// Looks whether anybody answers there, and never waits long for that.
    ///
    /// # Errors
    /// `Unavailable`.
    fn listen(&self, op: &Op) -> Result<()> {
        op.check()
    }

    /// How long nobody has answered there, where that is known; does not block.
    fn silence(&self) -> Option<Duration> {
        None
    }

    /// Refuses options that a volume cannot have here, or in a form that means nothing.
    ///
    /// # Errors
    /// `Unsupported`, `Invalid`.
    fn admit(&self, options: &Options) -> Result<()> {
        let (subdir, mount) = (options.subdir.is_some(), options.mount_options.is_some());
        for (key, given) in [("subdir", subdir), ("mount-options", mount)] {
            if given {
                let why = "it is an option of nfs pools";
                return Err(Error::unsupported(format!("option `{key}` is not available: {why}")));
            }
        }
        Ok(())
    }

    /// What is mounted for a container, given the content as the tree opened it and the
    /// volume's options.
    ///
    /// # Errors
    /// `Unavailable`.
    fn show(&self, op: &Op, content: Shown, options: &Options) -> Result<Source> {
        op.check()?;
        let _ = options;
        let Shown { directory, path, .. } = content;
        Ok(Source::Directory { directory, path })
    }

    /// Takes back what [`show`](Self::show) made for this volume alone; it is not
    /// mounted any more.
    ///
    /// # Errors
    /// `Unavailable`.
    fn hide(&self, op: &Op, id: VolumeId) -> Result<Change> {
        let _ = id;
        op.check().map(|()| Change::Already)
    }

    /// Sees to it that what programs of this host have written is in the tree,
    /// before content is read.
    ///
    /// # Errors
    /// `Unavailable`.
    fn settle(&self, op: &Op) -> Result<()> {
        op.check()
    }

    /// Says what an error of the tree means here.
    fn explain(&self, error: Error) -> Error {
        error
    }

    /// Whether root may do there what root may: read what others own, and give things
    /// to them. Snapshots, clones and owners depend on it.
    ///
    /// # Errors
    /// `Unsupported` with the reason.
    fn privileges(&self) -> Result<()> {
        Ok(())
    }

    /// Who carries what is copied there.
    fn carrier(&self) -> Carrier {
        Carrier::Host
    }

    /// How full the place is, given what the file system says.
    ///
    /// # Errors
    /// `Unavailable`.
    fn capacity(&self, found: Capacity) -> Result<Capacity> {
        Ok(found)
    }

    /// What is worth knowing of it.
    ///
    /// # Errors
    /// `Unavailable`.
    fn report(&self, tree: &Tree) -> Result<Report> {
        let _ = tree;
        Ok(Report::default())
    }

    /// Growing, where it can.
    fn growth(&self) -> Option<&dyn Growth> {
        None
    }
}
