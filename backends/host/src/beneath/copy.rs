//! Copies of whole trees on one file system: by reflink, or with their holes.
//!
//! Kept: owner, mode, times of access and modification (to the nanosecond),
//! extended attributes (access lists and capabilities among them), hard links
//! within the tree, symlinks, FIFOs, sockets, devices, names of any bytes, holes,
//! and on Btrfs the flag "no copy-on-write". Not kept: times of change and birth,
//! inode numbers, project ids (a copy has those of where it lies), the flags
//! immutable and append-only.
//!
//! The tree may be *live*: others write, rename and replace in it meanwhile.
//! What has vanished is left out; what is copied is always one object that was
//! called so at some moment, never followed, never outside. Mounts in it are left
//! out and counted. Only the top of the copy must be nobody else's.
//!
//! ```text
//! walk ──directories──▶ walk                one thread: lists, makes directories
//!   └───names of others, in batches──▶ pool ──▶ hands    some threads: the rest
//! ```

mod attributes;
mod data;
mod folder;
mod hand;
mod links;
mod measure;
mod origins;
mod route;

use std::{
    fs::File,
    io::{self, Write as _},
    num::NonZero,
    os::fd::AsFd as _,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering::Relaxed},
    thread,
};

use berth_api::{Context as _, Error, Op, Result};

pub(super) use self::attributes::{ACCESS_LIST, DEFAULT_LIST, may_be_refused};
pub(super) use self::folder::parent;
pub use self::{
    data::extent,
    measure::{Extent, measure},
    origins::{Origin, Origins},
};
use self::{
    folder::Folder,
    hand::{Counts, Hand, Shared},
    links::Links,
};
use super::{
    Dir,
    object::{Descriptors, Stat, read_directory},
    place::Path,
    pool::{Alarm, Pool},
    subvolume,
};

/// How the content of regular files is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// `FICLONE`: the copy shares its blocks with the origin.
    Reflink,
    /// Read and written, holes left out.
    Copy,
}

/// What is to be copied.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The top of the tree; its own attributes are copied too.
    pub from: &'a Dir,
    /// An empty directory on the same file system, not within `from`, which
    /// nobody else touches.
    pub to: &'a Dir,
    /// See [`way`].
    pub way: Way,
    /// Whether to note the [`Origins`].
    pub origins: bool,
    /// Deadline, cancellation and progress.
    pub op: &'a Op,
}

/// What was copied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Entries that are no directories; each name of a hard-linked file counts.
    pub files: u64,
    /// Apparent size of the regular files, each once.
    pub bytes: u64,
    /// Files that the file system refused to clone, and that were copied though
    /// [`Way::Reflink`] was asked for (active swap files, for instance).
    pub not_cloned: u64,
    /// Mounts within the tree: in the copy an empty directory, or nothing where
    /// the mount is on a file.
    pub mounts_left_out: u64,
    /// One for each regular file, if asked for.
    pub origins: Option<Origins>,
}

/// At most so many threads, and at least 2 lest one big file holds up the rest.
const HANDS: usize = 8;

/// How files beneath `dir` can be copied: tried with two files that have no name
/// and vanish. [`Way::Copy`] where there are none such: see [`way_by_name`].
///
/// # Errors
/// The kernel's, if that cannot be told.
pub fn way(dir: &Dir) -> io::Result<Way> {
    match dir.nameless_file().and_then(|source| Ok([source, dir.nameless_file()?])) {
        Ok([source, target]) => shares(source, &target),
        Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(Way::Copy),
        Err(error) => Err(error),
    }
}

