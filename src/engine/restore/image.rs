//! The content of a block volume, put into a directory.
//!
//! ```text
//! backup ─▶ image (a file without a name, aside) ─▶ mounted where nobody sees it ─▶ copied out
//! ```
//! Whatever happens, closing the file ends it all. The image takes space of the pool
//! until then, and none of the new volume's limit.

use berth_api::{Context as _, Op, Result};
use berth_host::{
    beneath::{
        Dir,
        copy::{self, Way},
    },
    image::{Journal, MountedImage},
};
use berth_vault::{Backup, Repository, restore};

/// Puts what containers saw of the volume (its directory `published`, or all of its
/// file system) into `to`, which is empty; the image lies in `aside` meanwhile. The
/// caller holds a lock on the repository.
///
/// # Errors
/// `Corrupt` if the backup is damaged, or no file system that can be mounted;
/// `Unsupported` if it holds one that Berth does not mount, or `aside` has no place
/// for files without a name.
pub(super) fn unpacked(
    repository: &Repository,
    op: &Op,
    backup: &Backup,
    published: Option<&str>,
    aside: &Dir,
    to: &Dir,
) -> Result<()> {
    let what = || format!("restore the image of backup `{}`", backup.id.short());
    let file = aside.nameless_file().context(|| "make a place for the image")?;
    restore::image(repository, op, backup, &file, true)?;
    // The file is ours alone: it may be made whole, as after a power cut.
    let mounted = MountedImage::open(&file, Journal::Replay).context(what)?;
    let from = mounted.open_dir(published.unwrap_or(".")).context(what)?;
    op.begin_again();
    let request = copy::Request { from: &from, to, way: Way::Copy, origins: false, op };
    copy::tree(&request).map(drop).context(what)
}
