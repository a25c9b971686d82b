//! What stands in a directory under a name, held so that it stays the same
//! thing however often the name changes its meaning.
//!
//! Everything is looked at through an `O_PATH` descriptor: that opens no FIFO
//! and wakes no device, and what is read afterwards is read from that very
//! object, not from whatever the name means by then.

use std::{
    ffi::{CStr, CString},
    fs::File,
    io,
    mem::MaybeUninit,
    os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd},
};

use nix::{
    errno::Errno,
    fcntl::{OFlag, open, openat},
    sys::{
        stat::{Mode, SFlag},
        statfs::{NFS_SUPER_MAGIC, fstatfs},
    },
};

use super::{Dir, open_beneath};
use crate::failpoint;

/// How often a name is looked at that is always something else by the time it
/// is opened.
const ATTEMPTS: u32 = 64;

/// A point in time: seconds, nanoseconds.
pub type Time = (i64, u32);

/// What `statx(2)` says of an object.
#[derive(Clone, Copy, Debug)]
pub struct Stat {
    /// The type, of `st_mode`.
    pub kind: SFlag,
    /// Permission bits, up to 07777.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// How many names it has.
    pub links: u32,
    /// Length, in bytes.
    pub size: u64,
    /// In units of 512 bytes.
    pub blocks: u64,
    /// The device it lies on: major, minor.
    pub device: (u32, u32),
    /// Its number there.
    pub inode: u64,
    /// What a device node stands for: major, minor.
    pub stands_for: (u32, u32),
    /// When it was last read.
    pub accessed: Time,
    /// When its content last changed.
    pub modified: Time,
    /// When anything of it last changed.
    pub changed: Time,
    /// Zero where the file system does not know it.
    pub born: Time,
    is_mount: Option<bool>,
}

impl Stat {
    /// What tells this object from all others of the machine.
    pub fn identity(&self) -> ((u32, u32), u64) {
        (self.device, self.inode)
    }

    /// It is a directory.
    pub fn is_directory(&self) -> bool {
        self.kind == SFlag::S_IFDIR
    }
}

/// What a name means.
#[derive(Debug)]
pub(super) enum Object {
    /// Nothing (any more).
    Gone,
    /// Something is mounted there.
    Mount {
        /// On a directory, not on a file.
        directory: bool,
    },
    /// This, whatever happens to the name: an `O_PATH` descriptor.
    Here(OwnedFd, Stat),
}

impl Object {
    /// What `name` means in `directory`; a symlink is itself.
    pub(super) fn find(directory: &impl AsFd, name: &CStr) -> io::Result<Self> {
        for _ in 0..ATTEMPTS {
            match open_beneath(directory, name, OFlag::O_PATH | OFlag::O_NOFOLLOW) {
                Ok(descriptor) => {
                    let stat = Stat::of(&descriptor)?;
                    return Ok(Self::Here(descriptor, stat));
                }
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(Self::Gone),
                // A mount, or a name that changed while it was looked up: the
                // kernel says the same of both.
                Err(error) if is_ambiguous(&error) => match statx_at(directory, name)? {
                    None => return Ok(Self::Gone),
                    Some(stat) if stat.is_mount(&Stat::of(directory)?) => {
                        return Ok(Self::Mount { directory: stat.is_directory() });
                    }
                    Some(_) => {}
                },
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::new(io::ErrorKind::ResourceBusy, "it changes faster than it can be read"))
    }
}

/// Whether an error of [`open_beneath`] says "a mount" or "a name that changed
/// meanwhile".
fn is_ambiguous(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EXDEV | libc::EAGAIN))
}

impl Stat {
    /// Of an open object. Where a server has the file system, as the server has it
    /// now; the kernel forgets what it knew of names in a directory that has changed.
    ///
    /// # Errors
    /// The kernel's.
    pub fn of(object: impl AsFd) -> io::Result<Self> {
        Ok(statx(object.as_fd(), c"", libc::AT_EMPTY_PATH | libc::AT_STATX_FORCE_SYNC)?)
    }

    /// Of an open object, as the kernel knows it without asking a server: of a file
    /// that was just made, what the server said of it then.
    ///
    /// # Errors
    /// The kernel's.
    pub(super) fn known(object: impl AsFd) -> io::Result<Self> {
        Ok(statx(object.as_fd(), c"", libc::AT_EMPTY_PATH | libc::AT_STATX_DONT_SYNC)?)
    }

    /// Of what `name` means just now in the directory that `above` is of; `None`
    /// if it is nothing (any more), or a mount.
    pub(super) fn at(directory: &Dir, name: &CStr, above: &Self) -> io::Result<Option<Self>> {
        Ok(statx_at(directory, name)?.filter(|stat| !stat.is_mount(above)))
    }

