//! Images of file systems, mounted to be read where nobody else sees them.
//!
//! An image may come from anywhere and is not trusted: only the file systems below
//! are mounted, each with all it consists of in the one file, and without letting it
//! choose what the kernel does on errors. Nothing in it can be executed, no set-ID
//! bit or device works, and nothing is written to it but its own journal.
//!
//! | file system | told by | options |
//! |---|---|---|
//! | ext4, ext3, ext2 | 0xEF53 at 1080 | `errors=remount-ro`: the image may say `panic` |
//! | XFS | `XFSB` at 0 | `nouuid`: its origin may be mounted here too |
//! | Btrfs | `_BHRfS_M` at 65600 | – |

use std::{
    ffi::CStr,
    fs::File,
    io,
    os::{fd::AsRawFd as _, unix::fs::FileExt as _},
};

use berth_api::{Context as _, Error, ErrorKind, Result};

use crate::{beneath::Dir, loopdev::LoopDevice, mounts};

/// What becomes of what the journal holds and the file system does not yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Journal {
    /// It is written into the image first, as after a power cut: nobody else may use
    /// the image.
    Replay,
    /// The image stays as it is, byte for byte. What was written last may be missing
    /// or damaged if the file system was in use.
    Ignore,
}

/// An image that is mounted until this is dropped, and everything that was opened
/// through it.
#[derive(Debug)]
pub struct MountedImage {
    // Order matters: the device frees itself when nothing is mounted on it.
    top: Dir,
    _device: LoopDevice,
}

/// File systems that are mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Ext4,
    Xfs,
    Btrfs,
}

type Options = &'static [(&'static CStr, Option<&'static CStr>)];

/// Where the superblocks lie. Offsets as in `fs/ext4/ext4.h`, `struct
/// ext4_super_block`, little endian, and in `fs/btrfs/accessors.h`.
const EXT4: u64 = 1024;
const BTRFS: u64 = 64 << 10;

impl MountedImage {
    /// Mounts the image in `file`, which is all of it.
    ///
    /// # Errors
    /// `Unsupported` if it is no file system of the list above, or not all of one;
    /// `Busy` if there is a loop device over it; `Corrupt` or `Unsupported` if the kernel
    /// cannot make sense of it; `Unavailable` otherwise.
    pub fn open(file: &File, journal: Journal) -> Result<Self> {
        let what = || "mount the image";
        let kind = Kind::of(file)?;
        if LoopDevice::find(file).context(what)?.is_some() {
            return Err(Error::busy("there is a loop device over the image"));
        }
        let device = match journal {
            Journal::Replay => LoopDevice::attach(file, SECTOR),
            // Opened anew: the kernel looks at how the file was opened.
            Journal::Ignore => File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))
                .and_then(|file| LoopDevice::attach_read_only(file, SECTOR)),
        };
        let device = device.map_err(|error| {
            let missing = error.kind() == io::ErrorKind::NotFound;
            let error = Error::unavailable("make a loop device for the image").with_source(error);
            if missing { error.with_hint("modprobe loop") } else { error }
        })?;
        let mounted = mounts::read_unseen(kind.name(), device.path(), kind.options(journal));
        let top = mounted.and_then(Dir::from_fd).map_err(|error| kind.refusal(error))?;
        Ok(Self { top, _device: device })
    }

    /// Opens a directory of it, `.` for its top. As long as that is open, the image
    /// stays mounted.
    ///
    /// # Errors
    /// As [`Dir::open_dir`].
    pub fn open_dir(&self, name: &str) -> io::Result<Dir> {
        self.top.open_dir(name)
    }
}

/// No file system asks for larger sectors than these.
const SECTOR: u32 = 512;

impl Kind {
    fn of(file: &File) -> Result<Self> {
        let foreign = |why: &str| Error::unsupported(format!("the image {why}"));
        if &bytes::<4>(file, 0)? == b"XFSB" {
            return Ok(Self::Xfs);
        }
        if u16::from_le_bytes(bytes(file, EXT4 + 0x38)?) == 0xef53 {
            // The kernel would open the device of that number, whosever it is.
            if u32::from_le_bytes(bytes(file, EXT4 + 0xe4)?) != 0 {
                return Err(foreign("has its journal on another device"));
            }
            // They count as ours do, and may name such a device too.
            if bytes::<1>(file, EXT4 + 0x200)? != [0] {
                return Err(foreign("has options of its own for mounting (`tune2fs -E`)"));
            }
            return Ok(Self::Ext4);
        }
        if &bytes::<8>(file, BTRFS + 0x40)? == b"_BHRfS_M" {
            if u64::from_le_bytes(bytes(file, BTRFS + 0x88)?) != 1 {
                return Err(foreign("is one of several devices of a Btrfs"));
            }
            return Ok(Self::Btrfs);
        }
        Err(foreign("holds neither ext4 nor XFS nor Btrfs"))
    }

    fn name(self) -> &'static CStr {
        match self {
            // Also of what was before it.
            Self::Ext4 => c"ext4",
            Self::Xfs => c"xfs",
            Self::Btrfs => c"btrfs",
        }
    }

    fn options(self, journal: Journal) -> Options {
        match (self, journal) {
            (Self::Ext4, Journal::Replay) => &[(c"errors", Some(c"remount-ro"))],
            (Self::Ext4, Journal::Ignore) => &[(c"errors", Some(c"remount-ro")), (c"noload", None)],
            (Self::Xfs, Journal::Replay) => &[(c"nouuid", None)],
            (Self::Xfs, Journal::Ignore) => &[(c"nouuid", None), (c"norecovery", None)],
            (Self::Btrfs, Journal::Replay) => &[],
            (Self::Btrfs, Journal::Ignore) => &[(c"rescue", Some(c"nologreplay"))],
        }
    }

    /// What the kernel's error means where a file system is mounted.
    fn refusal(self, error: io::Error) -> Error {
        let kind = match error.raw_os_error() {
            Some(libc::EUCLEAN | libc::EINVAL | libc::EIO | libc::EBADMSG) => ErrorKind::Corrupt,
            // The file system is not there, or not with such blocks.
            Some(libc::ENODEV | libc::ENOSYS) => ErrorKind::Unsupported,
            _ => ErrorKind::Unavailable,
        };
        let name = self.name().to_string_lossy();
        Error::new(kind, format!("mount the image, which holds {name}"))
            .with_source(error)
            .with_hint("dmesg says why")
    }
}

/// What is at `offset`; zeros past the end.
fn bytes<const N: usize>(file: &File, offset: u64) -> Result<[u8; N]> {
    let mut bytes = [0; N];
    match file.read_exact_at(&mut bytes, offset) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok([0; N]),
        other => other.map(|()| bytes).context(|| "read the image"),
    }
}
