//! The mount table, bind mounts, unmounts.

use std::{
    io,
    os::fd::AsFd,
    path::{Path, PathBuf},
};

/// One line of `/proc/PID/mountinfo` (`proc_pid_mountinfo(5)`), unescaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Mount id, unique within its namespace's view.
    pub id: u64,
    /// Id of the mount it stands on.
    pub parent: u64,
    /// `major:minor` of the file system.
    pub device: (u32, u32),
    /// The directory of the file system that is the root of this mount.
    pub root: PathBuf,
    /// Where it is mounted.
    pub mountpoint: PathBuf,
    /// Mount options of this mount (`ro`, `nosuid` …).
    pub options: String,
    /// Peer group, if shared.
    pub shared: Option<u64>,
    /// Peer group it receives from, if a slave.
    pub master: Option<u64>,
    /// File system type.
    pub filesystem: String,
    /// What was mounted.
    pub source: String,
    /// Options of the file system (`rw,prjquota` …).
    pub super_options: String,
}

/// The mounts of one namespace, in the kernel's order: later ones lie on top.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// All mounts.
    pub mounts: Vec<Mount>,
}

impl Table {
    /// This process' mounts.
    ///
    /// # Errors
    /// If `/proc` is not there, or a line cannot be understood.
    pub fn read() -> io::Result<Self> {
        unimplemented!()
    }

    /// The topmost mount at exactly `path` (compared as text, nothing is
    /// resolved, no substring counts).
    pub fn at(&self, path: &Path) -> Option<&Mount> {
        self.mounts.iter().rev().find(|mount| mount.mountpoint == path)
    }

    /// The mount with this id.
    pub fn by_id(&self, id: u64) -> Option<&Mount> {
        self.mounts.iter().find(|mount| mount.id == id)
    }
}

/// Flags of a bind mount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BindFlags {
    /// Let set-user-ID bits work.
    pub suid: bool,
    /// Let device nodes work.
    pub dev: bool,
}

/// Bind-mounts the open directory `source` at `target` (an existing directory),
/// `nosuid,nodev` unless `flags` say otherwise, with the flags in force before
/// the mount is visible where the kernel can do that (`mount_setattr`, 5.12).
///
/// # Errors
/// The kernel's; nothing stays mounted.
pub fn bind(source: impl AsFd, target: &Path, flags: BindFlags) -> io::Result<()> {
    let _ = (source.as_fd(), target, flags);
    unimplemented!()
}

/// Whether an unmount did something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmounted {
    /// It was mounted and no longer is.
    Done,
    /// Nothing was mounted there.
    Already,
    /// In use: the kernel said EBUSY.
    Busy,
}

/// Unmounts `target`, following no link, never lazily and never by force.
///
/// # Errors
/// The kernel's, other than EBUSY, EINVAL and ENOENT.
pub fn unmount(target: &Path) -> io::Result<Unmounted> {
    let _ = target;
    unimplemented!()
}

/// Whether the directory open as `directory` is what is mounted at `mount`:
/// same file system and same directory (device and inode of the top).
///
/// # Errors
/// The kernel's.
pub fn shows(mountpoint: &Path, directory: impl AsFd) -> io::Result<bool> {
    let _ = (mountpoint, directory.as_fd());
    unimplemented!()
}
