//! Loop devices: block devices whose blocks are a file's.
//!
//! There must never be two devices over one file: each would cache what the other
//! writes. So a device is looked for before one is made, by device and inode of
//! the file behind it and not by a name; callers lock the file over both steps.

#[cfg(test)]
mod tests;

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::{
        fd::{AsFd, AsRawFd as _, BorrowedFd},
        unix::fs::FileTypeExt as _,
    },
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    sys::stat::{fstat, major, minor},
};

use crate::failpoint;

const CONTROL: &str = "/dev/loop-control";
/// How often another process may take the free device before we do.
const TRIES: u32 = 64;

/// Flags of `linux/loop.h`.
const READ_ONLY: u32 = 1;
const AUTOCLEAR: u32 = 4;
const DIRECT_IO: u32 = 16;

/// `struct loop_info64` of `linux/loop.h`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Status {
    device: u64,
    inode: u64,
    special: u64,
    offset: u64,
    limit: u64,
    number: u32,
    encryption: u32,
    key_size: u32,
    flags: u32,
    names: [[u8; 64]; 2],
    key: [u8; 32],
    initial: [u64; 2],
}

/// `struct loop_config` of `linux/loop.h`.
#[repr(C)]
struct Configuration {
    descriptor: u32,
    block_size: u32,
    status: Status,
    reserved: [u64; 8],
}

mod call {
    use super::{Configuration, Status};

    // Numbers from before the kernel had a scheme for them.
    nix::ioctl_write_int_bad!(set_descriptor, 0x4c00);
    nix::ioctl_none_bad!(clear, 0x4c01);
    nix::ioctl_write_ptr_bad!(set_status, 0x4c04, Status);
    nix::ioctl_read_bad!(status, 0x4c05, Status);
    nix::ioctl_none_bad!(set_capacity, 0x4c07);
    nix::ioctl_write_int_bad!(set_direct, 0x4c08);
    nix::ioctl_write_int_bad!(set_block_size, 0x4c09);
    nix::ioctl_write_ptr_bad!(configure, 0x4c0a, Configuration);
    nix::ioctl_none_bad!(get_free, 0x4c82);
    nix::ioctl_read!(size, 0x12, 114, usize);
}

/// An open loop device. As long as it is open (or mounted) it stays; the last one
/// to let go of it makes it free again.
#[derive(Debug)]
pub struct LoopDevice {
    device: File,
    path: PathBuf,
}

impl LoopDevice {
    /// The device over `file`, if there is one, whoever made it.
    ///
    /// # Errors
    /// The kernel's, also where it cannot be told.
    pub fn find(file: impl AsFd) -> io::Result<Option<Self>> {
        let wanted = fstat(file)?;
        for entry in fs::read_dir("/sys/block")? {
            let entry = entry?;
            // The folder is there while the device has a file.
            if !entry.path().join("loop").exists() {
                continue;
            }
            // Enough to ask and to grow, and possible where a device is read-only.
            let path = Path::new("/dev").join(entry.file_name());
            let device = match Self::open(&path, OpenOptions::new().read(true)) {
                // It may have gone meanwhile, or be one that this process' `/dev`
                // does not have: then the file of it cannot be ours to mount.
                Err(error) if is_gone(&error) => continue,
                other => other?,
            };
            match device.status() {
                Ok(status) if (status.device, status.inode) == (wanted.st_dev, wanted.st_ino) => {
                    return Ok(Some(device));
                }
                Err(error) if !is_gone(&error) => return Err(error),
                _ => {}
            }
        }
        Ok(None)
    }

    /// A new device over the whole of `file`, which frees itself, with blocks of
    /// `block_size` bytes, past the page cache where the file's file system lets it
    /// ([`is_direct`](Self::is_direct) says so).
    ///
    /// # Errors
    /// The kernel's; the file is free again then.
    pub fn attach(file: impl AsFd, block_size: u32) -> io::Result<Self> {
        Self::with(file.as_fd(), block_size, DIRECT_IO)
    }

    /// A new device as [`attach`](Self::attach) makes it, which cannot be written. What
    /// the page cache has of `file` is used. It was opened for reading only.
    ///
    /// # Errors
    /// The kernel's; the file is free again then.
    pub fn attach_read_only(file: impl AsFd, block_size: u32) -> io::Result<Self> {
        Self::with(file.as_fd(), block_size, READ_ONLY)
    }

    fn with(file: BorrowedFd<'_>, block_size: u32, flags: u32) -> io::Result<Self> {
        let control = OpenOptions::new().read(true).write(true).open(CONTROL)?;
        for _ in 0..TRIES {
            failpoint::hit("loopdev.get-free")?;
            #[expect(unsafe_code, reason = "an ioctl without an argument")]
            let number = unsafe { call::get_free(control.as_raw_fd())? };
            let path = format!("/dev/loop{number}");
            let write = flags & READ_ONLY == 0;
            let device = Self::open(Path::new(&path), OpenOptions::new().read(true).write(write))?;
            let descriptor = file.as_raw_fd();
            let configured = match device.configure(descriptor, block_size, flags) {
                // Before 5.8 the call is unknown.
                Err(Errno::EINVAL | Errno::ENOTTY) => device.set_up(descriptor, block_size),
                other => other,
            };
            match configured {
                // Somebody else was quicker.
                Err(Errno::EBUSY) => {}
                Err(error) => return Err(error.into()),
                Ok(()) => return Ok(device),
            }
        }
        Err(Errno::EBUSY.into())
    }

