//! What one thread does with one entry.

use std::{
    error::Error as _,
    ffi::CStr,
    fs::File,
    io,
    os::fd::OwnedFd,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use berth_api::{Context as _, Error, Op, Result};
use nix::{
    fcntl::{OFlag, openat, readlinkat},
    sys::stat::{Mode, SFlag, makedev, mkdirat, mknodat},
    unistd::symlinkat,
};

use super::{
    super::{
        Dir, listing,
        object::{Descriptors, Object, Stat, Time, read_directory},
        open_beneath,
        pool::Pool,
    },
    Way,
    attributes::Attributes,
    data::{self, Copying, Stop},
    folder::Folder,
    links::Links,
    origins::Origin,
    route::Batch,
};
use crate::failpoint;

/// How near to the moment it was copied a file's time of change may lie before it
/// proves nothing, in nanoseconds: two ticks of the slowest usual kernel clock (100 Hz).
const RACY: i128 = 20_000_000;
/// The same where the file system counts seconds.
const RACY_SECONDS: i128 = 2_000_000_000;

/// What all threads share.
#[derive(Debug)]
pub(super) struct Shared<'a> {
    pub(super) op: &'a Op,
    pub(super) way: Way,
    pub(super) origins: bool,
    pub(super) links: Links<'a>,
    pub(super) descriptors: Descriptors,
    /// The copy lies on Btrfs.
    pub(super) flags: bool,
    pub(super) counts: Counts,
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) files: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) not_cloned: AtomicU64,
    pub(super) mounts: AtomicU64,
}

/// A thread's own things.
#[derive(Debug)]
pub(super) struct Hand<'a> {
    shared: &'a Shared<'a>,
    /// Its failure is everybody's.
    pool: &'a Pool<Batch>,
    attributes: Attributes,
    piece: Vec<u8>,
    pub(super) origins: Vec<Origin>,
}

/// What became of an entry.
#[derive(Debug)]
pub(super) enum Met {
    /// Copied, or left out.
    Done,
    /// It is a directory, for the walk.
    Directory(Dir, Stat),
}

impl<'a> Hand<'a> {
    pub(super) fn new(shared: &'a Shared<'a>, pool: &'a Pool<Batch>) -> Self {
        let attributes = Attributes::new(shared.flags);
        Self { shared, pool, attributes, piece: Vec::new(), origins: Vec::new() }
    }

    /// How it carries content.
    pub(super) fn way(&self) -> Way {
        self.shared.way
    }

    /// Copies the entry `name` of `folder` unless it is a directory. What has
    /// vanished is left out.
    pub(super) fn entry(&mut self, folder: &Folder, name: &CStr) -> Result<Met> {
        self.check()?;
        match self.meet(folder, name) {
            Err(error) if is_twice(folder, name, &error) => Ok(Met::Done),
            other => other,
        }
    }

    /// Makes the copy of the directory `name` of `above`, open as `from`; `None` if
    /// the name was met before.
    pub(super) fn directory(
        &self,
        above: &Folder,
        name: &CStr,
        from: Dir,
        stat: Stat,
    ) -> Result<Option<Folder>> {
        self.check()?;
        match copy_directory(above, name, from, stat) {
            Err(error) if is_twice(above, name, &error) => Ok(None),
            other => other.map(Some),
        }
    }

    fn meet(&mut self, folder: &Folder, name: &CStr) -> Result<Met> {
        let what = || format!("copy {}", folder.shown(name));
        let (object, stat) = match Object::find(&folder.from, name).context(what)? {
            Object::Gone => return Ok(Met::Done),
            Object::Mount { directory } => {
                self.shared.counts.mounts.fetch_add(1, Relaxed);
                if directory {
                    // What it hides cannot be seen, its attributes neither.
                    make_directory(&folder.to, name, 0o755).context(what)?;
                }
                return Ok(Met::Done);
            }
            Object::Here(object, stat) => (object, stat),
        };
        match stat.kind {
            SFlag::S_IFDIR => {
                return Ok(Met::Directory(read_directory(&object).context(what)?, stat));
            }
            SFlag::S_IFREG => self.file(folder, name, &object, &stat)?,
            SFlag::S_IFLNK => self.symlink(folder, name, &object, &stat).context(what)?,
            _ => self.special(folder, name, &object, &stat).context(what)?,
        }
        self.shared.counts.files.fetch_add(1, Relaxed);
        self.shared.op.advance(0, 1);
        Ok(Met::Done)
    }

    /// Takes from the top of the copy what would be inherited.
    pub(super) fn prepare(&self, top: &Folder) -> Result<()> {
        let what = || format!("copy {}", top.path.shown());
        self.attributes.prepare_directory(&top.to).context(what)
    }

    /// One user less: the last one completes the directory.
    pub(super) fn leave(&mut self, folder: &Folder) -> Result<()> {
        if !folder.leave() {
            return Ok(());
        }
        let what = || format!("copy the attributes of {}", folder.path.shown());
        self.attributes.directory(&folder.from, &folder.stat, &folder.to).context(what)
    }

    fn check(&self) -> Result<()> {
        self.pool.check()?;
        self.shared.op.check()
    }

