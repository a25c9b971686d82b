//! Carrying content from one folder of the pool to another, and having it filled.
//!
//! | where | how |
//! |---|---|
//! | Btrfs, no subvolume within | a snapshot of the subvolume: one moment, at once |
//! | XFS with reflink, Btrfs otherwise | file by file, the data shared |
//! | elsewhere | file by file, the data written again, holes kept |
//!
//! On NFS the server does the second and, where it cannot, the third, by NFS 4.2.
//!
//! A subvolume within becomes an empty directory in a snapshot of the one around
//! it, so that such content is carried file by file.

use std::os::fd::AsFd as _;

use berth_api::{
    Bytes, Carrier, Context as _, Error, Estimate, Fill, Method, Op, Result, Target,
    records::OperationId,
};
use berth_host::{
    beneath::{
        Dir,
        copy::{self, Way},
    },
    durable,
};

use crate::{
    pool::Tree,
    records::SCRATCH,
    volume::{DATA, MODE},
};

/// What tells of each file of a copy which file it was made of, and whether that
/// changed since. See `berth_host::beneath::copy`.
pub(crate) const ORIGINS: &str = "origins";

/// What carrying `data` by `method` would take. The space of a copy is counted only if
/// `measure`: that walks the tree.
pub(crate) fn estimate(data: &Dir, method: Method, op: &Op, measure: bool) -> Result<Estimate> {
    let bytes = if method == Method::Copy && measure {
        Bytes(copy::measure(data, op)?.allocated)
    } else {
        Bytes(0)
    };
    Ok(Estimate { method, bytes, carrier: Carrier::default() })
}

impl Tree {
    /// Whether the pool's file system shares data between files; asked anew each time.
    ///
    /// # Errors
    /// `Unavailable`.
    pub fn shares_data(&self) -> Result<bool> {
        let root = self.opened()?.root;
        self.method(&root).map(|method| method != Method::Copy).map_err(|error| self.named(error))
    }

    /// How `data` can be carried.
    pub(crate) fn method(&self, data: &Dir) -> Result<Method> {
        let what = || "look how the content can be carried";
        if data.is_subvolume().context(what)? && !data.has_nested_subvolumes().context(what)? {
            return Ok(Method::Instant);
        }
        let way = if self.sharing.is_some() {
            // Named as all that a host is writing: what a crash leaves is cleaned.
            let host = self.host().ok_or_else(|| Error::internal("no pool was accepted"))?;
            let scratch = self.opened()?.root.open_dir(SCRATCH).context(what)?;
            copy::way_by_name(data, &scratch, &format!("{host}.{}", OperationId::random()))
        } else {
            copy::way(data)
        };
        Ok(match way.context(what)? {
            Way::Reflink => Method::Reflink,
            Way::Copy => Method::Copy,
        })
    }
}

/// Copies `data` by `method` into `folder`, in the place of what an interrupted attempt left
/// there. `prepare` sees the new directory before anything is in it, where the
/// content is not shared as a whole; where it is, the copy is born read-only if
/// `frozen`.
///
/// What was made on this file system until then is durable on return: the copy, and
/// the folders on the way to it.
///
/// # Errors
/// `Exhausted` if it does not fit; `Conflict` if cancelled. What is there then is
/// a half.
pub(crate) fn carry(
    op: &Op,
    (data, method): (&Dir, Method),
    folder: &Dir,
    frozen: bool,
    prepare: impl FnOnce(&Dir) -> Result<()>,
) -> Result<()> {
    discard(op, folder)?;
    let way = match method {
        Method::Instant => {
            // The kernel commits it at once, with all that was made before.
            data.snapshot_subvolume(folder, DATA, frozen).context(|| "snapshot the subvolume")?;
            return Ok(());
        }
        Method::Reflink => Way::Reflink,
        Method::Copy => Way::Copy,
    };
    let what = || "copy the content";
    folder.make_volume(DATA, 0o700).context(what)?;
    let to = folder.open_dir(DATA).context(what)?;
    prepare(&to)?;
    let copied = copy::tree(&copy::Request { from: data, to: &to, way, origins: true, op })?;
    if let Some(origins) = copied.origins {
        durable::write_unsynced(folder, ORIGINS, &origins.to_bytes()).context(what)?;
    }
    if copied.mounts_left_out > 0 {
        tracing::warn!(count = copied.mounts_left_out, "mounts within the content were left out");
    }
    if copied.not_cloned > 0 {
        tracing::warn!(
            count = copied.not_cloned,
            "files could not share their data, and were copied"
        );
    }
    // Once for all files and folders: a sync of each would take longer than their
    // copy.
    to.sync_file_system().context(what)
}

/// Has `fill` put content into `folder`, in the place of what an interrupted attempt
/// left there. `prepare` sees the new directory before anything is in it. Durable as
/// what [`carry`] made.
///
/// # Errors
/// Those of `fill`. What is there then is a half.
pub(crate) fn fill(
    op: &Op,
    folder: &Dir,
    prepare: impl FnOnce(&Dir) -> Result<()>,
    fill: Fill<'_>,
) -> Result<()> {
    discard(op, folder)?;
    let what = || "fill the content";
    folder.make_volume(DATA, MODE).context(what)?;
    let to = folder.open_dir(DATA).context(what)?;
    // The umask may have taken bits away.
    to.set_access(None, None, Some(MODE)).context(what)?;
    prepare(&to)?;
    // The folder hands down no project: what is in it beside `data` is not counted.
    fill(op, Target::Directory { top: to.as_fd(), aside: folder.as_fd() })?;
    to.sync_file_system().context(what)
}

/// Removes what an interrupted attempt left in `folder`.
pub(crate) fn discard(op: &Op, folder: &Dir) -> Result<()> {
    folder.remove_tree(DATA, &mut || op.check())?;
    folder.remove_tree(ORIGINS, &mut || op.check())
}
