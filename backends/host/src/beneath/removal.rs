//! Removing a tree by descriptor.
//!
//! No path is ever built: depth is unbounded, and a directory that is swapped for
//! a link cannot lead outside. A bounded number of levels is open at a time; what
//! lies deeper is first moved up (it is about to go anyway):
//!
//! ```text
//! top/a/b/…/y/z     at the limit, z becomes  top/.deeper-0
//! ```
//!
//! Only directories are ever opened, so that no FIFO blocks and no device acts.

use std::{
    ffi::{CStr, CString},
    io,
    os::fd::{AsFd, AsRawFd as _, BorrowedFd},
    path::PathBuf,
};

use berth_api::{Context as _, Error, Result};
use nix::{
    dir::OwningIter,
    errno::Errno,
    fcntl::{AtFlags, OFlag, RenameFlags, renameat2},
    sys::stat::{SFlag, fstat, fstatat},
    unistd::{UnlinkatFlags, unlinkat},
};

use super::{
    Dir, is_self_or_parent,
    listing::is_directory,
    object::{Object, read_directory},
    open_beneath, subvolume,
};
use crate::{failpoint, mounts};

/// Levels that are open at a time; each takes two descriptors.
const LEVELS: usize = 32;

/// How often a directory is read again that was not empty after all: somebody
/// still writes into it.
const PATIENCE: u32 = 16;

impl Dir {
    /// Removes `name` with all that is in it, following no link and crossing no
    /// mount. `step` is called after each entry and can stop the walk; a
    /// repetition goes on. Syncs nothing. Absent is success.
    ///
    /// # Errors
    /// `Busy` naming a mount in the tree, or a tree that somebody fills; what
    /// `step` says; the kernel's.
    pub fn remove_tree(&self, name: &str, step: &mut dyn FnMut() -> Result<()>) -> Result<()> {
        let name = CString::new(name).expect("callers pass plain names");
        let stat = match fstatat(self, name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::ENOENT) => return Ok(()),
            Err(error) => return Err(io::Error::from(error)).context(|| look(&name)),
        };
        if SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT != SFlag::S_IFDIR {
            erase(self.as_fd(), &name).context(|| remove(&name))?;
            return step();
        }
        if destroyed(self.as_fd(), &name)? {
            return step();
        }
        let mut walk = Walk { root: self.as_fd(), levels: Vec::new(), moved: 0, step };
        walk.descend(name)?;
        while !walk.levels.is_empty() {
            walk.advance()?;
        }
        Ok(())
    }
}

/// A directory that is being emptied.
struct Level {
    name: CString,
    directory: Dir,
    device: u64,
    entries: OwningIter,
    /// Entries were moved here behind the reading's back.
    fed: bool,
    read: u32,
}

struct Walk<'a> {
    root: BorrowedFd<'a>,
    levels: Vec<Level>,
    moved: u64,
    step: &'a mut dyn FnMut() -> Result<()>,
}