    fn file(&mut self, folder: &Folder, name: &CStr, object: &OwnedFd, stat: &Stat) -> Result<()> {
        let what = || format!("copy {}", folder.shown(name));
        let source = self.shared.descriptors.read(object).context(what)?;
        let placed = self.shared.links.place(stat, &folder.to, name, make_file);
        let Some(target) = placed.context(what)? else { return Ok(()) };
        self.attributes.prepare_file(&source, &target).context(what)?;
        // The clock that times of change are taken from: a server's need not be ours.
        let made = Stat::known(&target).context(what)?.changed;
        match self.carry(&source, &target, stat.size) {
            Ok(()) => {}
            Err(Stop::Kernel(error)) => return Err(error).context(what),
            Err(Stop::Asked(error)) => return Err(error),
        }
        self.attributes.file(&source, stat, &target).context(what)?;
        self.shared.counts.bytes.fetch_add(stat.size, Relaxed);
        if self.shared.origins {
            let after = Stat::of(&source).context(what)?;
            let unchanged = (after.changed, after.size) == (stat.changed, stat.size);
            let racy = !unchanged || is_racy(stat.changed, made);
            let inode = Stat::of(&target).context(what)?.inode;
            let changed = stat.changed;
            self.origins.push(Origin { inode, origin: stat.inode, changed, racy });
        }
        Ok(())
    }

    fn carry(&mut self, source: &File, target: &File, size: u64) -> Result<(), Stop> {
        let op = self.shared.op;
        if self.shared.way == Way::Reflink {
            match data::clone(source, target) {
                Ok(()) => {
                    op.advance(size, 0);
                    return Ok(());
                }
                Err(error) if data::is_for_this_file(&error) => {
                    self.shared.counts.not_cloned.fetch_add(1, Relaxed);
                }
                Err(error) => return Err(error.into()),
            }
        }
        let pool = self.pool;
        Copying { source, target, size, piece: &mut self.piece }.run(&mut |bytes| {
            op.advance(bytes, 0);
            pool.check()?;
            op.check()
        })
    }

    fn symlink(
        &mut self,
        folder: &Folder,
        name: &CStr,
        object: &OwnedFd,
        stat: &Stat,
    ) -> io::Result<()> {
        let target = readlinkat(object, c"")?;
        let placed = self.shared.links.place(stat, &folder.to, name, |to, name| {
            failpoint::hit("copy.symlink")?;
            Ok(symlinkat(target.as_os_str(), to, name)?)
        })?;
        if placed.is_some() {
            self.attributes.named(object, stat, &folder.to, name)?;
        }
        Ok(())
    }

    /// A FIFO, socket or device.
    fn special(
        &mut self,
        folder: &Folder,
        name: &CStr,
        object: &OwnedFd,
        stat: &Stat,
    ) -> io::Result<()> {
        let (major, minor) = stat.stands_for;
        let device = makedev(major.into(), minor.into());
        let placed = self.shared.links.place(stat, &folder.to, name, |to, name| {
            failpoint::hit("copy.special")?;
            Ok(mknodat(to, name, stat.kind, Mode::S_IRUSR, device)?)
        })?;
        if placed.is_some() {
            self.attributes.named(object, stat, &folder.to, name)?;
        }
        Ok(())
    }
}

/// Whether an error says no more than that a listing has told one name twice: of
/// what somebody replaced meanwhile, some file systems do. The first stays.
fn is_twice(folder: &Folder, name: &CStr, error: &Error) -> bool {
    let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    if source.is_none_or(|source| source.kind() != io::ErrorKind::AlreadyExists) {
        return false;
    }
    // Not if the copy only takes the name for that of something else, as where
    // upper and lower case are the same.
    let mut found = false;
    let listed = listing::read(&folder.to, &folder.path, |other, _| {
        found |= other == name;
        Ok(())
    });
    listed.is_ok() && found
}

fn copy_directory(above: &Folder, name: &CStr, from: Dir, stat: Stat) -> Result<Folder> {
    let what = || format!("copy {}", above.shown(name));
    make_directory(&above.to, name, 0o700).context(what)?;
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
    let to = Dir { descriptor: open_beneath(&above.to, name, flags).context(what)? };
    Ok(Folder::new(from, to, stat, above.path.join(name)))
}

fn make_directory(to: &Dir, name: &CStr, mode: u32) -> io::Result<()> {
    failpoint::hit("copy.directory")?;
    Ok(mkdirat(to, name, Mode::from_bits_truncate(mode))?)
}

fn make_file(to: &Dir, name: &CStr) -> io::Result<File> {
    failpoint::hit("copy.file")?;
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
    Ok(openat(to, name, flags | OFlag::O_NOFOLLOW, Mode::S_IRUSR | Mode::S_IWUSR)?.into())
}

/// Whether what was `changed` may have changed again, under the same time of change, after
/// its copy was made: `made` is the copy's own time, before anything was read.
fn is_racy(changed: Time, made: Time) -> bool {
    let window = if (changed.1, made.1) == (0, 0) { RACY_SECONDS } else { RACY };
    nanoseconds(changed) > nanoseconds(made) - window
}

fn nanoseconds((seconds, nanoseconds): Time) -> i128 {
    i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both times are of the file system's clock: how far that is from ours says nothing.
    #[test]
    fn what_changed_right_before_its_copy_proves_nothing() {
        let made = (1_000, 500_000_000);
        for changed in [made, (1_000, 480_000_001), (1_000, 500_000_001), (5_000, 0)] {
            assert!(is_racy(changed, made), "{changed:?}");
        }
        for changed in [(1_000, 480_000_000), (999, 999_999_999), (-5, 3)] {
            assert!(!is_racy(changed, made), "{changed:?}");
        }
    }

    #[test]
    fn a_file_system_that_counts_seconds_needs_seconds() {
        for (changed, racy) in [(1_000, true), (999, true), (998, false)] {
            assert_eq!(is_racy((changed, 0), (1_000, 0)), racy, "{changed}");
        }
        assert!(!is_racy((999, 0), (1_000, 1)), "it counts finer");
    }
}
