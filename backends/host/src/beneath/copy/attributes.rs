//! What an object has besides its content: owner, extended attributes, mode,
//! times, and the flag of Btrfs that decides how content is kept.
//!
//! The order matters: a change of owner takes set-ID bits and capabilities away,
//! an access list changes the mode, and everything changes the times.
//!
//! Not copied: project ids (a copy has those of where it lies), and the flags
//! immutable and append-only, with which it could neither be written nor removed.

use std::{
    ffi::CStr,
    io,
    os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd},
};

use nix::{
    errno::Errno,
    fcntl::{AtFlags, OFlag},
    sys::{
        stat::{FchmodatFlags, Mode, SFlag, UtimensatFlags, fchmod, fchmodat, futimens, utimensat},
        time::TimeSpec,
    },
    unistd::{Gid, Uid, fchown, fchownat},
};

use super::super::{
    Dir,
    object::{Stat, Time},
    open_beneath,
    xattr::{Holder, LONGEST},
};
use crate::failpoint;

/// Of `linux/fs.h`: overwritten in place, without checksums.
const NOCOW: libc::c_int = 0x0080_0000;

pub(in crate::beneath) const DEFAULT_LIST: &CStr = c"system.posix_acl_default";
pub(in crate::beneath) const ACCESS_LIST: &CStr = c"system.posix_acl_access";

mod call {
    use nix::{ioctl_read_bad, ioctl_write_ptr_bad, request_code_read, request_code_write};

    // Declared with a `long`, but an `int` is what is read and written.
    ioctl_read_bad!(get_flags, request_code_read!(b'f', 1, size_of::<libc::c_long>()), libc::c_int);
    ioctl_write_ptr_bad!(
        set_flags,
        request_code_write!(b'f', 2, size_of::<libc::c_long>()),
        libc::c_int
    );
}

/// Carries attributes over; with room for the longest ones.
#[derive(Debug)]
pub(super) struct Attributes {
    names: Vec<u8>,
    value: Vec<u8>,
    /// On Btrfs.
    flags: bool,
}

impl Attributes {
    pub(super) fn new(flags: bool) -> Self {
        Self { names: vec![0; LONGEST], value: vec![0; LONGEST], flags }
    }

    /// Makes `target`, a new file, keep its content as `source` does; before it
    /// has any.
    pub(super) fn prepare_file(&self, source: impl AsFd, target: impl AsFd) -> io::Result<()> {
        if self.flags { same_flags(source.as_fd(), target.as_fd()) } else { Ok(()) }
    }

    /// Takes from a directory what new objects in it would inherit.
    pub(super) fn prepare_directory(&self, target: &Dir) -> io::Result<()> {
        failpoint::hit("copy.bare-attributes")?;
        let holder = Holder::open(target);
        holder.remove(DEFAULT_LIST)?;
        holder.remove(ACCESS_LIST)?;
        fchmod(target, Mode::S_IRWXU)?;
        if self.flags { set_flags(target.as_fd(), false) } else { Ok(()) }
    }

    /// Gives the open file `target` what `source` has, which is `stat`.
    pub(super) fn file(
        &mut self,
        source: &impl AsFd,
        stat: &Stat,
        target: &impl AsFd,
    ) -> io::Result<()> {
        failpoint::hit("copy.attributes")?;
        fchown(target, Some(Uid::from_raw(stat.uid)), Some(Gid::from_raw(stat.gid)))?;
        self.extended(&Holder::open(source), || Ok(Holder::open(target)))?;
        fchmod(target, Mode::from_bits_truncate(stat.mode))?;
        Ok(futimens(target, &time(stat.accessed), &time(stat.modified))?)
    }

    /// Gives the directory `target` what `source` has, which is `stat`.
    pub(super) fn directory(&mut self, source: &Dir, stat: &Stat, target: &Dir) -> io::Result<()> {
        if self.flags {
            same_flags(source.as_fd(), target.as_fd())?;
        }
        self.file(source, stat, target)
    }

