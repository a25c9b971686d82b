//! Many blobs, in the order that they lie in packs, each read and opened once.
//!
//! Neighbours in a pack come with one read. Several threads read, open and check,
//! and hand the content over at once, so that what is held is bounded by the number
//! of threads: about 6 MiB for each, or the size of its blob, if that is larger.

use std::{
    fmt,
    ops::Range,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    thread,
};

use berth_api::{Context as _, Error, ErrorKind, Op, Result};
use bytes::Bytes;

use crate::{
    format::{BlobKind, Id},
    repository::{Index, Location, Opener, Repository, blob::LARGEST},
    store::Kind,
};

/// How much one read takes at most, in bytes, unless a single blob is larger.
const READ: u64 = 4 << 20;
/// A gap between two blobs that is read and thrown away rather than made a second
/// read of, in bytes: over a network a round trip costs as much.
const GAP: u64 = 64 << 10;
/// The largest sealed blob, in bytes: one of [`LARGEST`] that did not compress.
const LARGEST_SEALED: u64 = LARGEST as u64 + (1 << 20);
/// Threads: somewhat more than there are processors, since some of them wait.
const FEWEST: usize = 4;
/// And at most, since each holds a read; over a network, where most of them wait.
const MOST: usize = 16;

/// A wish for a blob.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<T> {
    /// Which one: [`Index::number`].
    pub blob: u32,
    /// What for.
    pub by: T,
}

/// A blob that was read.
pub struct Found<'a, T> {
    /// Its number.
    pub blob: u32,
    /// Its id.
    pub id: Id,
    /// The pack it is in.
    pub pack: Id,
    /// Its content, which is that of its id; or why there is none.
    pub content: Result<Vec<u8>>,
    /// All wishes for it, in the order they were made; at least one.
    pub wanted: &'a [Wanted<T>],
}

/// Where blobs come from.
#[derive(Clone, Copy, Debug)]
pub struct Fetch<'a> {
    /// The repository.
    pub repository: &'a Repository,
    /// Its index.
    pub index: &'a Index,
    /// Cancellation.
    pub op: &'a Op,
    /// Data or trees.
    pub kind: BlobKind,
}

/// A piece of a pack, and the wishes that are in it.
struct Piece {
    pack: Id,
    range: Range<u64>,
    wanted: Range<usize>,
}