    /// Its device file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Major and minor number, as in mount tables.
    ///
    /// # Errors
    /// The kernel's.
    pub fn number(&self) -> io::Result<(u32, u32)> {
        let special = fstat(&self.device)?.st_rdev;
        let narrow = |part: u64| u32::try_from(part).map_err(|_| Errno::EOVERFLOW);
        Ok((narrow(major(special))?, narrow(minor(special))?))
    }

    /// Whether it passes the page cache by.
    ///
    /// # Errors
    /// The kernel's.
    pub fn is_direct(&self) -> io::Result<bool> {
        Ok(self.status()?.flags & DIRECT_IO != 0)
    }

    /// How many bytes it has.
    ///
    /// # Errors
    /// The kernel's.
    pub fn size(&self) -> io::Result<u64> {
        let mut size = 0_u64;
        #[expect(unsafe_code, reason = "the kernel writes 64 bits into a live integer")]
        unsafe {
            // Its number is made of the size of a pointer; what it writes is not.
            call::size(self.device.as_raw_fd(), (&raw mut size).cast())?;
        }
        Ok(size)
    }

    /// Takes over the present length of the file.
    ///
    /// # Errors
    /// The kernel's.
    pub fn refresh_size(&self) -> io::Result<()> {
        failpoint::hit("loopdev.set-capacity")?;
        #[expect(unsafe_code, reason = "an ioctl without an argument")]
        unsafe {
            call::set_capacity(self.device.as_raw_fd())?;
        }
        Ok(())
    }

    fn open(path: &Path, options: &OpenOptions) -> io::Result<Self> {
        let device = options.open(path)?;
        if !device.metadata()?.file_type().is_block_device() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "not a block device"));
        }
        Ok(Self { device, path: path.to_owned() })
    }

    fn status(&self) -> io::Result<Status> {
        let mut status = Status::new(0);
        #[expect(unsafe_code, reason = "the kernel fills a live struct of its own layout")]
        unsafe {
            call::status(self.device.as_raw_fd(), &raw mut status)?;
        }
        Ok(status)
    }

    /// All in one call: nothing half done is ever seen.
    fn configure(&self, descriptor: i32, block_size: u32, flags: u32) -> nix::Result<()> {
        let configuration = Configuration {
            descriptor: descriptor.cast_unsigned(),
            block_size,
            status: Status::new(AUTOCLEAR | flags),
            reserved: [0; 8],
        };
        hit(failpoint::hit("loopdev.configure"))?;
        #[expect(unsafe_code, reason = "the kernel reads a live struct of its own layout")]
        unsafe {
            call::configure(self.device.as_raw_fd(), &raw const configuration)?;
        }
        Ok(())
    }

    /// The same in steps. A kill between them leaves a device that does not free
    /// itself; the next start finds it and uses it.
    fn set_up(&self, descriptor: i32, block_size: u32) -> nix::Result<()> {
        let device = self.device.as_raw_fd();
        hit(failpoint::hit("loopdev.set-file"))?;
        #[expect(unsafe_code, reason = "an ioctl whose argument is a number")]
        unsafe {
            call::set_descriptor(device, descriptor)?;
        }
        let done = self.set_up_further(block_size);
        if done.is_err() {
            // The first error is the one to tell.
            let _ = hit(failpoint::hit("loopdev.clear"));
            #[expect(unsafe_code, reason = "an ioctl without an argument")]
            let _ = unsafe { call::clear(device) };
        }
        done
    }

    fn set_up_further(&self, block_size: u32) -> nix::Result<()> {
        let (device, status) = (self.device.as_raw_fd(), Status::new(AUTOCLEAR));
        hit(failpoint::hit("loopdev.set-status"))?;
        #[expect(unsafe_code, reason = "the kernel reads a live struct of its own layout")]
        unsafe {
            call::set_status(device, &raw const status)?;
        }
        let size = i32::try_from(block_size).map_err(|_| Errno::EINVAL)?;
        hit(failpoint::hit("loopdev.set-block-size"))?;
        #[expect(unsafe_code, reason = "an ioctl whose argument is a number")]
        unsafe {
            call::set_block_size(device, size)?;
        }
        hit(failpoint::hit("loopdev.set-direct"))?;
        #[expect(unsafe_code, reason = "an ioctl whose argument is a number")]
        // Refused where the file system cannot: then through the page cache.
        let _ = unsafe { call::set_direct(device, 1) };
        Ok(())
    }
}

impl Status {
    fn new(flags: u32) -> Self {
        Self {
            device: 0,
            inode: 0,
            special: 0,
            offset: 0,
            limit: 0,
            number: 0,
            encryption: 0,
            key_size: 0,
            flags,
            names: [[0; 64]; 2],
            key: [0; 32],
            initial: [0; 2],
        }
    }
}

/// Whether there is no such device, or none with a file any more.
fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENXIO | libc::ENODEV))
}

/// A failpoint's errno as the calls here have it.
fn hit(passed: io::Result<()>) -> nix::Result<()> {
    passed.map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))
}
