//! Putting new objects into a directory that nobody else touches, from a
//! description instead of an origin.
//!
//! Names are single components: what has a slash in it, or leads elsewhere, is
//! refused. Nothing that is there already is ever opened through a link or replaced.

use std::{
    ffi::CStr,
    fs::File,
    io,
    os::fd::{AsFd, OwnedFd},
};

use nix::{
    errno::Errno,
    fcntl::{AtFlags, OFlag, openat},
    sys::{
        stat::{
            FchmodatFlags, Mode, SFlag, UtimensatFlags, fchmod, fchmodat, futimens, mkdirat,
            mknodat, utimensat,
        },
        time::TimeSpec,
    },
    unistd::{Gid, Uid, fchown, fchownat, linkat, symlinkat},
};

use super::{
    Dir,
    copy::{ACCESS_LIST, DEFAULT_LIST, may_be_refused},
    is_self_or_parent, open_beneath,
    xattr::Holder,
};
use crate::failpoint;

/// What an object has besides its content.
#[derive(Clone, Copy, Debug)]
pub struct Attributes<'a> {
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Permission bits, up to 07777; not used for symlinks.
    pub mode: u32,
    /// Time of access in seconds and nanoseconds; now if absent.
    pub accessed: Option<(i64, u32)>,
    /// Time of modification in seconds and nanoseconds; now if absent.
    pub modified: Option<(i64, u32)>,
    /// Extended attributes: name and value.
    pub extended: &'a [Extended],
}

/// Name and value of an extended attribute.
pub type Extended = (Box<CStr>, Box<[u8]>);

/// What is neither file nor directory nor link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Special {
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A block device, with its number as `st_rdev` has it.
    Block(u64),
    /// A character device, with its number as `st_rdev` has it.
    Character(u64),
}

impl Dir {
    /// Takes away what new objects in it would inherit: access lists, set-ID bits.
    /// Its mode is 0700 then.
    ///
    /// # Errors
    /// The kernel's.
    pub fn make_bare(&self) -> io::Result<()> {
        failpoint::hit("fresh.bare")?;
        let holder = Holder::open(self);
        holder.remove(DEFAULT_LIST)?;
        holder.remove(ACCESS_LIST)?;
        Ok(fchmod(self, Mode::S_IRWXU)?)
    }

    /// Makes the directory `name`, for its owner only.
    ///
    /// # Errors
    /// The kernel's, EEXIST among them.
    pub fn new_directory(&self, name: &CStr) -> io::Result<()> {
        component(name)?;
        failpoint::hit("fresh.directory")?;
        Ok(mkdirat(self, name, Mode::S_IRWXU)?)
    }

