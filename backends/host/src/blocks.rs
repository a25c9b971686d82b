//! Image files and block devices, read as blocks.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::Path,
};

use berth_api::{BlockReader, Extent};
use nix::{
    errno::Errno,
    sys::stat::{SFlag, fstat},
    unistd::{Whence, lseek},
};

/// An open image or device. Reading does not move its position, asking for extents
/// does: give it a descriptor of its own.
#[derive(Debug)]
pub struct Blocks {
    file: File,
    size: u64,
}

impl Blocks {
    /// Opens the image file or block device at `path`, whose folder is trusted; not
    /// through a link.
    ///
    /// # Errors
    /// The kernel's; `InvalidData` if it is something else.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
        Self::of(OpenOptions::new().read(true).custom_flags(flags).open(path)?)
    }

    /// What is open as `file`.
    ///
    /// # Errors
    /// The kernel's; `InvalidData` if it is neither a file nor a block device.
    pub fn of(file: File) -> io::Result<Self> {
        let kind = SFlag::from_bits_truncate(fstat(&file)?.st_mode) & SFlag::S_IFMT;
        if kind != SFlag::S_IFREG && kind != SFlag::S_IFBLK {
            let wrong = "neither a regular file nor a block device";
            return Err(io::Error::new(io::ErrorKind::InvalidData, wrong));
        }
        // The end of a device is its size.
        let size = number(lseek(&file, 0, Whence::SeekEnd)?)?;
        Ok(Self { file, size })
    }

    /// Its length, in bytes, when it was opened.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// What holds data, in order. All of it where holes cannot be told, as on devices.
    ///
    /// # Errors
    /// The kernel's.
    pub fn allocated(&self) -> io::Result<Vec<Extent>> {
        let whole = || vec![Extent { offset: 0, length: self.size }];
        let mut found = Vec::new();
        let mut at = 0;
        while at < self.size {
            let data = match lseek(&self.file, place(at)?, Whence::SeekData) {
                Ok(data) => number(data)?,
                // No data from here on.
                Err(Errno::ENXIO) => break,
                Err(Errno::EINVAL | Errno::EOPNOTSUPP) => return Ok(whole()),
                Err(error) => return Err(error.into()),
            };
            let end = number(lseek(&self.file, place(data)?, Whence::SeekHole)?)?.min(self.size);
            // A file that becomes shorter meanwhile.
            if end <= data {
                break;
            }
            found.push(Extent { offset: data, length: end - data });
            at = end;
        }
        Ok(found)
    }
}

impl BlockReader for Blocks {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }
}

fn number(offset: i64) -> io::Result<u64> {
    u64::try_from(offset).map_err(io::Error::other)
}

fn place(offset: u64) -> io::Result<i64> {
    i64::try_from(offset).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_told_from_data() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("image");
        let file = File::create(&path).expect("an image");
        file.set_len(64 << 20).expect("a length");
        file.write_all_at(&[7; 4096], 16 << 20).expect("data");
        file.write_all_at(&[8; 4096], (64 << 20) - 4096).expect("data");
        let blocks = Blocks::open(&path).expect("an image");
        assert_eq!(blocks.size(), 64 << 20);
        let found = blocks.allocated().expect("extents");
        assert_eq!(found.len(), 2, "{found:?}");
        let bytes: u64 = found.iter().map(|extent| extent.length).sum();
        assert!(bytes < 4 << 20, "{found:?}");
        let mut buffer = [0; 4096];
        blocks.read_exact_at(&mut buffer, 16 << 20).expect("data");
        assert_eq!(buffer, [7; 4096]);
        assert!(blocks.read_exact_at(&mut buffer, (64 << 20) - 1).is_err(), "past the end");
        assert!(Blocks::open(Path::new("/dev/null")).is_err(), "a character device");
    }
}