impl Fetch<'_> {
    /// Reads all that is wanted, sorting it first, and calls `each` once for every
    /// blob, from several threads, in no certain order. A blob that cannot be read is
    /// looked for in other packs that have it, too, before `each` gets the error.
    ///
    /// # Errors
    /// The first that `each` returns: it ends everything. Cancellation.
    pub fn run<T: Sync>(
        &self,
        wanted: &mut [Wanted<T>],
        each: &(dyn Fn(Found<'_, T>) -> Result<()> + Sync),
    ) -> Result<()> {
        // Stable: the wishes for one blob keep their order.
        wanted.sort_by_cached_key(|wish| (self.index.order(self.kind, wish.blob), wish.blob));
        let pieces = self.pieces(wanted);
        let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        let failure = Mutex::new(None);
        let work = || -> Result<()> {
            let mut opener = Opener::new(self.repository)?;
            while !stop.load(Relaxed)
                && let Some(piece) = pieces.get(next.fetch_add(1, Relaxed))
            {
                self.op.check()?;
                self.piece(piece, &wanted[piece.wanted.clone()], &mut opener, each)?;
            }
            Ok(())
        };
        let guarded = || {
            if let Err(error) = work() {
                stop.store(true, Relaxed);
                failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            }
        };
        thread::scope(|scope| {
            let others: Vec<_> = (1..threads(self.repository).min(pieces.len()))
                .map(|_| scope.spawn(guarded))
                .collect();
            guarded();
            for other in others {
                other.join().map_err(|_| Error::internal("a reader of blobs panicked"))?;
            }
            Ok(())
        })?;
        let failure = failure.into_inner().unwrap_or_else(PoisonError::into_inner);
        failure.map_or(Ok(()), Err)
    }

    fn pieces<T>(&self, wanted: &[Wanted<T>]) -> Vec<Piece> {
        let mut pieces: Vec<Piece> = Vec::new();
        for (number, wish) in wanted.iter().enumerate() {
            let (_, location) = self.index.place(self.kind, wish.blob);
            let range = location.range();
            if let Some(last) = pieces.last_mut()
                && last.pack == location.pack
                && range.start <= last.range.end.saturating_add(GAP)
                && range.end.saturating_sub(last.range.start)
                    <= READ.max(last.range.end - last.range.start)
            {
                last.range.end = last.range.end.max(range.end);
                last.wanted.end = number + 1;
            } else {
                pieces.push(Piece { pack: location.pack, range, wanted: number..number + 1 });
            }
        }
        pieces
    }

    fn piece<T>(
        &self,
        piece: &Piece,
        wanted: &[Wanted<T>],
        opener: &mut Opener<'_>,
        each: &(dyn Fn(Found<'_, T>) -> Result<()> + Sync),
    ) -> Result<()> {
        let read = self.read(&piece.pack, piece.range.clone());
        for wanted in wanted.chunk_by(|one, other| one.blob == other.blob) {
            let blob = wanted[0].blob;
            let (id, location) = self.index.place(self.kind, blob);
            let content = match &read {
                Ok(bytes) => {
                    let at = |offset: u64| usize::try_from(offset - piece.range.start).ok();
                    let sealed = at(location.range().start)
                        .zip(at(location.range().end))
                        .and_then(|(start, end)| bytes.get(start..end));
                    match sealed {
                        Some(sealed) => opener.open(sealed, &location, &id),
                        None => Err(Error::corrupt("the pack is cut off")),
                    }
                }
                // Of a pack that is cut off the first blobs may be whole.
                Err(error) if error.kind() == ErrorKind::Corrupt => {
                    self.single(&location, &id, opener)
                }
                Err(error) => Err(lost(error.duplicate())),
            };
            let content = match content {
                Err(error) if error.kind() == ErrorKind::Corrupt => {
                    self.op.check()?;
                    self.elsewhere(&location, &id, opener, error)
                }
                other => other,
            };
            let name = || {
                let pack = location.pack.short();
                format!("{} blob {} in pack {pack}", self.kind.as_str(), id.short())
            };
            let content = content.context(name);
            each(Found { blob, id, pack: location.pack, content, wanted })?;
        }
        Ok(())
    }

    fn read(&self, pack: &Id, range: Range<u64>) -> Result<Bytes> {
        if range.end - range.start > LARGEST_SEALED {
            return Err(Error::corrupt("the index says that it is larger than a blob may be"));
        }
        self.repository.store().read_range(self.op, Kind::Pack, pack, range)
    }

    fn single(&self, location: &Location, id: &Id, opener: &mut Opener<'_>) -> Result<Vec<u8>> {
        let sealed = self.read(&location.pack, location.range()).map_err(lost)?;
        opener.open(&sealed, location, id)
    }

    /// The same blob from another pack; `error` if there is none that is whole.
    fn elsewhere(
        &self,
        first: &Location,
        id: &Id,
        opener: &mut Opener<'_>,
        error: Error,
    ) -> Result<Vec<u8>> {
        for location in self.index.places_of(self.kind, id) {
            if location != *first
                && let Ok(content) = self.single(&location, id, opener)
            {
                tracing::warn!(blob = %id.short(), pack = %first.pack.short(), error = %error.chain(),
                    "a blob is damaged, but another pack has it whole");
                return Ok(content);
            }
        }
        Err(error)
    }
}

impl<T> fmt::Debug for Found<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Found")
            .field("id", &self.id)
            .field("pack", &self.pack)
            .finish_non_exhaustive()
    }
}

/// A pack that is not there is damage, not a wrong name.
fn lost(error: Error) -> Error {
    match error.kind() {
        ErrorKind::NotFound => Error::corrupt("the pack is missing").with_source(error),
        _ => error,
    }
}

fn threads(repository: &Repository) -> usize {
    if repository.store().is_distant() {
        return MOST;
    }
    let processors = thread::available_parallelism().map_or(1, usize::from);
    (2 * processors).clamp(FEWEST, MOST)
}
