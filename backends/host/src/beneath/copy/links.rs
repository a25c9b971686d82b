//! Hard links of a tree that is being copied.
//!
//! An object with several names is made in a directory of its own first, and
//! every name it gets is a link from there; the last name takes that link along
//! (a rename), so that it never has more links than its origin. What is
//! remembered is only objects whose names have not all been met.

use std::{
    collections::HashMap,
    ffi::{CStr, CString},
    fs, io,
    sync::{Mutex, MutexGuard, PoisonError},
};

use nix::{
    errno::Errno,
    fcntl::{AtFlags, OFlag, renameat},
    sys::stat::{Mode, fstatat, mkdirat},
    unistd::{UnlinkatFlags, linkat, unlinkat},
};

use super::super::{Dir, object::Stat, open_beneath};
use crate::failpoint;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Links<'a> {
    /// Top of the copy.
    top: &'a Dir,
    /// What the directory is called: no name in the tree, since it is random.
    name: CString,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    directory: Option<Dir>,
    /// How many names are still to come.
    left: HashMap<CString, u32>,
}

impl<'a> Links<'a> {
    pub(super) fn new(top: &'a Dir) -> io::Result<Self> {
        let random = fs::read_to_string("/proc/sys/kernel/random/uuid")?;
        let name = CString::new(format!(".links-{}", random.trim()))?;
        Ok(Self { top, name, known: Mutex::default() })
    }

    /// Gives the copy of an object its name in `to`. If it is its first one,
    /// `create` makes it where it is told to, and what it made is returned.
    /// EEXIST if the name is taken.
    pub(super) fn place<T>(
        &self,
        stat: &Stat,
        to: &Dir,
        name: &CStr,
        create: impl FnOnce(&Dir, &CStr) -> io::Result<T>,
    ) -> io::Result<Option<T>> {
        if stat.links < 2 {
            return create(to, name).map(Some);
        }
        let mut known = self.lock();
        // Counted only once, and no rename of an object onto itself.
        if fstatat(to, name, AtFlags::AT_SYMLINK_NOFOLLOW).is_ok() {
            return Err(Errno::EEXIST.into());
        }
        let Known { directory, left } = &mut *known;
        let directory = match directory {
            Some(directory) => directory,
            None => directory.insert(self.make_directory()?),
        };
        let key = key(stat);
        match left.get_mut(&key).map(|left| {
            *left -= 1;
            *left
        }) {
            Some(0) => {
                left.remove(&key);
                failpoint::hit("copy.last-link")?;
                renameat(directory, key.as_c_str(), to, name)?;
                Ok(None)
            }
            Some(_) => {
                add_name(directory, &key, to, name)?;
                Ok(None)
            }
            None => {
                let made = create(directory, &key)?;
                add_name(directory, &key, to, name)?;
                left.insert(key, stat.links - 1);
                Ok(Some(made))
            }
        }
    }

    /// Removes what is left: objects with names outside the tree.
    pub(super) fn finish(&self) -> io::Result<()> {
        let known = std::mem::take(&mut *self.lock());
        let Some(directory) = known.directory else { return Ok(()) };
        for key in known.left.into_keys() {
            failpoint::hit("copy.forget-link")?;
            unlinkat(&directory, key.as_c_str(), UnlinkatFlags::NoRemoveDir)?;
        }
        failpoint::hit("copy.remove-links-directory")?;
        Ok(unlinkat(self.top, self.name.as_c_str(), UnlinkatFlags::RemoveDir)?)
    }

    fn make_directory(&self) -> io::Result<Dir> {
        failpoint::hit("copy.make-links-directory")?;
        mkdirat(self.top, self.name.as_c_str(), Mode::S_IRWXU)?;
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
        Ok(Dir { descriptor: open_beneath(self.top, self.name.as_c_str(), flags)? })
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An inode number alone may be used again while the copy is made.
fn key(stat: &Stat) -> CString {
    let ((major, minor), inode) = stat.identity();
    let (seconds, nanoseconds) = stat.born;
    let key = format!("{major}-{minor}-{inode}-{seconds}-{nanoseconds}");
    CString::new(key).expect("no NUL in digits")
}

fn add_name(from: &Dir, key: &CStr, to: &Dir, name: &CStr) -> io::Result<()> {
    failpoint::hit("copy.link")?;
    Ok(linkat(from, key, to, name, AtFlags::empty())?)
}
