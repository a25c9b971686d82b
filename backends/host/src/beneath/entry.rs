//! Entries of a directory: second names, replacements, empty folders; files without a name.

use std::{fs::File, io};

use nix::{
    errno::Errno,
    fcntl::{AtFlags, OFlag, openat, renameat},
    sys::stat::Mode,
    unistd::{UnlinkatFlags, linkat, unlinkat},
};

use super::Dir;
use crate::failpoint;

impl Dir {
    /// Gives the file `name` the second name `new` in `to`, never over something:
    /// of several who try, exactly one succeeds, also on a network file system.
    ///
    /// # Errors
    /// The kernel's, EEXIST among them. It may have happened all the same: a
    /// server whose answer is lost is asked again, and finds its own work.
    pub fn link(&self, name: &str, to: &Self, new: &str) -> io::Result<()> {
        failpoint::hit("beneath.link")?;
        linkat(self, name, to, new, AtFlags::empty())?;
        // Here an answer is lost.
        failpoint::hit("beneath.linked")
    }

    /// Moves the file `name` to `to` as `new`, over the file that is there.
    ///
    /// # Errors
    /// The kernel's.
    pub fn replace(&self, name: &str, to: &Self, new: &str) -> io::Result<()> {
        failpoint::hit("beneath.replace")?;
        Ok(renameat(self, name, to, new)?)
    }

    /// Removes the directory `name` if nothing is in it.
    ///
    /// # Errors
    /// The kernel's, ENOTEMPTY among them.
    pub fn remove_empty(&self, name: &str) -> io::Result<()> {
        failpoint::hit("beneath.remove-empty")?;
        Ok(unlinkat(self, name, UnlinkatFlags::RemoveDir)?)
    }

    /// A new file called `name`, to be read and written and soon removed.
    ///
    /// # Errors
    /// The kernel's, EEXIST among them.
    pub(super) fn scratch_file(&self, name: &str) -> io::Result<File> {
        failpoint::hit("beneath.scratch-file")?;
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        Ok(openat(self, name, flags | OFlag::O_NOFOLLOW, mode)?.into())
    }

    /// A new file on the directory's file system that has no name, and is gone when it
    /// is closed, whatever happens.
    ///
    /// # Errors
    /// `Unsupported` where there are none, as on network file systems; the kernel's.
    pub fn nameless_file(&self) -> io::Result<File> {
        let flags = OFlag::O_TMPFILE | OFlag::O_RDWR | OFlag::O_CLOEXEC;
        match openat(self, ".", flags, Mode::S_IRUSR | Mode::S_IWUSR) {
            Ok(file) => Ok(file.into()),
            Err(error @ (Errno::EOPNOTSUPP | Errno::EISDIR | Errno::EINVAL)) => {
                Err(io::Error::new(io::ErrorKind::Unsupported, error))
            }
            Err(error) => Err(error.into()),
        }
    }
}
