//! Mounting the image where the pool's tree lies, or finding it mounted.

use std::{
    fs,
    io::{self, ErrorKind as Io},
    path::{Path, PathBuf},
};

use berth_api::{Context as _, Error, Result};
use berth_host::{
    backing::Backing,
    beneath::Dir,
    loopdev::LoopDevice,
    mounts::{self, Mount, Table},
};

use super::{Image, report, superblock::Superblock};

/// The file system.
const XFS: &str = "xfs";
/// Blocks that are freed become holes of the file at once, so that the host gets
/// its space back without a timer somewhere. Neither `nosuid` nor `nodev`: a
/// volume's bind mount would have both for good; it gets its own.
const OPTIONS: &str = "discard";
/// Limits of volumes; the kernel may have been built without them.
const QUOTAS: &str = "prjquota";

impl Image {
    /// The mountpoint as the kernel will show it; its last component is made.
    pub(super) fn target(&self) -> Result<PathBuf> {
        let path = &self.mountpoint;
        let what = || format!("make the mountpoint `{}`", path.display());
        if let (Some(parent), Some(name)) =
            (path.parent(), path.file_name().and_then(|n| n.to_str()))
            && let Ok(parent) = Dir::open(parent)
        {
            match parent.make_dir(name, 0o700) {
                Err(error) if error.kind() == Io::AlreadyExists => {}
                other => other.and_then(|()| parent.sync()).context(what)?,
            }
        }
        // The mount table has no links.
        fs::canonicalize(path).map_err(|error| {
            Error::unavailable(format!("`{}` does not exist", path.display())).with_source(error)
        })
    }

    /// The device of the image if it is mounted at `target`.
    pub(super) fn adopted(&self, file: &Backing, target: &Path) -> Result<Option<LoopDevice>> {
        let table = Table::read().context(|| "read the mount table")?;
        let Some(mount) = table.at(target) else { return Ok(None) };
        let device = LoopDevice::find(file).context(|| self.what("find the loop device of"))?;
        if let Some(device) = device
            && shows(mount, &device).context(|| self.what("look at the loop device of"))?
        {
            return Ok(Some(device));
        }
        let (target, source) = (target.display(), &mount.source);
        Err(Error::unavailable(format!(
            "`{source}` is mounted at `{target}`, and it is not the image `{}`",
            self.file.display()
        ))
        .with_hint(format!("unmount it, or give the pool another `path`: findmnt {target}")))
    }

    pub(super) fn mount(
        &self,
        file: &Backing,
        superblock: &Superblock,
        target: &Path,
    ) -> Result<LoopDevice> {
        refuse_hiding(target)?;
        let what = || self.what("find or make a loop device for");
        let device = match LoopDevice::find(file).context(what)? {
            // Volumes of before are still mounted somewhere: it is theirs too.
            Some(device) => device,
            None => LoopDevice::attach(file, superblock.sector_size).map_err(|error| {
                let missing = error.kind() == Io::NotFound;
                let error = Error::unavailable(what()).with_source(error);
                if missing { error.with_hint("modprobe loop") } else { error }
            })?,
        };
        let with_quotas = format!("{OPTIONS},{QUOTAS}");
        let mounted = match mounts::mount_device(device.path(), target, XFS, &with_quotas) {
            // What it says to an option that it was not built for.
            Err(error) if error.kind() == Io::InvalidInput => {
                mounts::mount_device(device.path(), target, XFS, OPTIONS)
            }
            other => other,
        };
        mounted.map_err(|error| {
            Error::unavailable(format!("{} at `{}`", self.what("mount"), target.display()))
                .with_source(error)
                .with_hint("dmesg says why")
        })?;
        let direct = device.is_direct().unwrap_or(false);
        tracing::info!(
            pool = self.pool,
            file = %self.file.display(),
            device = %device.path().display(),
            direct,
            "image mounted"
        );
        if !direct {
            tracing::warn!(pool = self.pool, "{}", report::BUFFERED);
        }
        Ok(device)
    }
}

/// A mount would hide what lies below its mountpoint.
fn refuse_hiding(target: &Path) -> Result<()> {
    let what = || format!("read `{}`", target.display());
    if Dir::open(target).and_then(|folder| folder.is_empty()).context(what)? {
        return Ok(());
    }
    let target = target.display();
    Err(Error::invalid(format!("`{target}` is not empty: a mounted image would hide that"))
        .with_hint("give the pool a `path` of its own, or leave it out"))
}

/// Whether `mount` is the whole file system on `device`.
fn shows(mount: &Mount, device: &LoopDevice) -> io::Result<bool> {
    let whole = mount.root == Path::new("/") && mount.filesystem == XFS;
    Ok(whole && mount.device == device.number()?)
}

/// Whether limits of volumes can be had on it.
pub(super) fn has_quotas(mount: &Mount) -> bool {
    mount.super_options.split(',').any(|option| option == QUOTAS)
}