    /// Whether it is the top of a mount in the directory that `above` is of.
    pub(super) fn is_mount(&self, above: &Self) -> bool {
        // A kernel that cannot say so (before 5.8) shows another device.
        self.is_mount.unwrap_or(self.device != above.device)
    }
}

/// `None` if there is nothing called so. Of a mount, what is mounted.
pub(super) fn statx_at(directory: &impl AsFd, name: &CStr) -> io::Result<Option<Stat>> {
    match statx(directory.as_fd(), name, libc::AT_STATX_FORCE_SYNC) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::ENOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn statx(directory: BorrowedFd<'_>, name: &CStr, flags: libc::c_int) -> Result<Stat, Errno> {
    let flags = flags | libc::AT_SYMLINK_NOFOLLOW | libc::AT_NO_AUTOMOUNT;
    let wanted = libc::STATX_BASIC_STATS | libc::STATX_BTIME;
    let mut found = MaybeUninit::<libc::statx>::zeroed();
    #[expect(unsafe_code, reason = "no wrapper; the name is terminated, the struct is our own")]
    let result = unsafe {
        libc::statx(directory.as_raw_fd(), name.as_ptr(), flags, wanted, found.as_mut_ptr())
    };
    Errno::result(result)?;
    #[expect(unsafe_code, reason = "integers only: zeroes are a value, and the kernel wrote it")]
    let found = unsafe { found.assume_init() };
    let time = |time: libc::statx_timestamp| (time.tv_sec, time.tv_nsec);
    let mount = u64::try_from(libc::STATX_ATTR_MOUNT_ROOT).expect("one bit of 64");
    let mode = u32::from(found.stx_mode);
    Ok(Stat {
        kind: SFlag::from_bits_truncate(mode) & SFlag::S_IFMT,
        mode: mode & 0o7777,
        uid: found.stx_uid,
        gid: found.stx_gid,
        links: found.stx_nlink,
        size: found.stx_size,
        blocks: found.stx_blocks,
        device: (found.stx_dev_major, found.stx_dev_minor),
        inode: found.stx_ino,
        stands_for: (found.stx_rdev_major, found.stx_rdev_minor),
        accessed: time(found.stx_atime),
        modified: time(found.stx_mtime),
        changed: time(found.stx_ctime),
        born: time(found.stx_btime),
        is_mount: (found.stx_attributes_mask & mount != 0)
            .then_some(found.stx_attributes & mount != 0),
    })
}

/// The kernel's way from a descriptor to its object: `/proc/self/fd`.
#[derive(Debug)]
pub(super) struct Descriptors {
    descriptors: OwnedFd,
    /// What files are opened with besides.
    flags: OFlag,
}

impl Descriptors {
    /// For the objects of the file system that `top` lies on.
    ///
    /// On NFS files are opened with `O_DIRECT`, which asks for no alignment there: what
    /// is read comes from the server, and the client asks for no delegation. With one it
    /// would go on believing what it has in its cache, size and names included, since
    /// the server does not take it back for a write through another mount of this host:
    /// that is the same client.
    ///
    /// Saboteur `skip-direct-reads` opens them as on other file systems.
    pub(super) fn open(top: impl AsFd) -> io::Result<Self> {
        let remote = fstatfs(top)?.filesystem_type() == NFS_SUPER_MAGIC;
        let direct = remote && !failpoint::sabotaged("skip-direct-reads");
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Ok(Self {
            descriptors: open("/proc/self/fd", flags, Mode::empty())?,
            flags: if direct { OFlag::O_DIRECT } else { OFlag::empty() },
        })
    }

    /// Opens the regular file behind an `O_PATH` descriptor for reading. Its
    /// time of access stays as it is where the kernel lets us.
    pub(super) fn read(&self, object: &impl AsFd) -> io::Result<File> {
        let name = object.as_fd().as_raw_fd().to_string();
        quietly(|flags| {
            let flags = flags | self.flags | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
            Ok(openat(&self.descriptors, name.as_str(), flags, Mode::empty())?.into())
        })
    }

    /// A path that means the object behind a descriptor, a symlink included.
    pub(super) fn path(object: impl AsFd) -> CString {
        let path = format!("/proc/self/fd/{}", object.as_fd().as_raw_fd());
        CString::new(path).expect("no NUL in digits")
    }
}

/// Opens the directory behind an `O_PATH` descriptor for reading, as
/// [`Descriptors::read`] does a file.
pub(super) fn read_directory(object: impl AsFd) -> io::Result<Dir> {
    let descriptor =
        quietly(|flags| open_beneath(&object, ".", flags | OFlag::O_RDONLY | OFlag::O_DIRECTORY))?;
    Ok(Dir { descriptor })
}

/// Opens with `O_NOATIME`, which only the owner and root may: else without.
pub(super) fn quietly<T>(open: impl Fn(OFlag) -> io::Result<T>) -> io::Result<T> {
    match open(OFlag::O_NOATIME) {
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => open(OFlag::empty()),
        other => other,
    }
}
