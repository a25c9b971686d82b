//! Reading many blobs of a repository: pack by pack, neighbours with one call, each
//! checked against its id.

use std::{
    ops::Range,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
};

use berth_api::{Context as _, Error, Op, Result};

use crate::{
    format::{BlobKind, Id},
    repository::{Index, Opener, Repository},
    store::Kind,
};

/// How many parts of packs are read at a time; each is in memory as long.
const READERS: usize = 4;
/// The longest part that is read with one call, in bytes, unless a blob is longer.
const PART: u64 = 8 << 20;
/// A gap between two blobs that is read over rather than left out, in bytes.
const GAP: u64 = 64 << 10;

/// A place in the index, by its number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pick {
    pub(crate) kind: BlobKind,
    pub(crate) number: u32,
}

/// One blob that was read.
#[derive(Debug)]
pub(crate) struct Blob<'a> {
    pub(crate) kind: BlobKind,
    pub(crate) id: Id,
    /// As it is stored.
    pub(crate) sealed: &'a [u8],
    pub(crate) content: &'a [u8],
    /// The length of the content, if that is compressed.
    pub(crate) uncompressed: Option<u32>,
}

/// Gives each of these blobs to `each`, on several threads.
///
/// # Errors
/// `Corrupt` if one cannot be read; the first of `each`.
pub(crate) fn gather(
    repository: &Repository,
    op: &Op,
    index: &Index,
    mut picks: Vec<Pick>,
    each: &(dyn Fn(&Blob<'_>) -> Result<()> + Sync),
) -> Result<()> {
    let order = |pick: &Pick| index.order(pick.kind, pick.number);
    let range = |pick: &Pick| index.place(pick.kind, pick.number).1.range();
    picks.sort_unstable_by_key(order);
    let mut parts: Vec<&[Pick]> = Vec::new();
    let mut rest = picks.as_slice();
    while let Some(first) = rest.first() {
        let (pack, _) = order(first);
        let Range { start: begin, mut end } = range(first);
        let near = |next: &&Pick| {
            let next_range = range(next);
            let near = next_range.start <= end + GAP && next_range.end <= begin + PART;
            end = end.max(next_range.end);
            order(next).0 == pack && near
        };
        let count = 1 + rest[1..].iter().take_while(near).count();
        let (part, others) = rest.split_at(count);
        parts.push(part);
        rest = others;
    }
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let error = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..READERS.min(parts.len()) {
            scope.spawn(|| {
                while let Some(part) = parts.get(next.fetch_add(1, Relaxed)) {
                    if failed.load(Relaxed) {
                        return;
                    }
                    if let Err(cause) = read(repository, op, index, part, each) {
                        failed.store(true, Relaxed);
                        let mut error = error.lock().unwrap_or_else(PoisonError::into_inner);
                        error.get_or_insert(cause);
                    }
                }
            });
        }
    });
    error.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

/// Reads neighbours of one pack.
fn read(
    repository: &Repository,
    op: &Op,
    index: &Index,
    part: &[Pick],
    each: &(dyn Fn(&Blob<'_>) -> Result<()> + Sync),
) -> Result<()> {
    op.check()?;
    let places: Vec<_> =
        part.iter().map(|pick| (pick.kind, index.place(pick.kind, pick.number))).collect();
    let Some((_, (_, first))) = places.first() else { return Ok(()) };
    let begin = first.range().start;
    let end = places.iter().map(|(_, (_, location))| location.range().end).max();
    let range = begin..end.unwrap_or(begin);
    let bytes = repository.store().read_range(op, Kind::Pack, &first.pack, range);
    let bytes = bytes.context(|| format!("read pack {}", first.pack.short()))?;
    let mut opener = Opener::new(repository)?;
    for (kind, (id, location)) in &places {
        let what =
            || format!("{} blob {} in pack {}", kind.as_str(), id.short(), location.pack.short());
        let range = location.range();
        let sealed = usize::try_from(range.start - begin)
            .ok()
            .and_then(|at| bytes.get(at..at.checked_add(location.length as usize)?))
            .ok_or_else(|| Error::corrupt(format!("{}: it is cut off", what())))?;
        let content = opener.open(sealed, location, id).context(what)?;
        each(&Blob {
            kind: *kind,
            id: *id,
            sealed,
            content: &content,
            uncompressed: location.uncompressed,
        })?;
        op.advance(u64::from(location.length), 0);
    }
    Ok(())
}
