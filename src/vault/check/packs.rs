//! Packs: which of them are there, as long as the index says, and whole.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
};

use berth_api::{Error, ErrorKind, Op, Result};
use sha2::{Digest as _, Sha256};

use crate::{
    format::{BlobKind, Id, crypt::OVERHEAD, pack},
    repository::{Index, Location, Opener, Repository},
    store::Kind,
};

/// How much of a pack is held at a time, in bytes, unless a blob is larger.
const PIECE: u64 = 4 << 20;
/// Packs that are read side by side.
const READERS: usize = 4;

/// What the index says of a pack.
#[derive(Debug, Default)]
pub(super) struct Expected {
    /// Its length, in bytes.
    pub(super) size: u64,
    /// Its blobs, in order.
    blobs: Vec<(BlobKind, Id, Location)>,
}

/// A pack with its blobs by number: what is wrong with them.
#[derive(Debug, Default)]
pub(super) struct Wrong {
    /// By pack.
    pub(super) packs: HashMap<Id, String>,
    /// Blobs at places that are not whole.
    pub(super) places: HashSet<(Id, u32)>,
}

/// What the index says of all packs.
pub(super) fn expected(index: &Index) -> HashMap<Id, Expected> {
    let mut packs: HashMap<Id, Expected> = HashMap::new();
    for kind in [BlobKind::Data, BlobKind::Tree] {
        for (id, location) in index.places(kind) {
            packs.entry(location.pack).or_default().blobs.push((kind, id, location));
        }
    }
    for expected in packs.values_mut() {
        expected.blobs.sort_unstable_by_key(|(_, _, location)| location.offset);
        let entry = |(_, _, location): &(BlobKind, Id, Location)| {
            let entry = if location.uncompressed.is_some() { 41 } else { 37 };
            entry + u64::from(location.length)
        };
        let body: u64 = expected.blobs.iter().map(entry).sum();
        expected.size = body + (OVERHEAD + pack::LENGTH_FIELD) as u64;
    }
    packs
}

impl Wrong {
    /// A pack none of whose blobs can be had.
    pub(super) fn lose(&mut self, pack: Id, expected: &Expected, why: String) {
        self.places.extend(expected.blobs.iter().map(|(_, _, at)| (pack, at.offset)));
        self.packs.insert(pack, why);
    }

    /// A pack that is shorter than it should be.
    pub(super) fn cut(&mut self, pack: Id, expected: &Expected, size: u64) {
        let gone = expected.blobs.iter().filter(|(_, _, at)| at.range().end > size);
        self.places.extend(gone.map(|(_, _, at)| (pack, at.offset)));
        let why = format!("it has {size} bytes instead of {}", expected.size);
        self.packs.insert(pack, why);
    }

    /// Whether a blob can be had nowhere.
    pub(super) fn loses(&self, index: &Index, kind: BlobKind, id: &Id) -> bool {
        index.places_of(kind, id).all(|at| self.places.contains(&(at.pack, at.offset)))
    }
}

/// Reads these packs whole: each must be what its id says, and each blob, too.
pub(super) fn read(
    repository: &Repository,
    op: &Op,
    packs: &[(Id, &Expected)],
    wrong: &mut Wrong,
) -> Result<u64> {
    op.set_total(packs.iter().map(|(_, expected)| expected.size).sum());
    let next = AtomicUsize::new(0);
    let wrong = Mutex::new(wrong);
    let work = || -> Result<u64> {
        let mut opener = Opener::new(repository)?;
        let mut bytes = 0;
        while let Some((id, expected)) = packs.get(next.fetch_add(1, Relaxed)) {
            let mut bad = HashSet::new();
            let whole = one(repository, op, id, expected, &mut opener, &mut bad);
            let why = match whole {
                Ok(()) if bad.is_empty() => None,
                Ok(()) => Some(format!("{} of its blobs are damaged", bad.len())),
                Err(error) if error.kind() == ErrorKind::Corrupt => Some(error.chain()),
                Err(error) => return Err(error),
            };
            bytes += expected.size;
            let mut wrong = wrong.lock().unwrap_or_else(PoisonError::into_inner);
            wrong.places.extend(bad.into_iter().map(|offset| (*id, offset)));
            if let Some(why) = why {
                wrong.packs.insert(*id, why);
            }
        }
        Ok(bytes)
    };
    thread::scope(|scope| {
        let readers: Vec<_> = (0..READERS.min(packs.len())).map(|_| scope.spawn(work)).collect();
        readers.into_iter().try_fold(0, |sum, reader| {
            let read = reader.join().map_err(|_| Error::internal("a reader of packs panicked"))?;
            Ok(sum + read?)
        })
    })
}

/// Reads one pack; `bad` gets where damaged blobs begin.
fn one(
    repository: &Repository,
    op: &Op,
    id: &Id,
    expected: &Expected,
    opener: &mut Opener<'_>,
    bad: &mut HashSet<u32>,
) -> Result<()> {
    let mut digest = Sha256::new();
    let mut start = 0_u64;
    let mut blobs = expected.blobs.as_slice();
    while start < expected.size {
        op.check()?;
        let within = |end: u64| end <= start.saturating_add(PIECE);
        let fits = blobs.iter().take_while(|(_, _, at)| within(at.range().end)).count();
        // At least one: a blob may be larger than a piece.
        let (piece, rest) = blobs.split_at(fits.max(1).min(blobs.len()));
        let end = match piece.last() {
            Some((_, _, at)) if !rest.is_empty() => at.range().end,
            _ => expected.size,
        };
        if end <= start || piece.iter().any(|(_, _, at)| at.range().start < start) {
            return Err(Error::corrupt("the index says that its blobs overlap"));
        }
        let bytes = repository.store().read_range(op, Kind::Pack, id, start..end)?;
        digest.update(&bytes);
        for (kind, blob, at) in piece {
            let place = |offset: u64| usize::try_from(offset - start).ok();
            let sealed = place(at.range().start)
                .zip(place(at.range().end))
                .and_then(|(from, to)| bytes.get(from..to));
            if sealed.is_none_or(|sealed| opener.open(*kind, sealed, at, blob).is_err()) {
                bad.insert(at.offset);
            }
        }
        op.advance(end - start, 0);
        (start, blobs) = (end, rest);
    }
    if Id(digest.finalize().into()) != *id {
        return Err(Error::corrupt("its bytes are not those of its id"));
    }
    header(repository, op, id, expected)
}

/// The header must say the same as the index: with it, an index is made anew.
fn header(repository: &Repository, op: &Op, id: &Id, expected: &Expected) -> Result<()> {
    let end = expected.size - pack::LENGTH_FIELD as u64;
    let start = expected.blobs.last().map_or(0, |(_, _, at)| at.range().end).min(end);
    if end - start > pack::LARGEST_HEADER as u64 {
        return Err(Error::corrupt("its header is larger than one may be"));
    }
    let sealed = repository.store().read_range(op, Kind::Pack, id, start..end)?;
    let said = pack::parse(&repository.key().open(&sealed)?)?;
    let same = said.len() == expected.blobs.len()
        && said.iter().zip(&expected.blobs).all(|(said, (kind, id, at))| {
            (said.kind, said.id, said.offset, said.length) == (*kind, *id, at.offset, at.length)
                && said.uncompressed_length == at.uncompressed
        });
    if same { Ok(()) } else { Err(Error::corrupt("its header says something else than the index")) }
}
