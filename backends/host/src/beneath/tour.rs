//! Looking at everything in a tree, by descriptor: no link is followed, no mount
//! crossed, and what goes away meanwhile is left out.

use std::{
    ffi::CStr,
    io,
    os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd},
};

use berth_api::{Context as _, Error, Result};
use nix::{
    errno::Errno,
    fcntl::{AtFlags, OFlag, open, openat},
    sys::stat::{FileStat, Mode, SFlag, fstat, fstatat},
};

use super::{
    Dir, is_self_or_parent, open_beneath,
    walk::{Names, Visitor, walk},
};

/// One entry of the tree, as it was when it was looked at.
#[derive(Debug)]
pub struct Entry<'a> {
    parent: BorrowedFd<'a>,
    name: &'a CStr,
    stat: FileStat,
}

/// How many bytes a block of `st_blocks` has, whatever the file system's own.
const BLOCK: u64 = 512;

impl Entry<'_> {
    /// It is a regular file.
    pub fn is_file(&self) -> bool {
        kind(&self.stat) == SFlag::S_IFREG
    }

    /// It is a directory.
    pub fn is_directory(&self) -> bool {
        kind(&self.stat) == SFlag::S_IFDIR
    }

    /// Length of a regular file, in bytes.
    pub fn size(&self) -> u64 {
        if self.is_file() { u64::try_from(self.stat.st_size).unwrap_or(0) } else { 0 }
    }

    /// What it takes on the disk, in bytes, with all its names.
    pub fn space(&self) -> u64 {
        u64::try_from(self.stat.st_blocks).unwrap_or(0).saturating_mul(BLOCK)
    }

    /// How many names it has; of a directory, one.
    pub fn names(&self) -> u64 {
        if self.is_directory() { 1 } else { self.stat.st_nlink.max(1) }
    }

    /// Opens a file or directory to read its attributes. Nothing else is ever
    /// opened: a FIFO would block, a device act.
    ///
    /// # Errors
    /// The kernel's; ENOENT if another stands there now.
    pub fn open(&self) -> io::Result<OwnedFd> {
        let place = open_beneath(self.parent, self.name, OFlag::O_PATH | OFlag::O_NOFOLLOW)?;
        let found = fstat(&place)?;
        let same = (found.st_dev, found.st_ino) == (self.stat.st_dev, self.stat.st_ino);
        if !same || !(self.is_file() || self.is_directory()) {
            return Err(Errno::ENOENT.into());
        }
        // Exactly what was looked at, whatever stands there by now.
        let path = format!("/proc/self/fd/{}", place.as_raw_fd());
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        Ok(open(path.as_str(), flags, Mode::empty())?)
    }
}

impl Dir {
    /// Calls `each` for everything in the tree below, not for the top itself.
    ///
    /// # Errors
    /// What `each` says; `Busy` if directories were moved about meanwhile; the
    /// kernel's.
    pub fn tour(&self, each: &mut dyn FnMut(&Entry<'_>) -> Result<()>) -> Result<()> {
        let again = open_beneath(self, ".", OFlag::O_RDONLY | OFlag::O_DIRECTORY)
            .context(|| "read the top")?;
        let top = Self { descriptor: again };
        let mut tour = Tour { each };
        let names = tour.list(&top)?;
        walk(&mut tour, top, names)
    }

    /// What the top directory itself takes on the disk, in bytes.
    ///
    /// # Errors
    /// The kernel's.
    pub fn own_space(&self) -> io::Result<u64> {
        Ok(u64::try_from(fstat(self)?.st_blocks).unwrap_or(0).saturating_mul(BLOCK))
    }
}

struct Tour<'a> {
    each: &'a mut dyn FnMut(&Entry<'_>) -> Result<()>,
}

impl Visitor for Tour<'_> {
    type Folder = Dir;
    type Closed = (u64, u64);

    fn enter(&mut self, above: &Dir, name: &CStr) -> Result<Option<Dir>> {
        match open_beneath(above, name, OFlag::O_RDONLY | OFlag::O_DIRECTORY) {
            Ok(descriptor) => Ok(Some(Dir { descriptor })),
            // Gone, replaced, or a mount: none of ours.
            Err(error) if is_elsewhere(&error) => Ok(None),
            Err(error) => Err(error).context(|| look(name)),
        }
    }

    fn list(&mut self, folder: &Dir) -> Result<Names> {
        let mut directories = Names::default();
        let (device, _) = identity(folder).context(|| "read a directory")?;
        for entry in folder.stream().context(|| "read a directory")? {
            let entry = entry.map_err(io::Error::from).context(|| "read a directory")?;
            let name = entry.file_name();
            if is_self_or_parent(name.to_bytes()) {
                continue;
            }
            let stat = match fstatat(folder, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                Err(Errno::ENOENT) => continue,
                Err(error) => return Err(io::Error::from(error)).context(|| look(name)),
            };
            if kind(&stat) == SFlag::S_IFDIR {
                // What is mounted on it is not in the tree.
                if matches!(
                    open_beneath(folder, name, OFlag::O_PATH | OFlag::O_DIRECTORY),
                    Err(error) if is_elsewhere(&error)
                ) {
                    continue;
                }
                directories.push(name);
            } else if stat.st_dev != device {
                continue;
            }
            (self.each)(&Entry { parent: folder.as_fd(), name, stat })?;
        }
        Ok(directories)
    }

    fn close(&mut self, folder: Dir) -> Result<(u64, u64)> {
        identity(&folder).context(|| "leave a directory open no longer")
    }

    fn reopen(&mut self, closed: (u64, u64), below: &Dir) -> Result<Dir> {
        // Up is never beneath; that it is the one we came from is checked.
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let opened = openat(below, c"..", flags, Mode::empty())
            .map_err(io::Error::from)
            .context(|| "go back up the tree")?;
        let above = Dir { descriptor: opened };
        if identity(&above).ok() == Some(closed) {
            return Ok(above);
        }
        Err(Error::busy("directories were moved about while they were read"))
    }

    fn leave(&mut self, _: Dir) -> Result<()> {
        Ok(())
    }
}

fn identity(folder: &Dir) -> io::Result<(u64, u64)> {
    let stat = fstat(folder)?;
    Ok((stat.st_dev, stat.st_ino))
}

fn kind(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT
}

fn is_elsewhere(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR | libc::ELOOP | libc::EXDEV))
}

fn look(name: &CStr) -> String {
    format!("read `{}`", name.to_string_lossy())
}
