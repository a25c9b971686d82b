//! The content of a regular file: cloned, or copied with its holes.

use std::{
    fs::File,
    io,
    os::{
        fd::{AsFd, AsRawFd as _},
        unix::fs::FileExt as _,
    },
};

use berth_api::Result;
use nix::{
    errno::Errno,
    fcntl::copy_file_range,
    unistd::{Whence, ftruncate, lseek},
};

use crate::failpoint;

/// Bytes between two looks at whether the copy is still wanted.
const STEP: u64 = 16 << 20;

/// Bytes at a time where the kernel does not copy by itself.
const PIECE: usize = 256 << 10;

mod call {
    nix::ioctl_write_int!(clone, 0x94, 9);
}

/// Makes `target` share all of `source`'s content.
///
/// # Errors
/// The kernel's; see [`is_for_this_file`].
pub(super) fn clone(source: impl AsFd, target: impl AsFd) -> io::Result<()> {
    let source = libc::c_ulong::try_from(source.as_fd().as_raw_fd()).expect("not negative");
    let target = target.as_fd().as_raw_fd();
    failpoint::hit("copy.clone-range")?;
    #[expect(unsafe_code, reason = "an ioctl that takes an integer: the source's descriptor")]
    let cloned = unsafe { call::clone(target, source) };
    cloned?;
    Ok(())
}

/// Whether a file system that clones refuses to clone this one file: an active
/// swap file, one on the real-time device of XFS, one that is encrypted otherwise.
pub(super) fn is_for_this_file(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    matches!(code, Some(libc::EINVAL | libc::EOPNOTSUPP | libc::ETXTBSY))
}

/// Copies content from a source that has `size` bytes, leaving out what the
/// kernel says are holes. A source that shrinks meanwhile gives a shorter copy.
#[derive(Debug)]
pub(super) struct Copying<'a> {
    pub(super) source: &'a File,
    pub(super) target: &'a File,
    pub(super) size: u64,
    /// For what the kernel does not copy by itself; grows as needed.
    pub(super) piece: &'a mut Vec<u8>,
}

/// What stops a copy: the kernel, or who asked for it.
pub(super) enum Stop {
    Kernel(io::Error),
    Asked(berth_api::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Kernel(error)
    }
}

impl From<Errno> for Stop {
    fn from(error: Errno) -> Self {
        Self::Kernel(error.into())
    }
}

impl Copying<'_> {
    /// Copies; `step` is told of each piece and can stop it.
    pub(super) fn run(mut self, step: &mut dyn FnMut(u64) -> Result<()>) -> Result<(), Stop> {
        let (mut at, mut written) = (0, 0);
        while at < self.size {
            let Some((data, hole)) = extent(self.source, at, self.size)? else { break };
            written = self.extend(data, hole, step)?;
            at = hole;
            if written < hole {
                // It has become shorter.
                return Ok(());
            }
        }
        if written < self.size {
            // A hole at the end; unless that is where it was cut off.
            let size = self.size.min(self.source.metadata()?.len());
            if written < size {
                failpoint::hit("copy.size")?;
                ftruncate(self.target, offset(size))?;
            }
        }
        Ok(())
    }

    /// Copies from `start` to `end`, and says how far it came.
    fn extend(
        &mut self,
        start: u64,
        end: u64,
        step: &mut dyn FnMut(u64) -> Result<()>,
    ) -> Result<u64, Stop> {
        let mut at = start;
        while at < end {
            let length = usize::try_from((end - at).min(STEP)).expect("a step fits");
            let copied = match self.by_kernel(at, length)? {
                Some(copied) => copied,
                None => self.by_hand(at, length)?,
            };
            if copied == 0 {
                break;
            }
            at += copied as u64;
            step(copied as u64).map_err(Stop::Asked)?;
        }
        Ok(at)
    }

    /// `None` if the kernel does not, or claims that there is nothing (some file
    /// systems say so of files they cannot copy).
    fn by_kernel(&self, at: u64, length: usize) -> io::Result<Option<usize>> {
        let (mut from, mut to) = (offset(at), offset(at));
        failpoint::hit("copy.range")?;
        match copy_file_range(self.source, Some(&mut from), self.target, Some(&mut to), length) {
            Ok(0)
            | Err(
                Errno::EXDEV
                | Errno::EINVAL
                | Errno::EINTR
                | Errno::ENOSYS
                | Errno::EOPNOTSUPP
                | Errno::ETXTBSY,
            ) => Ok(None),
            other => Ok(Some(other?)),
        }
    }

    fn by_hand(&mut self, at: u64, length: usize) -> io::Result<usize> {
        self.piece.resize(PIECE, 0);
        let piece = &mut self.piece[..length.min(PIECE)];
        let read = self.source.read_at(piece, at)?;
        failpoint::hit("copy.write")?;
        self.target.write_all_at(&piece[..read], at)?;
        Ok(read)
    }
}

/// The next piece of a file of `size` bytes, from `at` on, that is not a hole: its
/// beginning and its end; `None` if the rest is one.
///
/// # Errors
/// The kernel's.
pub fn extent(file: &File, at: u64, size: u64) -> io::Result<Option<(u64, u64)>> {
    let data = match lseek(file, offset(at), Whence::SeekData) {
        Ok(data) => data.cast_unsigned(),
        Err(Errno::ENXIO) => return Ok(None),
        // Knows no holes.
        Err(Errno::EINVAL | Errno::EOPNOTSUPP) => return Ok(Some((at, size))),
        Err(error) => return Err(error.into()),
    };
    if data >= size {
        return Ok(None);
    }
    match lseek(file, offset(data), Whence::SeekHole) {
        Ok(hole) => Ok(Some((data, hole.cast_unsigned().min(size)))),
        Err(Errno::ENXIO) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn offset(bytes: u64) -> libc::off_t {
    bytes.cast_signed()
}
