//! What stands in a directory under a name: looked at, or held.

use std::{
    ffi::{CStr, OsString},
    fs::File,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use nix::fcntl::readlinkat;

use super::super::{
    Dir,
    object::{Descriptors, Object, Stat, statx_at},
    place::Path,
    xattr::{Holder, LONGEST},
};

/// A name in an open directory.
#[derive(Clone, Copy, Debug)]
pub struct Name<'a> {
    pub(super) directory: &'a Dir,
    /// Of the directory.
    pub(super) above: &'a Stat,
    pub(super) path: &'a Path,
    pub(super) called: &'a CStr,
    pub(super) descriptors: &'a Descriptors,
}

/// What a name means, at a glance.
#[derive(Clone, Copy, Debug)]
pub enum Looked {
    /// Nothing (any more), or a mount.
    Elsewhere,
    /// This; by now it may be something else.
    Here(Stat),
}

/// What a name means, held: whatever becomes of the name, it stays the same thing.
#[derive(Debug)]
pub struct Held<'a> {
    object: Place<'a>,
    stat: Stat,
    name: Option<&'a CStr>,
    descriptors: &'a Descriptors,
}

#[derive(Debug)]
enum Place<'a> {
    /// Found by name, as a place only.
    Own(OwnedFd),
    /// A directory that is open anyway.
    Open(BorrowedFd<'a>),
}

/// Room for the longest attributes that there can be.
#[derive(Debug)]
pub struct Room {
    names: Vec<u8>,
    value: Vec<u8>,
}

impl Default for Room {
    fn default() -> Self {
        Self { names: vec![0; LONGEST], value: vec![0; LONGEST] }
    }
}

impl<'a> Name<'a> {
    /// The name itself.
    pub fn bytes(&self) -> &'a [u8] {
        self.called.to_bytes()
    }

    /// Its path in the tree, for people.
    pub fn shown(&self) -> String {
        self.path.join(self.called).shown()
    }

    /// What it means just now, without holding it.
    ///
    /// # Errors
    /// The kernel's.
    pub fn look(&self) -> io::Result<Looked> {
        let found = Stat::at(self.directory, self.called, self.above)?;
        Ok(found.map_or(Looked::Elsewhere, Looked::Here))
    }

    /// What it means, held; `None` if that is nothing (any more).
    ///
    /// # Errors
    /// The kernel's.
    pub fn hold(&self) -> io::Result<Option<Held<'a>>> {
        let Object::Here(object, stat) = Object::find(self.directory, self.called)? else {
            return Ok(None);
        };
        let (object, name) = (Place::Own(object), Some(self.called));
        Ok(Some(Held { object, stat, name, descriptors: self.descriptors }))
    }

    /// Whether something is mounted there; then, whether on a directory.
    pub(super) fn mounted(&self) -> io::Result<Option<bool>> {
        let found = statx_at(self.directory, self.called)?.filter(|stat| stat.is_mount(self.above));
        Ok(found.map(|stat| stat.is_directory()))
    }
}

impl<'a> Held<'a> {
    pub(super) fn open(
        directory: &'a Dir,
        stat: Stat,
        name: Option<&'a CStr>,
        descriptors: &'a Descriptors,
    ) -> Self {
        Self { object: Place::Open(directory.as_fd()), stat, name, descriptors }
    }

    /// What the kernel said of it when it was taken hold of.
    pub fn stat(&self) -> &Stat {
        &self.stat
    }

    /// Its name; `None` for the top.
    pub fn name(&self) -> Option<&'a [u8]> {
        self.name.map(CStr::to_bytes)
    }

    /// Opens a regular file for reading.
    ///
    /// # Errors
    /// The kernel's.
    pub fn read(&self) -> io::Result<File> {
        self.descriptors.read(&self.fd())
    }

    /// Where a symbolic link leads.
    ///
    /// # Errors
    /// The kernel's.
    pub fn target(&self) -> io::Result<OsString> {
        Ok(readlinkat(self.fd(), c"")?)
    }

    /// Its extended attributes, access lists among them: names and values, in the
    /// order of names.
    ///
    /// # Errors
    /// The kernel's.
    pub fn attributes(&self, room: &mut Room) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let holder = Holder::held(&self.object);
        let mut names = holder.list(&mut room.names)?;
        let mut found = Vec::new();
        while let Ok(name) = CStr::from_bytes_until_nul(names) {
            names = &names[name.count_bytes() + 1..];
            if let Some(value) = holder.get(name, &mut room.value)? {
                found.push((name.to_bytes().to_vec(), value.to_vec()));
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.object.as_fd()
    }
}

impl AsFd for Place<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Own(object) => object.as_fd(),
            Self::Open(object) => *object,
        }
    }
}
