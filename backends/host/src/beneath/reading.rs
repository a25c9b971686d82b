//! Reading a whole tree by several threads, children before their directory.
//!
//! Everything is looked at by descriptor: no link is followed, no mount crossed, no
//! FIFO or device opened, and no time of access changed where the kernel lets us.
//! The tree may be *live*: others write, rename and replace in it meanwhile.
//!
//! ```text
//! walk ──directories──▶ walk               the caller's thread: lists, goes down
//!   └───names of others, in batches──▶ pool ──▶ hands      some threads: the rest
//! the last user of a directory ──▶ Reader::leave, once all in it was read
//! ```
//!
//! Open at a time are a bounded number of directories, however deep the tree is; kept
//! are the directories from the top to where the readers are, and no others.

mod folder;
mod name;
mod route;

use std::{num::NonZero, sync::Arc, thread};

use berth_api::{Context as _, Error, Result};

pub use self::name::{Held, Looked, Name, Room};
use self::{folder::Folder, route::Batch};
use super::{
    Dir,
    object::{Descriptors, Stat, read_directory},
    place::Path,
    pool::{Alarm, Pool},
};

/// At most so many threads, and at least 2 lest one big file holds up the rest.
const HANDS: usize = 8;

/// Who is told what is in a tree. The first error stops everything.
pub trait Reader: Sync {
    /// What is kept of a directory while what is in it is read.
    type Folder: Send + Sync;
    /// What each thread has of its own.
    type Hand: Send;

    /// Called once for each thread.
    fn hand(&self) -> Self::Hand;

    /// A directory begins; `above` is `None` for the top.
    fn enter(
        &self,
        hand: &mut Self::Hand,
        above: Option<&Self::Folder>,
        directory: &Held<'_>,
    ) -> Result<Self::Folder>;

    /// There is something in `folder` that was no directory when it was looked at: then
    /// it was `stat`.
    fn entry(
        &self,
        hand: &mut Self::Hand,
        folder: &Self::Folder,
        name: &Name<'_>,
        stat: &Stat,
    ) -> Result<()>;

    /// There is a mount in `folder`; `directory`: on a directory, not on a file.
    fn mount(&self, folder: &Self::Folder, name: &Name<'_>, directory: bool) -> Result<()>;

    /// Something in `folder` has vanished before it could be read.
    fn gone(&self, folder: &Self::Folder, name: &Name<'_>) -> Result<()>;

    /// All that is in `folder` was read. Called before `above` is left in turn.
    fn leave(
        &self,
        hand: &mut Self::Hand,
        folder: &Self::Folder,
        above: Option<&Self::Folder>,
    ) -> Result<()>;

    /// Whether to go on: called between entries.
    fn check(&self) -> Result<()>;
}

/// Reads everything in `top`.
///
/// # Errors
/// The first that the reader or the kernel gives, with the path in the tree;
/// `Conflict` if a directory deep in the tree is moved meanwhile.
pub fn read<R: Reader>(top: &Dir, reader: &R) -> Result<()> {
    let descriptors = Descriptors::open(top).context(|| "open `/proc/self/fd`")?;
    let pool = Pool::new();
    let directory = read_directory(top).context(|| "open the tree")?;
    let stat = Stat::of(&directory).context(|| "open the tree")?;
    let path = Path::default();
    let mut hand = reader.hand();
    let own = reader.enter(&mut hand, None, &Held::open(&directory, stat, None, &descriptors))?;
    let top = Folder::new(directory, stat, path, own, None);
    thread::scope(|scope| {
        let work = || {
            let _alarm = Alarm(&pool);
            route::work(reader, &descriptors, &pool);
        };
        for number in 0..hands() {
            let started = thread::Builder::new().name("read".into()).spawn_scoped(scope, work);
            // Those that could be started do it all.
            if let (0, Err(error)) = (number, started) {
                pool.fail(Error::unavailable("no thread can be started").with_source(error));
            }
        }
        let _alarm = Alarm(&pool);
        if let Err(error) = route::find(reader, &mut hand, &descriptors, &pool, Arc::new(top)) {
            pool.fail(error);
        }
        pool.end();
    });
    pool.outcome()
}

fn hands() -> usize {
    thread::available_parallelism().map_or(2, NonZero::get).clamp(2, HANDS)
}

/// Jobs of a tree.
type Jobs<F> = Pool<Batch<F>>;
