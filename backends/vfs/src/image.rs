//! A pool on an image: an XFS file system in a sparse file, mounted where the
//! pool's tree lies.
//!
//! ```text
//! FILE  (sparse, 0600)  ◀── loop device (direct I/O, frees itself)  ◀── XFS at MOUNTPOINT
//! .FILE.<id>.new            an image that is being made
//! ```
//!
//! What it holds:
//! - An image is made only where nothing is, for a pool that nobody knows; it
//!   appears whole or not at all. Everything else in its place is left alone.
//! - One file has one loop device, found by the file behind it, and one mount at
//!   the mountpoint: what is there already is adopted.
//! - The mount outlives the daemon, as those of volumes do. It is made again where
//!   somebody took it away, with the same device while volumes still hold that.
//! - It only grows, and that it cannot grow is no reason not to use it.
//!
//! | module | noun |
//! |---|---|
//! | `birth` | making the file |
//! | `superblock` | what XFS says of itself |
//! | `growth` | making file, device and file system larger |
//! | `report` | what is worth knowing of it |

mod birth;
mod growth;
mod report;
mod superblock;

use std::{
    fs,
    io::{self, ErrorKind as Io},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use berth_api::{Bytes, Context as _, Error, Result};
use berth_host::{
    backing::{Backing, Locked},
    beneath::Dir,
    loopdev::LoopDevice,
    mounts::{self, Mount, Table},
};

use self::superblock::Superblock;

/// The file system.
const XFS: &str = "xfs";
/// Blocks that are freed become holes of the file at once, so that the host gets
/// its space back without a timer somewhere. Neither `nosuid` nor `nodev`: a
/// volume's bind mount would have both for good; it gets its own.
const OPTIONS: &str = "discard";
/// Limits of volumes; the kernel may have been built without them.
const QUOTAS: &str = "prjquota";

/// Where an image lies, and how large it shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageFile {
    /// Its path.
    pub file: PathBuf,
    /// What the configuration asks for; needed to make it.
    pub size: Option<Bytes>,
}

/// The image of one pool. Calls may run concurrently.
#[derive(Debug)]
pub(crate) struct Image {
    pool: String,
    file: PathBuf,
    size: Option<Bytes>,
    mountpoint: PathBuf,
    /// Held while it is made, mounted or grown.
    claim: Mutex<()>,
    seen: Mutex<Option<Seen>>,
}

/// How it was mounted when last looked at.
#[derive(Clone, Debug)]
struct Seen {
    device: PathBuf,
    direct: bool,
    quotas: bool,
    /// Why it is smaller than it should be.
    stunted: Option<String>,
}

impl Image {
    /// The image of `pool`, to be mounted at `mountpoint`. No I/O.
    pub(crate) fn new(pool: &str, mountpoint: &Path, ImageFile { file, size }: ImageFile) -> Self {
        Self {
            pool: pool.to_owned(),
            file,
            size: size.map(growth::rounded),
            mountpoint: mountpoint.to_owned(),
            claim: Mutex::default(),
            seen: Mutex::default(),
        }
    }

    /// Makes the image where there is none and none is `known`; mounts it where it
    /// is not; lets it grow to what the configuration says.
    ///
    /// # Errors
    /// `Invalid` if something else is in the place of the file or below the
    /// mountpoint; `Unavailable` if a known image is missing, if it cannot be
    /// mounted, or if something else is mounted there.
    pub(crate) fn ready(&self, known: bool) -> Result<()> {
        let _claim = self.claim.lock().unwrap_or_else(PoisonError::into_inner);
        self.mounted(known).map_err(|error| error.context(format!("pool `{}`", self.pool)))
    }

    fn mounted(&self, known: bool) -> Result<()> {
        let file = self.found(known)?;
        // Lest two daemons make two devices of it.
        let _lock = self.locked()?;
        let superblock = self.superblock(&file)?;
        let target = self.target()?;
        let device = match self.adopted(&file, &target)? {
            Some(device) => device,
            None => self.mount(&file, &superblock, &target)?,
        };
        let stunted = self.grow(&file, &device, &superblock, &target).err();
        if let Some(error) = &stunted {
            let (pool, error) = (&self.pool, error.chain());
            tracing::warn!(pool, error, "the image stays smaller than it should be");
        }
        let quotas = Table::read().context(|| "read the mount table")?;
        let quotas = quotas.at(&target).is_some_and(has_quotas);
        let seen = Seen {
            device: device.path().to_owned(),
            direct: device.is_direct().context(|| self.what("look at the loop device of"))?,
            quotas,
            stunted: stunted.map(|error| error.chain()),
        };
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen);
        Ok(())
    }

    /// The file, made if nothing is there and may be.
    fn found(&self, known: bool) -> Result<Backing> {
        let file = self.file.display();
        match Backing::open(&self.file) {
            Ok(found) => Ok(found),
            Err(error) if error.kind() == Io::NotFound && known => {
                Err(Error::unavailable(format!("the image `{file}` is missing"))
                    .with_source(error)
                    .with_hint(
                        "mount the disk that it lies on, or bring it back from a copy: its \
                         volumes are in it, and no new one is made in its place",
                    ))
            }
            Err(error) if error.kind() == Io::NotFound => birth::make(&self.file, self.size),
            Err(error) if error.kind() == Io::InvalidData => {
                Err(self.foreign("it is no regular file"))
            }
            Err(error) => Err(Error::unavailable(format!("the image `{file}` cannot be opened"))
                .with_source(error)),
        }
    }

    fn superblock(&self, file: &Backing) -> Result<Superblock> {
        let head = file.head().context(|| self.what("read"))?;
        Superblock::parse(&head).map_err(|why| self.foreign(why))
    }

    /// The lock of the file, through an open file of its own.
    fn locked(&self) -> Result<Locked> {
        let locked = Backing::open(&self.file).and_then(Backing::try_lock);
        locked.context(|| self.what("lock"))?.ok_or_else(|| {
            Error::unavailable(format!("another process works on `{}`", self.file.display()))
        })
    }

    /// The mountpoint as the kernel will show it; its last component is made.
    fn target(&self) -> Result<PathBuf> {
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
    fn adopted(&self, file: &Backing, target: &Path) -> Result<Option<LoopDevice>> {
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

    fn mount(&self, file: &Backing, superblock: &Superblock, target: &Path) -> Result<LoopDevice> {
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

    fn foreign(&self, why: &str) -> Error {
        let file = self.file.display();
        Error::invalid(format!("`{file}` is no image of a pool: {why}"))
            .with_hint("it is left as it is; give the pool another `file`")
    }

    fn what(&self, verb: &str) -> String {
        format!("{verb} the image `{}`", self.file.display())
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

fn has_quotas(mount: &Mount) -> bool {
    mount.super_options.split(',').any(|option| option == QUOTAS)
}
