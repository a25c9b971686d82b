//! What becomes of each pack. No I/O.

use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
};

use berth_api::{Error, Result};

use crate::{
    format::{BlobKind, Id, crypt::OVERHEAD, pack::LENGTH_FIELD},
    reach::Reach,
    repository::Index,
};

/// How much of what is left may be unused, in percent: restic's default.
const UNUSED: u64 = 5;
/// A pack that is shorter is small, in bytes: restic's smallest size of a full one.
const SMALL: u64 = 4 << 20;
/// So many small packs are worth to be merged.
const MANY: usize = 8;
/// More index files than this, and one for so many blobs, are worth to be merged.
const INDEX_FILES: (usize, usize) = (16, 25_000);

const KINDS: [BlobKind; 2] = [BlobKind::Data, BlobKind::Tree];

/// What is to be done.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Packs that nobody needs any more, with their lengths: those of `repack`, too.
    pub(super) remove: Vec<(Id, u64)>,
    /// How many of them are rewritten.
    pub(super) rewritten: u64,
    /// The places whose blobs are written anew.
    pub(super) picks: Vec<(BlobKind, Vec<u32>)>,
    /// By the numbers of the index: the packs that stay as they are.
    pub(super) stays: Vec<bool>,
    /// Whether the index is to be written anew.
    pub(super) reindex: bool,
    /// Bytes written anew.
    pub(super) bytes_rewritten: u64,
    /// Bytes that nobody needs in the packs that stay.
    pub(super) bytes_unused: u64,
}

/// One pack of the index.
#[derive(Clone, Debug)]
struct Pack {
    /// Its length in the store; none if it is missing.
    there: Option<u64>,
    /// How long it is by what the index says is in it, and where that ends.
    least: u64,
    end: u64,
    blobs: u64,
    used: u64,
    used_bytes: u64,
    bytes: u64,
    /// There are trees in it.
    tree: bool,
}

/// Which places stay, by kind and number.
type Chosen = [Vec<bool>; 2];

/// Decides.
///
/// # Errors
/// `Corrupt` if a blob that is needed is in no pack that is there and long enough.
pub(super) fn plan(index: &Index, reach: &Reach, present: &HashMap<Id, u64>) -> Result<Plan> {
    let mut packs = packs(index, present);
    let chosen = choose(index, reach, &mut packs)?;
    let repack = repacked(&packs);
    let mut plan = Plan { stays: vec![false; packs.len()], ..Plan::default() };
    for (number, pack) in packs.iter().enumerate() {
        let Some(length) = pack.there else {
            plan.reindex = true;
            continue;
        };
        if pack.used > 0 && !repack.contains(&number) {
            plan.stays[number] = true;
            plan.bytes_unused += pack.unused();
            continue;
        }
        plan.remove.push((index.packs()[number], length));
        plan.rewritten += u64::from(pack.used > 0);
        plan.bytes_rewritten += pack.used_bytes;
    }
    plan.reindex |= !plan.remove.is_empty();
    let blobs: usize = KINDS.iter().map(|kind| index.count(*kind) as usize).sum();
    plan.reindex |= index.files().len() > INDEX_FILES.0 + blobs / INDEX_FILES.1;
    let known: HashSet<&Id> = index.packs().iter().collect();
    let strange = present.iter().filter(|(id, _)| !known.contains(id));
    plan.remove.extend(strange.map(|(id, length)| (*id, *length)));
    plan.remove.sort_unstable();
    for (kind, chosen) in KINDS.into_iter().zip(&chosen) {
        let anew = |number: &u32| {
            chosen[*number as usize] && repack.contains(&pack_of(index, kind, *number))
        };
        plan.picks.push((kind, (0..index.count(kind)).filter(anew).collect()));
    }
    Ok(plan)
}

