//! The mount table, bind mounts, unmounts.

mod detached;
mod table;

use std::{
    io,
    os::fd::{AsFd, AsRawFd as _, BorrowedFd},
    path::Path,
};

use nix::{
    errno::Errno,
    fcntl::{AT_FDCWD, AtFlags},
    sys::stat::{fstat, fstatat},
};
use sys_mount::{MountFlags, UnmountFlags};

pub use self::table::{Mount, Table};
use crate::failpoint;

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
    let source = source.as_fd();
    failpoint::hit("mounts.bind")?;
    match detached::bind(source, target, flags) {
        Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => {
            bind_classic(source, target, flags)
        }
        other => other,
    }
}

/// Before 5.12: first the mount, then its flags.
fn bind_classic(source: BorrowedFd<'_>, target: &Path, flags: BindFlags) -> io::Result<()> {
    let path = format!("/proc/self/fd/{}", source.as_raw_fd());
    let mount = |flags| {
        sys_mount::Mount::builder().fstype("none").flags(flags).mount(&path, target).map(drop)
    };
    failpoint::hit("mounts.bind-classic")?;
    mount(MountFlags::BIND)?;
    let mut wanted = MountFlags::BIND | MountFlags::REMOUNT;
    wanted.set(MountFlags::NOSUID, !flags.suid);
    wanted.set(MountFlags::NODEV, !flags.dev);
    let remounted = failpoint::hit("mounts.remount").and_then(|()| mount(wanted));
    if remounted.is_err() {
        // The first error is the one to tell.
        let _ = unmount(target);
    }
    remounted
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
    failpoint::hit("mounts.unmount")?;
    match sys_mount::unmount(target, UnmountFlags::NOFOLLOW) {
        Ok(()) => Ok(Unmounted::Done),
        Err(error) => match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::EBUSY) => Ok(Unmounted::Busy),
            Some(Errno::EINVAL | Errno::ENOENT) => Ok(Unmounted::Already),
            _ => Err(error),
        },
    }
}

/// Whether the directory open as `directory` is what is mounted at `mount`:
/// same file system and same directory (device and inode of the top).
///
/// # Errors
/// The kernel's.
pub fn shows(mountpoint: &Path, directory: impl AsFd) -> io::Result<bool> {
    let there = fstatat(AT_FDCWD, mountpoint, AtFlags::AT_SYMLINK_NOFOLLOW)?;
    let open = fstat(directory)?;
    Ok((there.st_dev, there.st_ino) == (open.st_dev, open.st_ino))
}