    /// Gives what is called `name` in `to`, and cannot be opened, what `source`
    /// (an `O_PATH` descriptor) has, which is `stat`.
    pub(super) fn named(
        &mut self,
        source: &OwnedFd,
        stat: &Stat,
        to: &Dir,
        name: &CStr,
    ) -> io::Result<()> {
        failpoint::hit("copy.special-attributes")?;
        let (uid, gid) = (Uid::from_raw(stat.uid), Gid::from_raw(stat.gid));
        fchownat(to, name, Some(uid), Some(gid), AtFlags::AT_SYMLINK_NOFOLLOW)?;
        let target = open_beneath(to, name, OFlag::O_PATH | OFlag::O_NOFOLLOW)?;
        self.extended(&Holder::held(source), || Ok(Holder::held(&target)))?;
        if stat.kind != SFlag::S_IFLNK {
            let mode = Mode::from_bits_truncate(stat.mode);
            fchmodat(to, name, mode, FchmodatFlags::FollowSymlink)?;
        }
        let (accessed, modified) = (time(stat.accessed), time(stat.modified));
        let flags = UtimensatFlags::NoFollowSymlink;
        Ok(utimensat(to, name, &accessed, &modified, flags)?)
    }

    fn extended<'a>(
        &mut self,
        source: &Holder<'_>,
        target: impl FnOnce() -> io::Result<Holder<'a>>,
    ) -> io::Result<()> {
        let mut names = source.list(&mut self.names)?;
        if names.is_empty() {
            return Ok(());
        }
        let target = target()?;
        while let Ok(name) = CStr::from_bytes_until_nul(names) {
            names = &names[name.count_bytes() + 1..];
            let Some(value) = source.get(name, &mut self.value)? else { continue };
            match target.set(name, value) {
                Err(error) if may_be_refused(name, error) => {}
                other => other?,
            }
        }
        Ok(())
    }
}

/// Whether an attribute may be left out: security modules and file systems have
/// some that are theirs alone to set. Never what users rely on.
pub(in crate::beneath) fn may_be_refused(name: &CStr, error: Errno) -> bool {
    let name = name.to_bytes();
    let relied_on = name.starts_with(b"user.")
        || name.starts_with(b"trusted.")
        || name.starts_with(b"system.posix_acl_")
        || name == b"security.capability";
    !relied_on && matches!(error, Errno::EOPNOTSUPP | Errno::EPERM | Errno::EACCES | Errno::EINVAL)
}

fn same_flags(source: BorrowedFd<'_>, target: BorrowedFd<'_>) -> io::Result<()> {
    set_flags(target, flags(source)? & NOCOW != 0)
}

fn set_flags(target: BorrowedFd<'_>, nocow: bool) -> io::Result<()> {
    let old = flags(target)?;
    let new = if nocow { old | NOCOW } else { old & !NOCOW };
    if new == old {
        return Ok(());
    }
    failpoint::hit("copy.set-flags")?;
    #[expect(unsafe_code, reason = "an ioctl that reads a live integer")]
    unsafe {
        call::set_flags(target.as_raw_fd(), &raw const new)?;
    }
    Ok(())
}

fn flags(object: BorrowedFd<'_>) -> io::Result<libc::c_int> {
    let mut flags = 0;
    #[expect(unsafe_code, reason = "an ioctl that writes a live integer")]
    let result = unsafe { call::get_flags(object.as_raw_fd(), &raw mut flags) };
    match result {
        // The place of a subvolume that a snapshot left out is no real inode.
        Err(Errno::ENOTTY) => Ok(0),
        other => {
            other?;
            Ok(flags)
        }
    }
}

fn time((seconds, nanoseconds): Time) -> TimeSpec {
    TimeSpec::new(seconds, nanoseconds.into())
}
