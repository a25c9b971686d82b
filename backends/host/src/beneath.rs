//! Directories opened beneath a root, and walks by descriptor.
//!
//! Whatever stands in a tree (symlinks planted, directories swapped, mounts
//! placed) nothing outside the opened root is reached: paths are resolved by
//! `openat2` with `RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV`.

pub mod copy;
mod entry;
mod fresh;
mod listing;
mod object;
mod place;
mod pool;
pub mod reading;
mod removal;
mod subvolume;
mod tour;
mod walk;
pub(crate) mod xattr;

use std::{
    ffi::OsString,
    fs::File,
    io::{self, Read as _},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStringExt as _,
    },
    path::Path,
};

use nix::{
    NixPath,
    errno::Errno,
    fcntl::{
        AtFlags, OFlag, OpenHow, RenameFlags, ResolveFlag, open, openat2, renameat, renameat2,
    },
    sys::{
        stat::{FileStat, Mode, SFlag, fchmod, fstat, fstatat, mkdirat},
        statfs::{EXT4_SUPER_MAGIC, fstatfs},
        statvfs::fstatvfs,
    },
    unistd::{Gid, Uid, UnlinkatFlags, fchown, syncfs, unlinkat},
};

pub use self::{
    fresh::{Attributes, Extended, Special, furnish},
    object::{Stat, Time},
    tour::Entry,
};
use crate::{durable, failpoint};

/// An open directory. Names given to its functions are relative paths beneath
/// it; a symlink or a mount on the way is an error (ELOOP, EXDEV).
#[derive(Debug)]
pub struct Dir {
    descriptor: OwnedFd,
}

/// What tells one state of a file from another without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    modified: (i64, i64),
}

/// Owner and permission bits of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Permission bits, up to 07777.
    pub mode: u32,
}

/// Space of a file system, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// All of it.
    pub total: u64,
    /// What unprivileged writers can still use.
    pub free: u64,
}

