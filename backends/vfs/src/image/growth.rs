//! Making file, device and file system larger, in this order.
//!
//! Each step looks at what is there and not at what was done, so that whatever a
//! crash left out is done by the next start.

use std::{path::Path, time::Duration};

use berth_api::{Bytes, Context as _, Result};
use berth_host::{backing::Backing, beneath::Dir, command, loopdev::LoopDevice};

use super::{Image, superblock::Superblock};

/// `xfs_growfs` makes the headers of new allocation groups and no more.
const LIMIT: Duration = Duration::from_secs(60);
/// XFS leaves out a last allocation group of fewer blocks (`XFS_MIN_AG_BLOCKS`).
const LEAST: u64 = 64;
/// What sizes are rounded down to: the largest sector of a disk.
const UNIT: u64 = 4096;

/// A size that a device with any sectors can have.
pub(super) fn rounded(Bytes(size): Bytes) -> Bytes {
    Bytes(size / UNIT * UNIT)
}

impl Image {
    /// Brings the image to the size that is `asked` for, if it is smaller. One that
    /// is larger stays so: XFS cannot shrink.
    pub(super) fn grow(
        &self,
        file: &Backing,
        device: &LoopDevice,
        superblock: &Superblock,
        target: &Path,
        asked: Option<Bytes>,
    ) -> Result<()> {
        let length = Bytes(file.length().context(|| self.what("look at"))?);
        let wanted = asked.unwrap_or(length).max(length);
        if wanted > length {
            file.extend(wanted.0).context(|| self.what("make room in"))?;
            tracing::info!(pool = self.pool, from = %length, to = %wanted, "image grows");
        }
        let size = || device.size().context(|| self.what("look at the loop device of"));
        if rounded(wanted).0 > size()? {
            device.refresh_size().context(|| self.what("grow the loop device of"))?;
        }
        let block = u64::from(superblock.block_size);
        let space = Dir::open(target).and_then(|root| root.space());
        let space = space.context(|| format!("look at `{}`", target.display()))?;
        let used = space.total + u64::from(superblock.log_blocks) * block;
        if size()?.saturating_sub(used) >= LEAST * block {
            command::run("xfs_growfs", &["-d".as_ref(), target.as_os_str()], "xfsprogs", LIMIT)?;
        }
        if let Some(asked) = asked
            && asked < length
        {
            let pool = &self.pool;
            tracing::warn!(pool, %asked, size = %length, "an image cannot become smaller");
        }
        Ok(())
    }
}