fn packs(index: &Index, present: &HashMap<Id, u64>) -> Vec<Pack> {
    let empty = |id: &Id| Pack {
        there: present.get(id).copied(),
        least: (OVERHEAD + LENGTH_FIELD) as u64,
        end: 0,
        blobs: 0,
        used: 0,
        used_bytes: 0,
        bytes: 0,
        tree: false,
    };
    let mut packs: Vec<_> = index.packs().iter().map(empty).collect();
    for kind in KINDS {
        for number in 0..index.count(kind) {
            let (_, location) = index.place(kind, number);
            let pack = &mut packs[pack_of(index, kind, number)];
            let entry = if location.uncompressed.is_some() { 41 } else { 37 };
            pack.blobs += 1;
            pack.bytes += u64::from(location.length);
            pack.least += u64::from(location.length) + entry;
            pack.end = pack.end.max(location.range().end);
            pack.tree |= kind == BlobKind::Tree;
        }
    }
    packs
}

/// Chooses one place for every blob that is needed: where others that are needed are.
fn choose(index: &Index, reach: &Reach, packs: &mut [Pack]) -> Result<Chosen> {
    let mut chosen = KINDS.map(|kind| vec![false; index.count(kind) as usize]);
    // Blobs with one place first: they say which packs stay anyway.
    for several in [false, true] {
        for (kind, chosen) in KINDS.into_iter().zip(&mut chosen) {
            let mut first = 0;
            while first < index.count(kind) {
                let (id, location) = index.place(kind, first);
                let same = |number: &u32| index.place(kind, *number).0 == id;
                let last = (first..index.count(kind)).take_while(same).last().unwrap_or(first);
                let whole = |number: &u32| packs[pack_of(index, kind, *number)].is_whole();
                let places: Vec<_> = (first..=last).filter(whole).collect();
                if reach.has(kind, first) && (places.len() > 1) == several {
                    let best = places.into_iter().max_by_key(|number| {
                        (packs[pack_of(index, kind, *number)].used_bytes, Reverse(*number))
                    });
                    let number = best.ok_or_else(|| missing(kind, &id, &location.pack))?;
                    let pack = &mut packs[pack_of(index, kind, number)];
                    chosen[number as usize] = true;
                    pack.used += 1;
                    pack.used_bytes += u64::from(index.place(kind, number).1.length);
                }
                first = last + 1;
            }
        }
    }
    Ok(chosen)
}

/// The number of a place's pack.
fn pack_of(index: &Index, kind: BlobKind, number: u32) -> usize {
    index.order(kind, number).0 as usize
}

fn missing(kind: BlobKind, id: &Id, pack: &Id) -> Error {
    Error::corrupt(format!(
        "{} blob {} is needed, and its pack {} is missing or cut off",
        kind.as_str(),
        id.short(),
        pack.short()
    ))
}

/// The numbers of the packs whose needed blobs are written anew.
fn repacked(packs: &[Pack]) -> HashSet<usize> {
    let used: u64 = packs.iter().map(|pack| pack.used_bytes).sum();
    let mut partly: Vec<_> = packs
        .iter()
        .enumerate()
        .filter(|(_, pack)| pack.used > 0 && pack.used < pack.blobs)
        .collect();
    // Trees first, and whatever gives back most for what is written.
    partly.sort_by_key(|(number, pack)| {
        (!pack.tree, Reverse(pack.unused() * 1_000_000 / pack.bytes.max(1)), *number)
    });
    let mut unused: u64 = partly.iter().map(|(_, pack)| pack.unused()).sum();
    let most = used * UNUSED / (100 - UNUSED);
    let mut repack = HashSet::new();
    for (number, pack) in partly {
        // Trees are read to list and to compare: they lie together.
        if pack.tree || unused > most {
            unused -= pack.unused();
            repack.insert(number);
        }
    }
    for tree in [false, true] {
        let small = |(_, pack): &(usize, &Pack)| {
            pack.used > 0 && pack.tree == tree && pack.there.is_some_and(|there| there < SMALL)
        };
        let small: Vec<_> = packs.iter().enumerate().filter(small).map(|(at, _)| at).collect();
        if small.len() >= MANY {
            repack.extend(small);
        }
    }
    repack
}

impl Pack {
    /// Whether all that the index says can be in it.
    fn is_whole(&self) -> bool {
        self.there.is_some_and(|there| there >= self.least.max(self.end))
    }

    fn unused(&self) -> u64 {
        self.bytes - self.used_bytes
    }
}
