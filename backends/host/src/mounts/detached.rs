//! Bind mounts that get their flags before anybody can see them: a detached copy
//! (`open_tree`), its attributes (`mount_setattr`), and only then the place
//! (`move_mount`). Neither libc nor nix wraps these calls.

use std::{
    ffi::{CString, c_int},
    io,
    os::{
        fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

use nix::errno::Errno;

use super::BindFlags;
use crate::failpoint;

/// `struct mount_attr` of `linux/mount.h`, in its first and only version.
#[repr(C)]
struct Attributes {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

const NOSUID: u64 = 0x2;
const NODEV: u64 = 0x4;

/// As [`super::bind`]; ENOSYS, with nothing done, where a call is missing.
pub(super) fn bind(source: BorrowedFd<'_>, target: &Path, flags: BindFlags) -> io::Result<()> {
    let target = CString::new(target.as_os_str().as_bytes())?;
    let copy = open_tree(source)?;
    let mut set = 0;
    if !flags.suid {
        set |= NOSUID;
    }
    if !flags.dev {
        set |= NODEV;
    }
    // Private, lest what is mounted below the pool's directory appears in the
    // volume and keeps it busy. Where the mountpoint's parent is shared, the
    // kernel gives the copy a peer group of its own.
    let propagation = libc::MS_PRIVATE;
    set_attributes(&copy, &Attributes { set, clear: 0, propagation, user_namespace: 0 })?;
    move_mount(&copy, &target)
}

fn open_tree(source: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let flags =
        libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC | libc::AT_EMPTY_PATH.cast_unsigned();
    failpoint::hit("mounts.open-tree")?;
    #[expect(unsafe_code, reason = "no wrapper; the empty string is static and terminated")]
    let result =
        unsafe { libc::syscall(libc::SYS_open_tree, source.as_raw_fd(), c"".as_ptr(), flags) };
    let descriptor = RawFd::try_from(Errno::result(result)?).expect("a descriptor is an int");
    #[expect(unsafe_code, reason = "the kernel has just made this descriptor for us alone")]
    let copy = unsafe { OwnedFd::from_raw_fd(descriptor) };
    Ok(copy)
}

fn set_attributes(copy: &OwnedFd, attributes: &Attributes) -> io::Result<()> {
    failpoint::hit("mounts.set-attributes")?;
    #[expect(unsafe_code, reason = "no wrapper; the kernel reads `size` bytes of a live struct")]
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            copy.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            std::ptr::from_ref(attributes),
            size_of::<Attributes>(),
        )
    };
    Errno::result(result)?;
    Ok(())
}

fn move_mount(copy: &OwnedFd, target: &CString) -> io::Result<()> {
    let from: c_int = copy.as_raw_fd();
    failpoint::hit("mounts.move-mount")?;
    #[expect(unsafe_code, reason = "no wrapper; both strings are live and terminated")]
    let result = unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            from,
            c"".as_ptr(),
            libc::AT_FDCWD,
            target.as_ptr(),
            libc::MOVE_MOUNT_F_EMPTY_PATH,
        )
    };
    Errno::result(result)?;
    Ok(())
}
