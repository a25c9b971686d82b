//! Files that stand behind a block device: sparse, private, as long as the device.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _},
    },
    path::Path,
};

use nix::{
    fcntl::{AT_FDCWD, AtFlags, OFlag, openat},
    sys::{
        stat::{Mode, SFlag, fstatat},
        statvfs::fstatvfs,
    },
    unistd::{fsync, ftruncate},
};

use crate::{beneath::Dir, failpoint};

/// An open file, for reading and writing.
#[derive(Debug)]
pub struct Backing {
    file: File,
}

/// The lock of a file, until it is dropped.
#[derive(Debug)]
pub struct Locked(File);

/// What a file takes, and what it may still take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Its length in bytes.
    pub length: u64,
    /// What it has of that on disk.
    pub allocated: u64,
    /// Free bytes of the file system it lies on.
    pub free: u64,
}

impl Backing {
    /// Opens the regular file at `path`, whose folder is trusted; not through a
    /// link.
    ///
    /// # Errors
    /// The kernel's; `InvalidData` if it is no regular file.
    pub fn open(path: &Path) -> io::Result<Self> {
        // Looked at before it is opened: opening a device can do something.
        let found = fstatat(AT_FDCWD, path, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        let kind = SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT;
        let wrong = || io::Error::new(io::ErrorKind::InvalidData, "not a regular file");
        if kind != SFlag::S_IFREG {
            return Err(wrong());
        }
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
        let file = OpenOptions::new().read(true).write(true).custom_flags(flags).open(path)?;
        if !file.metadata()?.is_file() {
            return Err(wrong());
        }
        Ok(Self { file })
    }

    /// Makes the sparse file `name` of `length` bytes in `folder`, 0600. Refuses an
    /// existing name. Not synced.
    ///
    /// # Errors
    /// The kernel's.
    pub fn make(folder: &Dir, name: &str, length: u64) -> io::Result<Self> {
        failpoint::hit("backing.make")?;
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
        let made =
            Self { file: openat(folder, name, flags, Mode::from_bits_truncate(0o600))?.into() };
        made.set_length(length)?;
        Ok(made)
    }

    /// Makes it longer, durably. What is added is a hole.
    ///
    /// # Errors
    /// The kernel's; `InvalidInput` rather than to cut anything off.
    pub fn extend(&self, length: u64) -> io::Result<()> {
        if length < self.length()? {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it would become shorter"));
        }
        self.set_length(length)?;
        self.sync()
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        let length = length.try_into().map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
        failpoint::hit("backing.set-length")?;
        Ok(ftruncate(&self.file, length)?)
    }

    /// Syncs content and length, not the directory.
    ///
    /// # Errors
    /// The kernel's.
    pub fn sync(&self) -> io::Result<()> {
        failpoint::hit("backing.sync")?;
        Ok(fsync(&self.file)?)
    }

    /// Its length in bytes.
    ///
    /// # Errors
    /// The kernel's.
    pub fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Its permission bits.
    ///
    /// # Errors
    /// The kernel's.
    pub fn mode(&self) -> io::Result<u32> {
        Ok(self.file.metadata()?.mode() & 0o7777)
    }

    /// What it takes and may still take.
    ///
    /// # Errors
    /// The kernel's.
    pub fn extent(&self) -> io::Result<Extent> {
        let (file, system) = (self.file.metadata()?, fstatvfs(&self.file)?);
        Ok(Extent {
            length: file.len(),
            // In units of 512 bytes, whatever the file system's blocks are.
            allocated: file.blocks().saturating_mul(512),
            free: system.blocks_available().saturating_mul(system.fragment_size()),
        })
    }

    /// The first bytes of it; what a shorter file does not have stays zero.
    ///
    /// # Errors
    /// The kernel's.
    pub fn head<const LENGTH: usize>(&self) -> io::Result<[u8; LENGTH]> {
        let (mut head, mut done) = ([0; LENGTH], 0);
        while done < LENGTH {
            match self.file.read_at(&mut head[done..], done as u64)? {
                0 => break,
                read => done += read,
            }
        }
        Ok(head)
    }

    /// Takes the file's lock without waiting; `None` if another process has it. To
    /// be taken through an open file of its own: a device keeps the one that it was
    /// given, and the lock with it.
    ///
    /// # Errors
    /// The kernel's.
    pub fn try_lock(self) -> io::Result<Option<Locked>> {
        match self.file.try_lock() {
            Ok(()) => Ok(Some(Locked(self.file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

impl Drop for Locked {
    /// A child that another thread is just starting has a copy of the open file,
    /// and would hold the lock for a moment more.
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

impl AsFd for Backing {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    #[test]
    fn it_is_sparse_and_private_and_only_grows() {
        let stage = tempfile::tempdir().expect("a temporary directory");
        let folder = Dir::open(stage.path()).expect("opened");
        let backing = Backing::make(&folder, "a", 1 << 30).expect("made");
        let extent = backing.extent().expect("readable");
        assert_eq!(extent.length, 1 << 30);
        assert!(extent.allocated < 1 << 20, "{extent:?}");
        let mode = fs::metadata(stage.path().join("a")).expect("there").permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
        assert!(Backing::make(&folder, "a", 1).is_err(), "it exists");
        backing.extend(2 << 30).expect("longer");
        assert!(backing.extend(1 << 30).is_err(), "shorter");
        assert_eq!(backing.length().expect("readable"), 2 << 30);
        assert_eq!(backing.head::<4>().expect("readable"), [0; 4]);
    }

    #[test]
    fn only_a_regular_file_is_opened() {
        let stage = tempfile::tempdir().expect("a temporary directory");
        fs::write(stage.path().join("a"), "x").expect("written");
        std::os::unix::fs::symlink("a", stage.path().join("link")).expect("linked");
        for (name, good) in [("a", true), ("link", false), (".", false), ("none", false)] {
            assert_eq!(Backing::open(&stage.path().join(name)).is_ok(), good, "{name}");
        }
        let null = Backing::open(Path::new("/dev/null")).expect_err("a device");
        assert_eq!(null.kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn the_lock_is_one_open_files() {
        let stage = tempfile::tempdir().expect("a temporary directory");
        let path = stage.path().join("a");
        fs::write(&path, "x").expect("written");
        let take = || Backing::open(&path).expect("opened").try_lock().expect("lockable");
        let first = take();
        assert!(first.is_some() && take().is_none());
        drop(first);
        assert!(take().is_some());
    }
}
