//! Many blobs, in the order that they lie in packs, each read and opened once.
//!
//! Neighbours in a pack come with one read. Several threads read, open and check,
//! and hand the content over at once. Over a network many of them read, so that enough
//! is on its way; what is read takes part of [`ROOM`] until it is handed over, and only
//! as many open it at a time as processors can serve: all at once they would all be
//! done at once, and nothing would be on its way meanwhile.

use std::{
    ops::Range,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    thread,
};

use berth_api::{Error, ErrorKind, Op, Result};
use bytes::Bytes;

use crate::{
    format::{BlobKind, Id},
    repository::{Index, Location, Opener, Repository, blob::largest},
    room::Room,
    store::Kind,
};

/// How much one read takes at most, in bytes, unless a single blob is larger.
const READ: u64 = 4 << 20;
/// A gap between two blobs that is read and thrown away rather than made a second
/// read of, in bytes: over a network a round trip costs as much.
const GAP: u64 = 64 << 10;
/// How much larger than its content a sealed blob may be, in bytes, if that did not
/// compress.
const SEAL: u64 = 1 << 20;
/// Threads that open: somewhat more than there are processors, since some of them wait
/// for the disk.
const OPENERS: (usize, usize) = (4, 16);
/// Threads that read over a network, where most of them wait.
const READERS: usize = 16;
/// What all reads may hold, in bytes, unless a single blob is larger: at a round trip of
/// 100 ms enough for 640 MiB a second.
const ROOM: u64 = 64 << 20;

/// A wish for a blob.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<T> {
    /// Which one: [`Index::number`], or that of another place of it.
    pub(crate) blob: u32,
    /// What for.
    pub(crate) by: T,
}

/// A blob that was read.
pub(crate) struct Found<'a, T> {
    /// Its number.
    pub(crate) blob: u32,
    /// Its id.
    pub(crate) id: Id,
    /// Its content, which is that of its id; or why there is none.
    pub(crate) content: Result<Vec<u8>>,
    /// The same as it is stored; nothing if there is no content.
    pub(crate) sealed: Bytes,
    /// How long the content is, if that is stored compressed.
    pub(crate) uncompressed: Option<u32>,
    /// All wishes for it, in the order they were made; at least one.
    pub(crate) wanted: &'a [Wanted<T>],
}

/// Where blobs come from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fetch<'a> {
    /// The repository.
    pub(crate) repository: &'a Repository,
    /// Its index.
    pub(crate) index: &'a Index,
    /// Cancellation.
    pub(crate) op: &'a Op,
    /// Data or trees.
    pub(crate) kind: BlobKind,
}

/// A piece of a pack, and the wishes that are in it.
struct Piece {
    pack: Id,
    range: Range<u64>,
    wanted: Range<usize>,
}

/// A blob that was read and opened.
struct Opened {
    content: Vec<u8>,
    sealed: Bytes,
    uncompressed: Option<u32>,
}

