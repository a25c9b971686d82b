//! The kernel's side: ioctls and `quotactl(2)`, with the structs they take.
//!
//! One dialect serves all: since 4.1 the kernel answers the calls that XFS had
//! first (`linux/dqblk_xfs.h`) for every file system with quotas.

use std::{
    ffi::CString,
    io,
    os::fd::{AsRawFd as _, BorrowedFd},
};

use nix::sys::stat::{fstat, major, minor};

use crate::mounts::Table;

/// `struct fsxattr` of `linux/fs.h`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Attributes {
    pub(super) flags: u32,
    extent_size: u32,
    extents: u32,
    pub(super) project: u32,
    cow_extent_size: u32,
    padding: [u8; 8],
}

/// `FS_XFLAG_PROJINHERIT`: what is made in the directory gets its project.
pub(super) const INHERIT: u32 = 0x200;

/// `fs_disk_quota_t`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Quota {
    version: i8,
    flags: i8,
    fields: u16,
    id: u32,
    /// In units of [`BLOCK`].
    pub(super) hard_limit: u64,
    soft_limit: u64,
    inode_hard_limit: u64,
    inode_soft_limit: u64,
    /// In units of [`BLOCK`].
    pub(super) blocks: u64,
    pub(super) inodes: u64,
    timers: [i32; 2],
    warnings: [u16; 2],
    timers_high: [u8; 4],
    realtime: [u64; 3],
    rest: [u64; 2],
}

/// Bytes of a block in [`Quota`], whatever the file system's own.
pub(super) const BLOCK: u64 = 512;

impl Quota {
    /// What sets the limit of the project `id`, in units of [`BLOCK`]; 0 is none.
    pub(super) fn limit(id: u32, hard_limit: u64) -> Self {
        // `FS_DQUOT_VERSION`, `FS_PROJ_QUOTA`, `FS_DQ_BSOFT | FS_DQ_BHARD`: the
        // soft limit is taken away, the count of inodes has none anyway.
        Self { version: 1, flags: 2, fields: 0b1100, id, hard_limit, ..Self::default() }
    }
}

/// `struct fs_quota_statv`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Status {
    version: i8,
    padding: u8,
    pub(super) flags: u16,
    incore: u32,
    files: [[u64; 3]; 3],
    rest: [u64; 10],
}

/// `FS_QUOTA_PDQ_ACCT`, in [`Status::flags`].
pub(super) const COUNTED: u16 = 1 << 4;
/// `FS_QUOTA_PDQ_ENFD`, in [`Status::flags`].
pub(super) const ENFORCED: u16 = 1 << 5;

// `Q_X…`: 'X' << 8 and a number, then the kind of quota: 2 is projects.
const KIND: u32 = 2;
const GET_QUOTA: u32 = command(3);
const SET_LIMIT: u32 = command(4);
const GET_STATUS: u32 = command(8);

const fn command(number: u32) -> u32 {
    ((0x5800 | number) << 8) | KIND
}

mod ioctl {
    use super::Attributes;

    nix::ioctl_read!(get, b'X', 31, Attributes);
    nix::ioctl_write_ptr!(set, b'X', 32, Attributes);
}

pub(super) fn attributes(file: BorrowedFd<'_>) -> io::Result<Attributes> {
    let mut attributes = Attributes::default();
    #[expect(unsafe_code, reason = "an ioctl that fills a live struct of the size it names")]
    unsafe {
        ioctl::get(file.as_raw_fd(), &raw mut attributes)?;
    }
    Ok(attributes)
}

pub(super) fn set_attributes(file: BorrowedFd<'_>, attributes: &Attributes) -> io::Result<()> {
    #[expect(unsafe_code, reason = "an ioctl that reads a live struct of the size it names")]
    unsafe {
        ioctl::set(file.as_raw_fd(), &raw const *attributes)?;
    }
    Ok(())
}

pub(super) fn quota(file: BorrowedFd<'_>, id: u32) -> io::Result<Quota> {
    let mut quota = Quota::default();
    control(file, GET_QUOTA, id, (&raw mut quota).cast())?;
    Ok(quota)
}

pub(super) fn set_limit(file: BorrowedFd<'_>, quota: &Quota) -> io::Result<()> {
    let mut quota = *quota;
    control(file, SET_LIMIT, quota.id, (&raw mut quota).cast())
}

pub(super) fn status(file: BorrowedFd<'_>) -> io::Result<Status> {
    // `FS_QSTATV_VERSION1`.
    let mut status = Status { version: 1, ..Status::default() };
    control(file, GET_STATUS, 0, (&raw mut status).cast())?;
    Ok(status)
}

/// One call on the file system that `file` lies on. `argument` points to the
/// struct that `command` takes.
fn control(
    file: BorrowedFd<'_>,
    command: u32,
    id: u32,
    argument: *mut libc::c_void,
) -> io::Result<()> {
    match by_descriptor(file, command, id, argument) {
        // Before 5.14 there was only the call by device.
        Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => {
            by_device(file, command, id, argument)
        }
        other => other,
    }
}

fn by_descriptor(
    file: BorrowedFd<'_>,
    command: u32,
    id: u32,
    argument: *mut libc::c_void,
) -> io::Result<()> {
    #[expect(unsafe_code, reason = "callers pass a live struct of the size `command` names")]
    let result =
        unsafe { libc::syscall(libc::SYS_quotactl_fd, file.as_raw_fd(), command, id, argument) };
    answer(result)
}

fn by_device(
    file: BorrowedFd<'_>,
    command: u32,
    id: u32,
    argument: *mut libc::c_void,
) -> io::Result<()> {
    let device = device(file)?;
    #[expect(unsafe_code, reason = "as above; the path ends with a NUL and outlives the call")]
    let result =
        unsafe { libc::syscall(libc::SYS_quotactl, command, device.as_ptr(), id, argument) };
    answer(result)
}

fn answer(result: libc::c_long) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The block device of the file system that `file` lies on.
fn device(file: BorrowedFd<'_>) -> io::Result<CString> {
    let number = fstat(file)?.st_dev;
    let (major, minor) = (major(number), minor(number));
    let table = Table::read()?;
    let mount = table.mounts.iter().find(|mount| {
        (u64::from(mount.device.0), u64::from(mount.device.1)) == (major, minor)
            && mount.source.starts_with('/')
    });
    mount
        .and_then(|mount| CString::new(mount.source.as_str()).ok())
        .ok_or_else(|| io::Error::from_raw_os_error(libc::ENOSYS))
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use super::*;

    #[test]
    fn structs_are_as_large_as_the_kernels() {
        assert_eq!(size_of::<Attributes>(), 28);
        assert_eq!(size_of::<Quota>(), 112);
        assert_eq!(size_of::<Status>(), 160);
        assert_eq!(std::mem::offset_of!(Quota, blocks), 40);
        assert_eq!(GET_QUOTA, 0x0058_0302);
    }

    type Call = fn(BorrowedFd<'_>, u32, u32, *mut libc::c_void) -> io::Result<()>;

    /// In the guest of `scripts/vm` with quotas, elsewhere perhaps without.
    #[test]
    fn old_kernels_say_the_same() {
        let place = std::fs::File::open("/var/tmp").expect("a directory");
        let [new, old] = [by_descriptor as Call, by_device as Call].map(|call| {
            let mut status = Status { version: 1, ..Status::default() };
            call(place.as_fd(), GET_STATUS, 0, (&raw mut status).cast())
                .map(|()| status.flags)
                .map_err(|error| error.raw_os_error())
        });
        assert_eq!(new, old);
    }
}
