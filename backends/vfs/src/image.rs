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
//! | `mount` | mounting it, or finding it mounted |
//! | `growth` | making file, device and file system larger |
//! | `report` | what is worth knowing of it |

mod birth;
mod growth;
mod mount;
mod report;
mod superblock;

use std::{
    io::ErrorKind as Io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use berth_api::{Bytes, Context as _, Error, Result};
use berth_host::{
    backing::{Backing, Locked},
    mounts::Table,
};

use self::superblock::Superblock;

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

    /// Makes the mounted image `size` large, or as large as the configuration says.
    /// Answers how large it is.
    ///
    /// # Errors
    /// `Invalid` for less than it has; `Unavailable` if it is not mounted.
    pub(crate) fn enlarge(&self, size: Option<Bytes>) -> Result<Bytes> {
        let _claim = self.claim.lock().unwrap_or_else(PoisonError::into_inner);
        self.enlarged(size.map(growth::rounded))
            .map_err(|error| error.context(format!("pool `{}`", self.pool)))
    }

    fn enlarged(&self, size: Option<Bytes>) -> Result<Bytes> {
        let file = self.found(true)?;
        let _lock = self.locked()?;
        let (superblock, target) = (self.superblock(&file)?, self.target()?);
        let device = self.adopted(&file, &target)?.ok_or_else(|| {
            Error::unavailable(format!("nothing is mounted at `{}`", target.display()))
        })?;
        let length = Bytes(file.length().context(|| self.what("look at"))?);
        if let Some(size) = size
            && size < length
        {
            return Err(Error::invalid(format!(
                "the image is {length}, and cannot become smaller: {size}"
            )));
        }
        self.grow(&file, &device, &superblock, &target, size.or(self.size))?;
        if let Some(seen) = &mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner) {
            seen.stunted = None;
        }
        Ok(Bytes(file.length().context(|| self.what("look at"))?))
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
        let stunted = self.grow(&file, &device, &superblock, &target, self.size).err();
        if let Some(error) = &stunted {
            let (pool, error) = (&self.pool, error.chain());
            tracing::warn!(pool, error, "the image stays smaller than it should be");
        }
        let quotas = Table::read().context(|| "read the mount table")?;
        let quotas = quotas.at(&target).is_some_and(mount::has_quotas);
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

    fn foreign(&self, why: &str) -> Error {
        let file = self.file.display();
        Error::invalid(format!("`{file}` is no image of a pool: {why}"))
            .with_hint("it is left as it is; give the pool another `file`")
    }

    fn what(&self, verb: &str) -> String {
        format!("{verb} the image `{}`", self.file.display())
    }
}
