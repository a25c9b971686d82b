//! Btrfs subvolumes: made instead of a directory, deleted as a whole.

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

use crate::failpoint;

/// `struct btrfs_ioctl_vol_args` of `linux/btrfs.h`.
#[repr(C)]
struct Arguments {
    descriptor: i64,
    name: [u8; 4088],
}

/// The inode number of every subvolume's top directory.
const TOP: u64 = 256;

mod call {
    use super::Arguments;

    nix::ioctl_write_ptr!(create, 0x94, 14, Arguments);
    nix::ioctl_write_ptr!(destroy, 0x94, 15, Arguments);
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
    let mut arguments = Arguments { descriptor: 0, name: [0; 4088] };
    // One byte is left for the end of the string.
    if name.len() > 255 || name.contains(&b'/') || name.contains(&0) {
        return Err(Errno::EINVAL.into());
    }
    arguments.name[..name.len()].copy_from_slice(name);
    Ok(arguments)
}
