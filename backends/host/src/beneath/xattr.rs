//! Extended attributes of open objects, and of those that cannot be opened.
//! Neither libc's wrappers nor the kernel's calls have a safe one in `nix`.

use std::{
    ffi::{CStr, CString},
    io,
    os::fd::{AsFd, AsRawFd as _, BorrowedFd},
};

use nix::errno::Errno;

use super::object::Descriptors;
use crate::failpoint;

/// What the kernel lets a list, and a value, be long.
pub(crate) const LONGEST: usize = 64 << 10;

/// Whose attributes.
#[derive(Debug)]
pub(crate) enum Holder<'a> {
    /// A file or directory, open.
    Open(BorrowedFd<'a>),
    /// Anything held by an `O_PATH` descriptor: a path that means it.
    Path(CString),
}

impl<'a> Holder<'a> {
    pub(crate) fn open(object: &'a impl AsFd) -> Self {
        Self::Open(object.as_fd())
    }

    /// `object` has to stay open.
    pub(crate) fn held(object: &'a impl AsFd) -> Self {
        Self::Path(Descriptors::path(object))
    }

    /// Reads the names, each with a NUL, into `buffer`; none where the file
    /// system has no attributes.
    pub(crate) fn list<'b>(&self, buffer: &'b mut [u8]) -> io::Result<&'b [u8]> {
        let (start, length) = (buffer.as_mut_ptr().cast(), buffer.len());
        #[expect(
            unsafe_code,
            reason = "no wrapper; the kernel writes into a buffer of that length"
        )]
        let result = unsafe {
            match self {
                Self::Open(object) => libc::flistxattr(object.as_raw_fd(), start, length),
                Self::Path(path) => libc::listxattr(path.as_ptr(), start, length),
            }
        };
        match Errno::result(result) {
            Err(Errno::EOPNOTSUPP) => Ok(&[]),
            other => Ok(&buffer[..length_of(other?)]),
        }
    }

    /// Reads a value into `buffer`; `None` if it is gone.
    pub(crate) fn get<'b>(
        &self,
        name: &CStr,
        buffer: &'b mut [u8],
    ) -> io::Result<Option<&'b [u8]>> {
        let (start, length) = (buffer.as_mut_ptr().cast(), buffer.len());
        let name = name.as_ptr();
        #[expect(
            unsafe_code,
            reason = "no wrapper; the kernel writes into a buffer of that length"
        )]
        let result = unsafe {
            match self {
                Self::Open(object) => libc::fgetxattr(object.as_raw_fd(), name, start, length),
                Self::Path(path) => libc::getxattr(path.as_ptr(), name, start, length),
            }
        };
        match Errno::result(result) {
            Err(Errno::ENODATA) => Ok(None),
            other => Ok(Some(&buffer[..length_of(other?)])),
        }
    }

    /// Sets a value.
    pub(crate) fn set(&self, name: &CStr, value: &[u8]) -> Result<(), Errno> {
        let (start, length) = (value.as_ptr().cast(), value.len());
        let name = name.as_ptr();
        failpoint::hit("xattr.set")
            .map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))?;
        #[expect(unsafe_code, reason = "no wrapper; the kernel reads a slice of that length")]
        let result = unsafe {
            match self {
                Self::Open(object) => libc::fsetxattr(object.as_raw_fd(), name, start, length, 0),
                Self::Path(path) => libc::setxattr(path.as_ptr(), name, start, length, 0),
            }
        };
        Errno::result(result).map(drop)
    }

    /// Removes an attribute; success if there is none.
    pub(crate) fn remove(&self, name: &CStr) -> Result<(), Errno> {
        let name = name.as_ptr();
        #[expect(unsafe_code, reason = "no wrapper; both strings are terminated")]
        let result = unsafe {
            match self {
                Self::Open(object) => libc::fremovexattr(object.as_raw_fd(), name),
                Self::Path(path) => libc::removexattr(path.as_ptr(), name),
            }
        };
        match Errno::result(result) {
            Err(Errno::ENODATA | Errno::EOPNOTSUPP) => Ok(()),
            other => other.map(drop),
        }
    }
}

fn length_of(result: isize) -> usize {
    usize::try_from(result).expect("errors are gone")
}
