//! A directory and its copy, both open, and when the copy is complete.

use std::{
    ffi::CStr,
    io,
    os::fd::AsFd,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::AcqRel},
    },
};

use berth_api::{Context as _, Error, Result};
use nix::{
    fcntl::{OFlag, openat},
    sys::stat::Mode,
};

use super::super::{
    Dir,
    object::{Stat, quietly},
    place::Path,
};

/// A directory that is being copied.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) from: Dir,
    pub(super) to: Dir,
    /// Of `from`, before anything in it was read.
    pub(super) stat: Stat,
    pub(super) path: Path,
    /// Who still puts something into `to`: the walk, and each batch of files.
    /// The last one gives it its attributes. Shared by all openings of it.
    users: Arc<AtomicU64>,
}

/// What is kept of a folder while it is closed. The walk is still a user.
#[derive(Debug)]
pub(super) struct Closed {
    stat: Stat,
    copy: Stat,
    path: Path,
    users: Arc<AtomicU64>,
}

impl Folder {
    /// With one user.
    pub(super) fn new(from: Dir, to: Dir, stat: Stat, path: Path) -> Self {
        Self { from, to, stat, path, users: Arc::new(AtomicU64::new(1)) }
    }

    pub(super) fn enter(&self) {
        self.users.fetch_add(1, AcqRel);
    }

    /// Whether this was the last user.
    pub(super) fn leave(&self) -> bool {
        self.users.fetch_sub(1, AcqRel) == 1
    }

    pub(super) fn close(&self) -> io::Result<Closed> {
        Ok(Closed {
            stat: self.stat,
            copy: Stat::of(&self.to)?,
            path: self.path.clone(),
            users: self.users.clone(),
        })
    }

    /// Where `name` in it is, for people.
    pub(super) fn shown(&self, name: &CStr) -> String {
        self.path.join(name).shown()
    }
}

impl Closed {
    /// Opens it again: the parent of `below`, if that is still what it was.
    ///
    /// # Errors
    /// `Conflict` if somebody has moved or removed `below` meanwhile.
    pub(super) fn reopen(self, below: &Folder) -> Result<Folder> {
        let Self { stat, copy, path, users } = self;
        let from = parent(&below.from, &stat, &path)?;
        let to = parent(&below.to, &copy, &path)?;
        Ok(Folder { from, to, stat, path, users })
    }
}

/// The parent of `below`, which is known to be `stat`.
pub(in crate::beneath) fn parent(below: &Dir, stat: &Stat, path: &Path) -> Result<Dir> {
    let what = || format!("read {}", path.shown());
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    // Not beneath anything, so nothing is read before it is known to be the one.
    let opened = quietly(|quiet| Ok(openat(below.as_fd(), "..", flags | quiet, Mode::empty())?));
    let moved = || {
        let text = format!("what lies in {} was moved away while it was read", path.shown());
        Error::conflict(text).with_hint("try again, or stop who moves it")
    };
    let directory = match opened {
        // It is in no directory any more.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(moved()),
        other => Dir { descriptor: other.context(what)? },
    };
    let found = Stat::of(&directory).context(what)?;
    if found.identity() == stat.identity() { Ok(directory) } else { Err(moved()) }
}
