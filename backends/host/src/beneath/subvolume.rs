//! Btrfs subvolumes: made instead of a directory, deleted as a whole, snapshots
//! of them taken at once.

use std::{
    ffi::CStr,
    io,
    os::fd::{AsFd, AsRawFd as _},
};

use nix::{
    errno::Errno,
    sys::{
        stat::fstat,
        statfs::{BTRFS_SUPER_MAGIC, fstatfs},
    },
};

use super::Dir;
use crate::failpoint;

/// `struct btrfs_ioctl_vol_args` of `linux/btrfs.h`.
#[repr(C)]
struct Arguments {
    descriptor: i64,
    name: [u8; 4088],
}

/// `struct btrfs_ioctl_vol_args_v2` of `linux/btrfs.h`.
#[repr(C)]
struct Arguments2 {
    descriptor: i64,
    transaction: u64,
    flags: u64,
    unused: [u64; 4],
    name: [u8; 4040],
}

/// `struct btrfs_ioctl_get_subvol_rootref_args` of `linux/btrfs.h`.
#[repr(C)]
struct Within {
    from: u64,
    /// Tree and directory of each.
    found: [[u64; 2]; 255],
    count: u8,
    align: [u8; 7],
}

/// `BTRFS_SUBVOL_RDONLY`.
const READ_ONLY: u64 = 1 << 1;

/// The inode number of every subvolume's top directory.
const TOP: u64 = 256;

mod call {
    use super::{Arguments, Arguments2, Within};

    nix::ioctl_write_ptr!(create, 0x94, 14, Arguments);
    nix::ioctl_write_ptr!(destroy, 0x94, 15, Arguments);
    nix::ioctl_write_ptr!(snapshot, 0x94, 23, Arguments2);
    nix::ioctl_read!(flags, 0x94, 25, u64);
    nix::ioctl_write_ptr!(set_flags, 0x94, 26, u64);
    nix::ioctl_readwrite!(within, 0x94, 61, Within);
}

impl Dir {
    /// Whether it is the top of a Btrfs subvolume.
    ///
    /// # Errors
    /// The kernel's.
    pub fn is_subvolume(&self) -> io::Result<bool> {
        is_top(self)
    }

    /// Whether other subvolumes lie within this one: a snapshot of it has an
    /// empty directory in the place of each. Ask only the top of a subvolume.
    ///
    /// # Errors
    /// The kernel's: ENOTTY before Linux 4.18 and on other file systems.
    pub fn has_nested_subvolumes(&self) -> io::Result<bool> {
        let mut within = Within { from: 0, found: [[0; 2]; 255], count: 0, align: [0; 7] };
        #[expect(unsafe_code, reason = "an ioctl that fills a live struct of the size it names")]
        let result = unsafe { call::within(self.as_fd().as_raw_fd(), &raw mut within) };
        match result {
            Ok(_) => Ok(within.count > 0),
            // More than fit.
            Err(Errno::EOVERFLOW) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes a snapshot of this subvolume as `name` in `to`, whole and at once.
    /// The kernel commits it before it returns.
    ///
    /// # Errors
    /// The kernel's: EEXIST, EXDEV for another file system, EINVAL if this is not
    /// the top of a subvolume.
    pub fn snapshot_subvolume(&self, to: &Self, name: &str, read_only: bool) -> io::Result<()> {
        // The kernel takes any descriptor in the subvolume for its top.
        if !is_top(self)? {
            return Err(Errno::EINVAL.into());
        }
        let arguments = Arguments2 {
            descriptor: self.as_fd().as_raw_fd().into(),
            transaction: 0,
            flags: if read_only { READ_ONLY } else { 0 },
            unused: [0; 4],
            name: field(name.as_bytes())?,
        };
        failpoint::hit("beneath.snapshot-subvolume")?;
        #[expect(unsafe_code, reason = "an ioctl that reads a live struct of the size it names")]
        unsafe {
            call::snapshot(to.as_fd().as_raw_fd(), &raw const arguments)?;
        }
        Ok(())
    }

    /// Whether it is the top of a read-only subvolume.
    ///
    /// # Errors
    /// The kernel's: EINVAL if it is not the top of a subvolume.
    pub fn is_read_only(&self) -> io::Result<bool> {
        Ok(flags(self)? & READ_ONLY != 0)
    }

    /// Makes the subvolume read-only, or writable again; committed on return.
    ///
    /// # Errors
    /// The kernel's: EINVAL if it is not the top of a subvolume.
    pub fn set_read_only(&self, read_only: bool) -> io::Result<()> {
        let old = flags(self)?;
        let new = if read_only { old | READ_ONLY } else { old & !READ_ONLY };
        if new == old {
            return Ok(());
        }
        failpoint::hit("beneath.set-read-only")?;
        #[expect(unsafe_code, reason = "an ioctl that reads a live integer")]
        unsafe {
            call::set_flags(self.as_fd().as_raw_fd(), &raw const new)?;
        }
        Ok(())
    }
}

fn flags(directory: &Dir) -> io::Result<u64> {
    let mut flags = 0;
    #[expect(unsafe_code, reason = "an ioctl that writes a live integer")]
    unsafe {
        call::flags(directory.as_fd().as_raw_fd(), &raw mut flags)?;
    }
    Ok(flags)
}

/// Whether `directory` lies on Btrfs.
pub(super) fn possible(directory: impl AsFd) -> io::Result<bool> {
    Ok(fstatfs(directory)?.filesystem_type() == BTRFS_SUPER_MAGIC)
}

/// Whether `directory` is the top of a subvolume.
pub(super) fn is_top(directory: impl AsFd) -> io::Result<bool> {
    let directory = directory.as_fd();
    Ok(fstat(directory)?.st_ino == TOP && possible(directory)?)
}

/// Makes the subvolume `name` in `parent`. The kernel commits it at once.
pub(super) fn make(parent: impl AsFd, name: &str) -> io::Result<()> {
    let arguments = arguments(name.as_bytes())?;
    failpoint::hit("beneath.make-subvolume")?;
    #[expect(unsafe_code, reason = "an ioctl that reads a live struct of the size it names")]
    unsafe {
        call::create(parent.as_fd().as_raw_fd(), &raw const arguments)?;
    }
    Ok(())
}

/// Deletes the subvolume `name` of `parent` with all that is in it; ENOTEMPTY
/// if other subvolumes are.
pub(super) fn destroy(parent: impl AsFd, name: &CStr) -> io::Result<()> {
    let arguments = arguments(name.to_bytes())?;
    failpoint::hit("beneath.destroy-subvolume")?;
    #[expect(unsafe_code, reason = "an ioctl that reads a live struct of the size it names")]
    unsafe {
        call::destroy(parent.as_fd().as_raw_fd(), &raw const arguments)?;
    }
    Ok(())
}

fn arguments(name: &[u8]) -> io::Result<Arguments> {
    Ok(Arguments { descriptor: 0, name: field(name)? })
}

/// A name in the field of a struct.
fn field<const N: usize>(name: &[u8]) -> io::Result<[u8; N]> {
    let mut field = [0; N];
    // One byte is left for the end of the string.
    if name.len() > 255 || name.contains(&b'/') || name.contains(&0) {
        return Err(Errno::EINVAL.into());
    }
    field[..name.len()].copy_from_slice(name);
    Ok(field)
}