/// As [`way`], for network file systems too, which have no files without names: there it
/// is tried with two whose names begin with `prefix`, in `folder` on the same file system.
///
/// # Errors
/// As [`way`]; EEXIST if the names are taken. What a crash leaves has these names.
pub fn way_by_name(dir: &Dir, folder: &Dir, prefix: &str) -> io::Result<Way> {
    match dir.nameless_file() {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => {}
        _ => return way(dir),
    }
    let names = [format!("{prefix}.from"), format!("{prefix}.to")];
    // Closed before they are removed: NFS keeps what is removed while it is open.
    let tried = folder.scratch_file(&names[0]).and_then(|source| {
        let target = folder.scratch_file(&names[1])?;
        shares(source, &target)
    });
    for name in &names {
        match folder.unlink(name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    tried
}

/// How these two new files can be copied one to the other.
fn shares(mut source: File, target: &File) -> io::Result<Way> {
    // On a full disk the files stay empty, which is as good on all that is known.
    let _ = source.write_all(b"x");
    match data::clone(source.as_fd(), target.as_fd()) {
        Ok(()) => Ok(Way::Reflink),
        Err(error) if is_no_way(&error) => Ok(Way::Copy),
        Err(error) => Err(error),
    }
}

fn is_no_way(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    matches!(
        code,
        Some(libc::EOPNOTSUPP | libc::ENOTTY | libc::EINVAL | libc::EXDEV | libc::ENOSYS)
    )
}

/// Copies everything in a directory, and its own attributes. Syncs nothing: see
/// [`Dir::sync_file_system`].
///
/// # Errors
/// The first that any entry gives, with its path in the tree; what was copied
/// until then stays. `Exhausted` if space runs out, `Conflict` if cancelled, if
/// `to` is not empty, or if a directory deep in the tree is moved meanwhile.
pub fn tree(request: &Request<'_>) -> Result<Copied> {
    if !request.to.is_empty().context(|| "read the top of the copy")? {
        return Err(Error::conflict("the top of the copy is not empty"));
    }
    let shared = Shared {
        op: request.op,
        way: request.way,
        origins: request.origins,
        links: Links::new(request.to).context(|| "prepare the copy")?,
        descriptors: Descriptors::open(request.from).context(|| "open `/proc/self/fd`")?,
        flags: subvolume::possible(request.to).context(|| "look at the file system")?,
        counts: Counts::default(),
    };
    let pool = Pool::new();
    let origins = Mutex::new(Vec::new());
    let mut hand = Hand::new(&shared, &pool);
    let top = Arc::new(open_top(request).context(|| "open the trees")?);
    thread::scope(|scope| {
        let work = || {
            let _alarm = Alarm(&pool);
            let mut hand = Hand::new(&shared, &pool);
            route::work(&mut hand, &pool);
            let mut origins = origins.lock().unwrap_or_else(PoisonError::into_inner);
            origins.append(&mut hand.origins);
        };
        for number in 0..hands() {
            let started = thread::Builder::new().name("copy".into()).spawn_scoped(scope, work);
            // Those that could be started do it all.
            if let (0, Err(error)) = (number, started) {
                pool.fail(Error::unavailable("no thread can be started").with_source(error));
            }
        }
        let _alarm = Alarm(&pool);
        if let Err(error) = route::find(&mut hand, &pool, &top) {
            pool.fail(error);
        }
        pool.end();
    });
    pool.outcome()?;
    shared.links.finish().context(|| "remove what hard links were made from")?;
    // Last: everything before changed its times.
    hand.leave(&top)?;
    let mut records = origins.into_inner().unwrap_or_else(PoisonError::into_inner);
    records.append(&mut hand.origins);
    let counts = &shared.counts;
    Ok(Copied {
        files: counts.files.load(Relaxed),
        bytes: counts.bytes.load(Relaxed),
        not_cloned: counts.not_cloned.load(Relaxed),
        mounts_left_out: counts.mounts.load(Relaxed),
        origins: request.origins.then(|| Origins::new(records)),
    })
}

fn hands() -> usize {
    thread::available_parallelism().map_or(2, NonZero::get).clamp(2, HANDS)
}

/// With the caller as its user.
fn open_top(request: &Request<'_>) -> io::Result<Folder> {
    let from = read_directory(request.from)?;
    let stat = Stat::of(&from)?;
    Ok(Folder::new(from, read_directory(request.to)?, stat, Path::default()))
}
