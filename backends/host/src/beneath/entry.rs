//! Entries of a directory: second names, replacements, empty folders.

use std::io;

use nix::{
    fcntl::{AtFlags, renameat},
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
}