impl Walk<'_> {
    /// Removes one entry, or goes one level down or up.
    fn advance(&mut self) -> Result<()> {
        let Some(level) = self.levels.last_mut() else { return Ok(()) };
        let Some(entry) = level.entries.next() else { return self.ascend() };
        let entry = entry.map_err(io::Error::from).context(|| look(&level.name))?;
        let name = entry.file_name();
        if is_self_or_parent(name.to_bytes()) {
            return Ok(());
        }
        if is_directory(&level.directory, &entry).context(|| look(name))? {
            if destroyed(level.directory.as_fd(), name)? {
                return (self.step)();
            }
            if self.levels.len() >= LEVELS && self.move_up(name)? {
                return Ok(());
            }
            return self.descend(name.to_owned());
        }
        match erase(level.directory.as_fd(), name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.context(|| remove(name)),
        }?;
        (self.step)()
    }

    fn descend(&mut self, name: CString) -> Result<()> {
        let parent = self.levels.last().map_or(self.root, |level| level.directory.as_fd());
        let found = Object::find(&parent, &name).context(|| look(&name))?;
        let object = match found {
            Object::Gone => return Ok(()),
            Object::Mount { .. } => return Err(mounted(&name)),
            Object::Here(object, stat) if stat.is_directory() => object,
            // No longer one.
            Object::Here(..) => return erase(parent, &name).context(|| remove(&name)),
        };
        let directory = read_directory(&object).context(|| look(&name))?;
        let device = fstat(&directory).map_err(io::Error::from).context(|| look(&name))?.st_dev;
        let entries = directory.stream().context(|| look(&name))?;
        self.levels.push(Level { name, directory, device, entries, fed: false, read: 0 });
        Ok(())
    }

    /// The innermost directory was read to its end: it goes, or is read again.
    fn ascend(&mut self) -> Result<()> {
        let Some(mut level) = self.levels.pop() else { return Ok(()) };
        let parent = self.levels.last().map_or(self.root, |level| level.directory.as_fd());
        if !level.fed {
            match remove_directory(parent, &level.name) {
                Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => level.read += 1,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                    return Err(mounted(&level.name).with_source(error));
                }
                other => {
                    other.context(|| remove(&level.name))?;
                    return (self.step)();
                }
            }
        }
        if level.read > PATIENCE {
            let name = level.name.to_string_lossy();
            return Err(Error::busy(format!("somebody writes into `{name}` while it is removed")));
        }
        level.fed = false;
        level.entries = level.directory.stream().context(|| look(&level.name))?;
        self.levels.push(level);
        Ok(())
    }

    /// Moves the innermost directory's entry `name` as far up as its device goes.
    /// False where that is no way.
    fn move_up(&mut self, name: &CStr) -> Result<bool> {
        let Some((last, above)) = self.levels.split_last_mut() else { return Ok(false) };
        let Some(to) = above.iter_mut().find(|level| level.device == last.device) else {
            return Ok(false);
        };
        loop {
            let new = CString::new(format!(".deeper-{}", self.moved)).expect("no NUL in digits");
            self.moved += 1;
            match hoist(&last.directory, name, &to.directory, &new) {
                Ok(()) => {
                    to.fed = true;
                    return Ok(true);
                }
                Err(Errno::EEXIST) => {}
                // Another subvolume or project quota: deeper it is.
                Err(Errno::EXDEV) => return Ok(false),
                Err(Errno::EBUSY) => return Err(mounted(name)),
                Err(error) => return Err(io::Error::from(error)).context(|| remove(name)),
            }
        }
    }
}

fn erase(parent: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    failpoint::hit("beneath.remove-file")?;
    Ok(unlinkat(parent, name, UnlinkatFlags::NoRemoveDir)?)
}

fn remove_directory(parent: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    failpoint::hit("beneath.remove-directory")?;
    Ok(unlinkat(parent, name, UnlinkatFlags::RemoveDir)?)
}

fn hoist(from: &Dir, name: &CStr, to: &Dir, new: &CStr) -> Result<(), Errno> {
    failpoint::hit("beneath.move-up")
        .map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))?;
    renameat2(from, name, to, new, RenameFlags::RENAME_NOREPLACE)
}

/// Deletes `name` at once if it is a subvolume that the kernel deletes at once.
fn destroyed(parent: BorrowedFd<'_>, name: &CStr) -> Result<bool> {
    // Not on Btrfs, which is the usual case, this costs one call per directory.
    if !subvolume::possible(parent).context(|| look(name))? {
        return Ok(false);
    }
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
    // What cannot be opened is told by the walk.
    let Ok(directory) = open_beneath(parent, name, flags) else { return Ok(false) };
    if !subvolume::is_top(&directory).context(|| look(name))? {
        return Ok(false);
    }
    // The kernel would silently detach what is mounted in there.
    let path = std::fs::read_link(format!("/proc/self/fd/{}", directory.as_raw_fd()))
        .context(|| look(name))?;
    refuse_mounts_below(&path, name)?;
    // Subvolumes inside, or an old kernel: the walk does it.
    Ok(subvolume::destroy(parent, name).is_ok())
}

fn refuse_mounts_below(path: &PathBuf, name: &CStr) -> Result<()> {
    let table = mounts::Table::read().context(|| "read the mount table")?;
    if table.mounts.iter().any(|mount| mount.mountpoint.starts_with(path)) {
        return Err(mounted(name));
    }
    Ok(())
}

fn mounted(name: &CStr) -> Error {
    Error::busy(format!("something is mounted on or in `{}`", name.to_string_lossy()))
        .with_hint("`findmnt` shows it; unmount it and try again")
}

fn look(name: &CStr) -> String {
    format!("read `{}`", name.to_string_lossy())
}

fn remove(name: &CStr) -> String {
    format!("remove `{}`", name.to_string_lossy())
}
