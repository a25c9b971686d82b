//! File systems on devices, mounted where nobody sees them: a mount that is in no
//! namespace and goes when the last descriptor of it is closed (`fsopen`,
//! `fsconfig`, `fsmount`). Neither libc nor nix wraps these calls.

use std::{
    ffi::{CStr, CString, c_char, c_int, c_uint},
    io,
    os::{
        fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
    ptr,
};

use nix::errno::Errno;

use crate::failpoint;

/// Numbers of `linux/mount.h`.
const CLOEXEC: c_uint = 1;
const SET_FLAG: c_uint = 0;
const SET_STRING: c_uint = 1;
const CREATE: c_uint = 6;
const READ_ONLY: c_uint = 0x1;
const NOSUID: c_uint = 0x2;
const NODEV: c_uint = 0x4;
const NOEXEC: c_uint = 0x8;

/// Mounts the file system `kind` on the block device `source` for reading, with the
/// file system's own `options`: each a flag, or a key and its value.
///
/// The answer is the top as a place (`O_PATH`). Nothing in it can be executed, no
/// set-ID bit or device works.
///
/// # Errors
/// The kernel's: EINVAL where it does not know an option, ENODEV where it does not
/// know the file system.
pub(crate) fn read_unseen(
    kind: &CStr,
    source: &Path,
    options: &[(&CStr, Option<&CStr>)],
) -> io::Result<OwnedFd> {
    let source = CString::new(source.as_os_str().as_bytes())?;
    let context = open(kind)?;
    configure(&context, SET_STRING, Some(c"source"), Some(&source))?;
    configure(&context, SET_FLAG, Some(c"ro"), None)?;
    for (key, value) in options {
        let command = if value.is_some() { SET_STRING } else { SET_FLAG };
        configure(&context, command, Some(key), *value)?;
    }
    configure(&context, CREATE, None, None)?;
    top_of(&context)
}

fn open(kind: &CStr) -> io::Result<OwnedFd> {
    failpoint::hit("mounts.open-context")?;
    #[expect(unsafe_code, reason = "no wrapper; the name is live and terminated")]
    let result = unsafe { libc::syscall(libc::SYS_fsopen, kind.as_ptr(), CLOEXEC) };
    descriptor(result)
}

fn configure(
    context: &OwnedFd,
    command: c_uint,
    key: Option<&CStr>,
    value: Option<&CStr>,
) -> io::Result<()> {
    let pointer = |text: Option<&CStr>| text.map_or(ptr::null::<c_char>(), CStr::as_ptr);
    let none: c_int = 0;
    failpoint::hit("mounts.configure-context")?;
    #[expect(unsafe_code, reason = "no wrapper; the strings are null, or live and terminated")]
    let result = unsafe {
        libc::syscall(
            libc::SYS_fsconfig,
            context.as_raw_fd(),
            command,
            pointer(key),
            pointer(value),
            none,
        )
    };
    Errno::result(result)?;
    Ok(())
}

fn top_of(context: &OwnedFd) -> io::Result<OwnedFd> {
    let attributes = READ_ONLY | NOSUID | NODEV | NOEXEC;
    failpoint::hit("mounts.mount-context")?;
    #[expect(unsafe_code, reason = "no wrapper; all arguments are numbers")]
    let result =
        unsafe { libc::syscall(libc::SYS_fsmount, context.as_raw_fd(), CLOEXEC, attributes) };
    descriptor(result)
}

fn descriptor(result: libc::c_long) -> io::Result<OwnedFd> {
    let descriptor = RawFd::try_from(Errno::result(result)?).expect("a descriptor is an int");
    #[expect(unsafe_code, reason = "the kernel has just made this descriptor for us alone")]
    let owned = unsafe { OwnedFd::from_raw_fd(descriptor) };
    Ok(owned)
}