impl Dir {
    /// Opens a directory whose path is trusted: links in it are followed.
    ///
    /// # Errors
    /// The kernel's.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Ok(Self { descriptor: open(path, flags, Mode::empty())? })
    }

    /// A directory that somebody opened for reading.
    ///
    /// # Errors
    /// ENOTDIR if it is none; the kernel's.
    pub fn from_fd(descriptor: OwnedFd) -> io::Result<Self> {
        let kind = SFlag::from_bits_truncate(fstat(&descriptor)?.st_mode) & SFlag::S_IFMT;
        if kind == SFlag::S_IFDIR { Ok(Self { descriptor }) } else { Err(Errno::ENOTDIR.into()) }
    }

    /// Opens the directory `name` beneath this one.
    ///
    /// # Errors
    /// The kernel's: ENOENT, ENOTDIR, ELOOP for a symlink, EXDEV for a mount.
    pub fn open_dir(&self, name: &str) -> io::Result<Self> {
        Ok(Self { descriptor: open_beneath(self, name, OFlag::O_RDONLY | OFlag::O_DIRECTORY)? })
    }

    /// Opens the directory `name` beneath this one as a place only (`O_PATH`):
    /// enough to mount it, useless to read it.
    ///
    /// # Errors
    /// As [`open_dir`](Self::open_dir).
    pub fn open_place(&self, name: &str) -> io::Result<OwnedFd> {
        open_beneath(self, name, OFlag::O_PATH | OFlag::O_DIRECTORY)
    }

    /// Makes the directory `name` with `mode`, less the umask.
    ///
    /// # Errors
    /// The kernel's, EEXIST among them.
    pub fn make_dir(&self, name: &str, mode: u32) -> io::Result<()> {
        failpoint::hit("beneath.make-directory")?;
        Ok(mkdirat(self, name, Mode::from_bits_truncate(mode))?)
    }

    /// Makes the directory `name` as [`make_dir`](Self::make_dir), as a
    /// subvolume where the file system is Btrfs.
    ///
    /// # Errors
    /// The kernel's, EEXIST among them.
    pub fn make_volume(&self, name: &str, mode: u32) -> io::Result<()> {
        if subvolume::possible(self)? {
            subvolume::make(self, name)
        } else {
            self.make_dir(name, mode)
        }
    }

    /// Opens the regular file `name` for reading.
    ///
    /// # Errors
    /// The kernel's; `InvalidData` if it is no regular file.
    pub fn open_file(&self, name: &str) -> io::Result<File> {
        // Looked at before it is opened: opening a device can do something.
        regular(&fstatat(self, name, AtFlags::AT_SYMLINK_NOFOLLOW)?)?;
        let file = open_beneath(self, name, OFlag::O_RDONLY | OFlag::O_NONBLOCK)?;
        regular(&fstat(&file)?)?;
        Ok(file.into())
    }

    /// Reads the regular file `name`, at most `limit` bytes.
    ///
    /// # Errors
    /// The kernel's; `InvalidData` if it is no regular file or larger.
    pub fn read(&self, name: &str, limit: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.open_file(name)?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > limit {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "larger than it may be"));
        }
        Ok(bytes)
    }

    /// The stamp of the file `name`; a symlink's own.
    ///
    /// # Errors
    /// The kernel's.
    pub fn stamp(&self, name: &str) -> io::Result<Stamp> {
        let stat = fstatat(self, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        let modified = (stat.st_mtime, stat.st_mtime_nsec);
        Ok(Stamp { device: stat.st_dev, inode: stat.st_ino, modified })
    }

    /// Whether there is anything called `name`.
    ///
    /// # Errors
    /// The kernel's, other than ENOENT.
    pub fn has(&self, name: &str) -> io::Result<bool> {
        match fstatat(self, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::ENOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Moves `name` to `to` as `new`, whole and at once, never over something.
    ///
    /// # Errors
    /// The kernel's, EEXIST among them.
    pub fn rename(&self, name: &str, to: &Self, new: &str) -> io::Result<()> {
        failpoint::hit("beneath.rename")?;
        match renameat2(self, name, to, new, RenameFlags::RENAME_NOREPLACE) {
            // NFS and some FUSE file systems do not know the flag.
            Err(Errno::EINVAL) if !to.has(new)? => {
                failpoint::hit("beneath.rename-plainly")?;
                Ok(renameat(self, name, to, new)?)
            }
            other => Ok(other?),
        }
    }

    /// Removes the file `name`.
    ///
    /// # Errors
    /// The kernel's.
    pub fn unlink(&self, name: &str) -> io::Result<()> {
        failpoint::hit("beneath.unlink")?;
        Ok(unlinkat(self, name, UnlinkatFlags::NoRemoveDir)?)
    }

    /// The names in it, in no order.
    ///
    /// # Errors
    /// The kernel's, also in the middle of the listing.
    pub fn names(&self) -> io::Result<Vec<OsString>> {
        let mut names = Vec::new();
        for entry in self.stream()? {
            let name = entry?.file_name().to_bytes().to_vec();
            if !is_self_or_parent(&name) {
                names.push(OsString::from_vec(name));
            }
        }
        Ok(names)
    }

    /// Whether there is nothing in it.
    ///
    /// # Errors
    /// The kernel's.
    pub fn is_empty(&self) -> io::Result<bool> {
        for entry in self.stream()? {
            if !is_self_or_parent(entry?.file_name().to_bytes()) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Owner and mode.
    ///
    /// # Errors
    /// The kernel's.
    pub fn access(&self) -> io::Result<Access> {
        let stat = fstat(self)?;
        Ok(Access { uid: stat.st_uid, gid: stat.st_gid, mode: stat.st_mode & 0o7777 })
    }

    /// Sets owner, group and mode of the directory itself, where given.
    ///
    /// # Errors
    /// The kernel's.
    pub fn set_access(
        &self,
        uid: Option<u32>,
        gid: Option<u32>,
        mode: Option<u32>,
    ) -> io::Result<()> {
        if uid.is_some() || gid.is_some() {
            failpoint::hit("beneath.set-owner")?;
            fchown(self, uid.map(Uid::from_raw), gid.map(Gid::from_raw))?;
        }
        // After the owner: chown(2) may take the set-ID bits away.
        if let Some(mode) = mode {
            failpoint::hit("beneath.set-mode")?;
            fchmod(self, Mode::from_bits_truncate(mode))?;
        }
        Ok(())
    }

    /// Syncs its entries, owner and mode.
    ///
    /// # Errors
    /// The kernel's.
    pub fn sync(&self) -> io::Result<()> {
        durable::sync_directory(self)
    }

    /// Syncs everything on its file system, whoever wrote it: what was copied by
    /// [`copy::tree`] is durable then.
    ///
    /// Saboteur `skip-clone-sync` does nothing here.
    ///
    /// # Errors
    /// The kernel's, also of earlier writes that nobody else was told of.
    pub fn sync_file_system(&self) -> io::Result<()> {
        failpoint::hit("beneath.sync-file-system")?;
        if failpoint::sabotaged("skip-clone-sync") {
            return Ok(());
        }
        Ok(syncfs(self)?)
    }

    /// Space of the file system it lies on.
    ///
    /// # Errors
    /// The kernel's.
    pub fn space(&self) -> io::Result<Space> {
        let found = fstatvfs(self)?;
        let unit = found.fragment_size();
        Ok(Space {
            total: found.blocks().saturating_mul(unit),
            free: found.blocks_available().saturating_mul(unit),
        })
    }

    /// Whether it lies on ext4, ext3 or ext2, which the kernel does not tell apart.
    ///
    /// # Errors
    /// The kernel's.
    pub fn is_ext4(&self) -> io::Result<bool> {
        Ok(fstatfs(self)?.filesystem_type() == EXT4_SUPER_MAGIC)
    }

    /// A fresh reading of its entries: the position is not shared.
    fn stream(&self) -> io::Result<nix::dir::OwningIter> {
        let again = open_beneath(self, ".", OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
        Ok(nix::dir::Dir::from_fd(again)?.into_iter())
    }
}

impl From<Dir> for OwnedFd {
    fn from(dir: Dir) -> Self {
        dir.descriptor
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// Whether an error of these functions says that something else than was asked
/// for stands there: a link, a file, a mount, a directory instead of a file.
pub fn is_foreign(error: &io::Error) -> bool {
    let code = error.raw_os_error().map(Errno::from_raw);
    matches!(code, Some(Errno::ENOTDIR | Errno::ELOOP | Errno::EXDEV))
        || error.kind() == io::ErrorKind::InvalidData
}

/// Whether an error says that what is open here is not there any more. A file server
/// forgets what no directory names; a file system of this machine keeps it until it is
/// closed, and says that an entry is not found in it.
pub fn is_stale(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::StaleNetworkFileHandle
}

fn open_beneath(
    directory: impl AsFd,
    name: &(impl NixPath + ?Sized),
    flags: OFlag,
) -> io::Result<OwnedFd> {
    let resolve = ResolveFlag::RESOLVE_BENEATH
        | ResolveFlag::RESOLVE_NO_SYMLINKS
        | ResolveFlag::RESOLVE_NO_XDEV;
    let how = OpenHow::new().flags(flags | OFlag::O_CLOEXEC).resolve(resolve);
    Ok(openat2(directory, name, how)?)
}

fn is_self_or_parent(name: &[u8]) -> bool {
    matches!(name, b"." | b"..")
}

fn regular(stat: &FileStat) -> io::Result<()> {
    if SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG {
        Ok(())
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidData, "not a regular file"))
    }
}