impl Fetch<'_> {
    /// [`run`](Self::run) for blobs by their numbers, each wanted once.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub(crate) fn each(
        &self,
        blobs: impl IntoIterator<Item = u32>,
        each: &(dyn Fn(Found<'_, ()>) -> Result<()> + Sync),
    ) -> Result<()> {
        let mut wanted: Vec<_> = blobs.into_iter().map(|blob| Wanted { blob, by: () }).collect();
        self.run(&mut wanted, each)
    }

    /// Reads all that is wanted, sorting it first, and calls `each` once for every
    /// blob, from several threads, in no certain order. A blob that cannot be read is
    /// looked for in other packs that have it, too, before `each` gets the error.
    ///
    /// # Errors
    /// The first that `each` returns: it ends everything. Cancellation.
    pub(crate) fn run<T: Sync>(
        &self,
        wanted: &mut [Wanted<T>],
        each: &(dyn Fn(Found<'_, T>) -> Result<()> + Sync),
    ) -> Result<()> {
        // Stable: the wishes for one blob keep their order.
        wanted.sort_by_cached_key(|wish| (self.index.order(self.kind, wish.blob), wish.blob));
        let pieces = self.pieces(wanted);
        let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        let failure = Mutex::new(None);
        let openers = openers();
        let readers =
            if self.repository.store().is_distant() { READERS.max(openers) } else { openers };
        let (room, turns) = (Room::new(ROOM), Room::new(openers as u64));
        let work = || -> Result<()> {
            let mut opener = Opener::new(self.repository)?;
            while !stop.load(Relaxed)
                && let Some(piece) = pieces.get(next.fetch_add(1, Relaxed))
            {
                let _part = room.take(piece.range.end.saturating_sub(piece.range.start));
                self.op.check()?;
                let read = self.read(&piece.pack, piece.range.clone());
                let _turn = turns.take(1);
                self.piece(piece, &read, &wanted[piece.wanted.clone()], &mut opener, each)?;
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
            let others: Vec<_> =
                (1..readers.min(pieces.len())).map(|_| scope.spawn(guarded)).collect();
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
        read: &Result<Bytes>,
        wanted: &[Wanted<T>],
        opener: &mut Opener<'_>,
        each: &(dyn Fn(Found<'_, T>) -> Result<()> + Sync),
    ) -> Result<()> {
        for wanted in wanted.chunk_by(|one, other| one.blob == other.blob) {
            let blob = wanted[0].blob;
            let (id, location) = self.index.place(self.kind, blob);
            let found = match read {
                Ok(bytes) => {
                    let at = |offset: u64| usize::try_from(offset - piece.range.start).ok();
                    let sealed = at(location.range().start)
                        .zip(at(location.range().end))
                        .and_then(|(start, end)| bytes.get(start..end));
                    match sealed {
                        Some(sealed) => {
                            open(opener, self.kind, bytes.slice_ref(sealed), &location, &id)
                        }
                        None => Err(Error::corrupt("the pack is cut off")),
                    }
                }
                // Of a pack that is cut off the first blobs may be whole.
                Err(error) if error.kind() == ErrorKind::Corrupt => {
                    self.single(&location, &id, opener)
                }
                Err(error) => Err(lost(error.duplicate())),
            };
            let found = match found {
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
            let (content, sealed, uncompressed) = match found {
                Ok(found) => (Ok(found.content), found.sealed, found.uncompressed),
                Err(error) => (Err(error.context(name())), Bytes::new(), None),
            };
            each(Found { blob, id, content, sealed, uncompressed, wanted })?;
        }
        Ok(())
    }

    fn read(&self, pack: &Id, range: Range<u64>) -> Result<Bytes> {
        if range.end - range.start > u64::from(largest(self.kind)) + SEAL {
            return Err(Error::corrupt("the index says that it is larger than a blob may be"));
        }
        self.repository.store().read_range(self.op, Kind::Pack, pack, range)
    }

    fn single(&self, location: &Location, id: &Id, opener: &mut Opener<'_>) -> Result<Opened> {
        let sealed = self.read(&location.pack, location.range()).map_err(lost)?;
        open(opener, self.kind, sealed, location, id)
    }

    /// The same blob from another pack; `error` if there is none that is whole.
    fn elsewhere(
        &self,
        first: &Location,
        id: &Id,
        opener: &mut Opener<'_>,
        error: Error,
    ) -> Result<Opened> {
        for location in self.index.places_of(self.kind, id) {
            if location != *first
                && let Ok(found) = self.single(&location, id, opener)
            {
                tracing::warn!(blob = %id.short(), pack = %first.pack.short(), error = %error.chain(),
                    "a blob is damaged, but another pack has it whole");
                return Ok(found);
            }
        }
        Err(error)
    }
}

fn open(
    opener: &mut Opener<'_>,
    kind: BlobKind,
    sealed: Bytes,
    location: &Location,
    id: &Id,
) -> Result<Opened> {
    let content = opener.open(kind, &sealed, location, id)?;
    Ok(Opened { content, sealed, uncompressed: location.uncompressed })
}

/// A pack that is not there is damage, not a wrong name.
fn lost(error: Error) -> Error {
    match error.kind() {
        ErrorKind::NotFound => Error::corrupt("the pack is missing").with_source(error),
        _ => error,
    }
}

fn openers() -> usize {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    (2 * processors).clamp(OPENERS.0, OPENERS.1)
}
