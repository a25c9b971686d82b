//! The mount table, bind mounts, unmounts.

mod detached;
mod device;
mod remote;
mod table;

use std::{
    io,
    os::fd::{AsFd, AsRawFd as _, BorrowedFd},
    path::Path,
};

use nix::{
    errno::Errno,
    fcntl::{AT_FDCWD, AtFlags},
    mount::{MntFlags, MsFlags, mount, umount2},
    sys::stat::{fstat, fstatat},
};

pub(crate) use self::device::read_unseen;
pub use self::{
    remote::{detach_remote, unmount_remote},
    table::{Mount, Table},
};
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
    let none = None::<&str>;
    failpoint::hit("mounts.bind-classic")?;
    mount(Some(path.as_str()), target, none, MsFlags::MS_BIND, none)?;
    let mut wanted = MsFlags::MS_BIND | MsFlags::MS_REMOUNT;
    wanted.set(MsFlags::MS_NOSUID, !flags.suid);
    wanted.set(MsFlags::MS_NODEV, !flags.dev);
    let remounted = failpoint::hit("mounts.remount")
        .and_then(|()| Ok(mount(none, target, none, wanted, none)?));
    if remounted.is_err() {
        // The first error is the one to tell.
        let _ = unmount(target);
    }
    remounted
}

/// Mounts the file system `kind` on the block device `source` at `target` (an
/// existing directory) with the file system's own `options`.
///
/// # Errors
/// The kernel's: EINVAL where it does not know an option, or the file system.
pub fn mount_device(source: &Path, target: &Path, kind: &str, options: &str) -> io::Result<()> {
    failpoint::hit("mounts.mount-device")?;
    Ok(mount(Some(source), target, Some(kind), MsFlags::empty(), Some(options))?)
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
    // Not sys-mount's: its `NOFOLLOW` is `O_NOFOLLOW`, which umount2(2) refuses
    // with the EINVAL that otherwise means "not mounted".
    match umount2(target, MntFlags::UMOUNT_NOFOLLOW) {
        Ok(()) => Ok(Unmounted::Done),
        Err(Errno::EBUSY) => Ok(Unmounted::Busy),
        Err(Errno::EINVAL | Errno::ENOENT) => Ok(Unmounted::Already),
        Err(error) => Err(error.into()),
    }
}

/// The mount that the open `file` was reached through, as this process sees it.
///
/// # Errors
/// The kernel's; `NotFound` if it is mounted nowhere in this namespace.
pub fn of(file: impl AsFd) -> io::Result<Mount> {
    let id = id_of(file)?;
    Table::read()?.by_id(id).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// The id of the mount that the open `file` was reached through.
fn id_of(file: impl AsFd) -> io::Result<u64> {
    let info = format!("/proc/thread-self/fdinfo/{}", file.as_fd().as_raw_fd());
    let info = std::fs::read_to_string(info)?;
    let id = info.lines().find_map(|line| line.strip_prefix("mnt_id:"));
    Ok(id.and_then(|id| id.trim().parse().ok()).ok_or(io::ErrorKind::InvalidData)?)
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

/// What is to be seen at a mountpoint of a directory on a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// Nothing is mounted there.
    Nothing,
    /// The directory.
    It,
    /// A directory that the server knows no more, or one of a mount that was replaced:
    /// whether that one's server answers is not tried.
    Stale,
    /// Something else.
    Other(Mount),
}

/// What is mounted at `mountpoint`, where `directory` should be, which is open. Asks a
/// server only if it is the one that has just opened it.
///
/// # Errors
/// The kernel's; whatever the mount table says.
pub fn shown(mountpoint: &Path, directory: impl AsFd) -> io::Result<Shown> {
    let table = Table::read()?;
    let Some(mount) = table.at(mountpoint).cloned() else { return Ok(Shown::Nothing) };
    let own = id_of(&directory)?;
    let own = table.by_id(own).ok_or(io::ErrorKind::NotFound)?;
    if mount.device != own.device {
        let before = mount.is_remote() && own.is_remote() && mount.is_within(own);
        return Ok(if before { Shown::Stale } else { Shown::Other(mount) });
    }
    match shows(mountpoint, directory) {
        Ok(true) => Ok(Shown::It),
        Ok(false) => Ok(Shown::Other(mount)),
        Err(error) if error.raw_os_error() == Some(libc::ESTALE) => Ok(Shown::Stale),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, fs::File, thread};

    use nix::sched::{CloneFlags, unshare};

    use super::*;

    #[test]
    fn old_kernels_get_the_same_flags() {
        let stage = tempfile::tempdir().expect("a temporary directory");
        let target = stage.path().to_owned();
        let options = thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNS).expect("a namespace of its own: run as root");
            let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
            mount(None::<&str>, "/", None::<&str>, private, None::<&str>).expect("private");
            let [source, target] = ["source", "target"].map(|name| target.join(name));
            fs::create_dir(&source).expect("made");
            fs::create_dir(&target).expect("made");
            let source = File::open(source).expect("opened");
            bind_classic(source.as_fd(), &target, BindFlags::default()).expect("mounted");
            let table = Table::read().expect("readable");
            let options = table.at(&target).expect("mounted").options.clone();
            assert!(shows(&target, &source).expect("readable"));
            assert_eq!(unmount(&target).expect("unmounted"), Unmounted::Done);
            options
        });
        let options = options.join().expect("no panic");
        assert!(options.contains("nosuid") && options.contains("nodev"), "{options}");
    }
}