    /// Opens the directory that `path` leads to beneath this one. As every path at
    /// most 4095 bytes long.
    ///
    /// # Errors
    /// The kernel's: ELOOP for a symlink on the way, EXDEV for a mount.
    pub fn descend(&self, path: &CStr) -> io::Result<Self> {
        let descriptor = open_beneath(self, path, OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
        Ok(Self { descriptor })
    }

    /// Makes the file `name`, empty, for its owner only, and opens it for writing.
    ///
    /// # Errors
    /// The kernel's, EEXIST among them.
    pub fn new_file(&self, name: &CStr) -> io::Result<File> {
        component(name)?;
        failpoint::hit("fresh.file")?;
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
        Ok(openat(self, name, flags | OFlag::O_NOFOLLOW, Mode::S_IRUSR | Mode::S_IWUSR)?.into())
    }

    /// Opens the file `name`, made by [`new_file`](Self::new_file), for writing.
    ///
    /// # Errors
    /// The kernel's.
    pub fn reopen_file(&self, name: &CStr) -> io::Result<File> {
        component(name)?;
        Ok(open_beneath(self, name, OFlag::O_WRONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK)?
            .into())
    }

    /// Makes the symlink `name`.
    ///
    /// # Errors
    /// The kernel's, EEXIST among them.
    pub fn new_symlink(&self, name: &CStr, target: &CStr) -> io::Result<()> {
        component(name)?;
        failpoint::hit("fresh.symlink")?;
        Ok(symlinkat(target, self, name)?)
    }

    /// Makes a pipe, socket or device.
    ///
    /// # Errors
    /// The kernel's: EEXIST; EPERM where devices may not be made.
    pub fn new_special(&self, name: &CStr, special: Special) -> io::Result<()> {
        component(name)?;
        failpoint::hit("fresh.special")?;
        let (kind, device) = match special {
            Special::Fifo => (SFlag::S_IFIFO, 0),
            Special::Socket => (SFlag::S_IFSOCK, 0),
            Special::Block(device) => (SFlag::S_IFBLK, device),
            Special::Character(device) => (SFlag::S_IFCHR, device),
        };
        Ok(mknodat(self, name, kind, Mode::S_IRUSR | Mode::S_IWUSR, device)?)
    }

    /// Gives what is called `name` here the name `new` in `to` as well.
    ///
    /// # Errors
    /// The kernel's, EEXIST among them.
    pub fn new_name(&self, name: &CStr, to: &Self, new: &CStr) -> io::Result<()> {
        component(name)?;
        component(new)?;
        failpoint::hit("fresh.link")?;
        Ok(linkat(self, name, to, new, AtFlags::empty())?)
    }

    /// Gives a symlink, pipe, socket or device its attributes.
    ///
    /// # Errors
    /// The kernel's.
    pub fn furnish(
        &self,
        name: &CStr,
        is_symlink: bool,
        attributes: &Attributes<'_>,
    ) -> io::Result<()> {
        component(name)?;
        failpoint::hit("fresh.attributes-by-name")?;
        let (uid, gid) = (Uid::from_raw(attributes.uid), Gid::from_raw(attributes.gid));
        fchownat(self, name, Some(uid), Some(gid), AtFlags::AT_SYMLINK_NOFOLLOW)?;
        if !attributes.extended.is_empty() {
            let object: OwnedFd = open_beneath(self, name, OFlag::O_PATH | OFlag::O_NOFOLLOW)?;
            extend(&Holder::held(&object), attributes)?;
        }
        if !is_symlink {
            // Not a link, since it is what was just made here.
            let mode = Mode::from_bits_truncate(attributes.mode);
            fchmodat(self, name, mode, FchmodatFlags::FollowSymlink)?;
        }
        let (accessed, modified) = (time(attributes.accessed), time(attributes.modified));
        Ok(utimensat(self, name, &accessed, &modified, UtimensatFlags::NoFollowSymlink)?)
    }
}

/// Gives an open file or directory its attributes. In this order: a change of owner
/// takes set-ID bits and capabilities away, an access list changes the mode, and
/// everything changes the times.
///
/// # Errors
/// The kernel's; also where the file system cannot keep an attribute that users
/// rely on.
pub fn furnish(object: &impl AsFd, attributes: &Attributes<'_>) -> io::Result<()> {
    failpoint::hit("fresh.attributes")?;
    let (uid, gid) = (Uid::from_raw(attributes.uid), Gid::from_raw(attributes.gid));
    fchown(object, Some(uid), Some(gid))?;
    extend(&Holder::open(object), attributes)?;
    fchmod(object, Mode::from_bits_truncate(attributes.mode))?;
    Ok(futimens(object, &time(attributes.accessed), &time(attributes.modified))?)
}

fn extend(holder: &Holder<'_>, attributes: &Attributes<'_>) -> io::Result<()> {
    for (name, value) in attributes.extended {
        match holder.set(name, value) {
            Err(error) if may_be_refused(name, error) => {
                tracing::debug!(?name, %error, "attribute is left out");
            }
            other => other?,
        }
    }
    Ok(())
}

fn component(name: &CStr) -> io::Result<()> {
    let bytes = name.to_bytes();
    if name.is_empty() || is_self_or_parent(bytes) || bytes.contains(&b'/') {
        return Err(Errno::EINVAL.into());
    }
    Ok(())
}

fn time(time: Option<(i64, u32)>) -> TimeSpec {
    time.map_or(TimeSpec::UTIME_NOW, |(seconds, nanoseconds)| {
        TimeSpec::new(seconds, nanoseconds.into())
    })
}
