//! How much a restore writes, at least: what is refused for want of space must not fit.
//!
//! A tree tells how long files are, not what of them is zero and will be a hole. That is
//! found in three steps, each dearer than the one before, until the answer is plain:
//!
//! ```text
//! all bytes                    as the tree tells them, hard links once     too many, if there are zeros
//! what cannot be zeros         a blob is not shorter than what is in it    too few, if that compresses
//! blobs that compress, read    the best first; up to 256 MiB of them       exact
//! ```

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, PoisonError},
};

use berth_api::{Error, Op, Result};

use super::{
    entry::{self, Identity},
    file,
};
use crate::{
    backup::{Backup, DESCRIPTION},
    fetch::{Fetch, Wanted},
    format::{BlobKind, Id, Node, NodeKind, Tree},
    repository::{Index, Location, Repository},
};

/// Trees that are read at a time.
const TREES: usize = 256;
/// What is read to find zeros, as it is stored, in bytes: a few seconds, mostly.
const MOST_READ: u64 = 256 << 20;
/// How many blobs are read at a time, before the answer is looked at again.
const BATCH: usize = 256;
/// Lengths for which the id of that many zeros is made.
const LENGTHS: usize = 16;
/// And the longest of them, in bytes: restic's largest pieces of files.
const LONGEST: u64 = 8 << 20;

/// Says how many bytes of content are written to restore `backup`, at least: zeros are
/// left out, and a file with many names counts once. It stops where that is more than
/// `room`, or provably less.
///
/// # Errors
/// `Corrupt` for what is damaged or missing; cancellation, and the end of the time that
/// `op` has. Nothing is known then.
pub fn need(
    repository: &Repository,
    op: &Op,
    index: &Index,
    backup: &Backup,
    room: u64,
) -> Result<u64> {
    let mut need = Need {
        trees: Fetch { repository, index, op, kind: BlobKind::Tree },
        found: Found::default(),
        zeros: HashMap::new(),
    };
    need.walk(&backup.file.tree)?;
    need.answer(room)
}

struct Need<'a> {
    trees: Fetch<'a>,
    found: Found,
    /// The ids of zeros, by their length.
    zeros: HashMap<u64, Id>,
}

/// What trees say.
#[derive(Default)]
struct Found {
    links: HashSet<Identity>,
    /// How often each blob is written.
    wanted: HashMap<u32, u64>,
    /// Trees that were not read yet.
    pending: Vec<u32>,
}

impl Found {
    fn take(&mut self, index: &Index, tree: &Tree, is_top: bool) -> Result<()> {
        for node in &tree.nodes {
            match node.kind {
                NodeKind::Dir => self.pending.push(entry::subtree(index, node)?),
                // It does not come back.
                NodeKind::File if is_top && node.name == DESCRIPTION => {}
                NodeKind::File => self.file(index, node)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn file(&mut self, index: &Index, node: &Node) -> Result<()> {
        if entry::identity(node).is_some_and(|identity| !self.links.insert(identity)) {
            return Ok(());
        }
        for (blob, _) in entry::content(index, node)? {
            *self.wanted.entry(blob).or_default() += 1;
        }
        Ok(())
    }
}

impl Need<'_> {
    fn walk(&mut self, top: &Id) -> Result<()> {
        let index = self.trees.index;
        self.found.pending.push(entry::tree(index, top)?);
        let mut is_top = true;
        while !self.found.pending.is_empty() {
            let from = self.found.pending.len().saturating_sub(TREES);
            let trees = self.found.pending.split_off(from);
            let found = Mutex::new(&mut self.found);
            // One that stands in many places counts as often.
            self.trees.each(trees, &|read| {
                let tree = Tree::from_bytes(&read.content?)?;
                let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                read.wanted.iter().try_for_each(|_| found.take(index, &tree, is_top))
            })?;
            is_top = false;
        }
        Ok(())
    }

    fn answer(mut self, room: u64) -> Result<u64> {
        let mut unclear = Vec::new();
        let (mut least, mut most) = (0_u64, 0_u64);
        for (blob, times) in std::mem::take(&mut self.found.wanted) {
            let (id, location) = self.trees.index.place(BlobKind::Data, blob);
            let length = location.content();
            if self.is_zeros(&id, &location) {
                continue;
            }
            let sure = sure(&location);
            least = least.saturating_add(sure.saturating_mul(times));
            most = most.saturating_add(length.saturating_mul(times));
            if sure < length {
                unclear.push((blob, times, length, sure));
            }
        }
        // Those whose length tells the least of their content come first.
        let stored = |blob: u32| u64::from(self.trees.index.place(BlobKind::Data, blob).1.length);
        unclear.sort_by_cached_key(|(blob, times, length, _)| {
            stored(*blob).saturating_mul(1 << 20) / length.saturating_mul(*times).max(1)
        });
        let mut budget = MOST_READ;
        for batch in unclear.chunks(BATCH) {
            let size: u64 = batch.iter().map(|(blob, ..)| stored(*blob)).sum();
            if least > room || most <= room || size > budget {
                break;
            }
            budget -= size;
            let found = self.count(batch)?;
            let (long, sure) =
                batch.iter().fold((0, 0), |(long, sure), (_, times, length, some)| {
                    (long + length * times, sure + some * times)
                });
            most = most.saturating_sub(long).saturating_add(found);
            least = least.saturating_sub(sure).saturating_add(found);
        }
        Ok(least)
    }

    /// Whether a blob is nothing but zeros, where that is told by its id. Only a few
    /// lengths are looked at: making the id takes as long as reading them.
    fn is_zeros(&mut self, id: &Id, location: &Location) -> bool {
        let length = location.content();
        let packs_well =
            location.uncompressed.is_none() || u64::from(location.length) < length / 64;
        if !packs_well || length > LONGEST {
            return false;
        }
        if !self.zeros.contains_key(&length) && self.zeros.len() >= LENGTHS {
            return false;
        }
        let make = || Id::of(&vec![0; usize::try_from(length).unwrap_or_default()]);
        self.zeros.entry(length).or_insert_with(make) == id
    }

    /// Reads blobs, and counts what is written of them.
    fn count(&self, batch: &[(u32, u64, u64, u64)]) -> Result<u64> {
        let wish = |(blob, times, ..): &(u32, u64, u64, u64)| Wanted { blob: *blob, by: *times };
        let mut wanted: Vec<_> = batch.iter().map(wish).collect();
        let total = Mutex::new(0_u64);
        Fetch { kind: BlobKind::Data, ..self.trees }.run(&mut wanted, &|found| {
            let written = file::written(&found.content?);
            let times: u64 = found.wanted.iter().map(|wish| wish.by).sum();
            let mut total = total.lock().map_err(|_| Error::internal("a counter panicked"))?;
            *total = total.saturating_add(written.saturating_mul(times));
            Ok(())
        })?;
        Ok(total.into_inner().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What is not zeros in a blob, at least. Compressed it takes hardly more than that:
/// zstd stores what does not compress as it is, with 3 bytes for each 128 KiB, and
/// some for each change between that and zeros.
fn sure(location: &Location) -> u64 {
    let Some(length) = location.uncompressed.map(u64::from) else { return 0 };
    u64::from(location.length).saturating_sub(length / 128 + 128).min(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sure_is_never_more_than_what_is_written() {
        let mut state = 1_u32;
        let mut noise = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_le_bytes()[3]
        };
        // Every how many bytes there is one that is not zero, or 4 KiB of them.
        for every in [1, 2, 3, 7, 64, 511, 4096, 10_000, 200_000] {
            let single = (0..200_000).map(|at| if at % every == 0 { noise() } else { 0 });
            let single: Vec<u8> = single.collect();
            let blocks = (0..200_000).map(|at| if at / 4096 % every == 0 { noise() } else { 0 });
            let blocks: Vec<u8> = blocks.collect();
            for content in [single, blocks] {
                for level in [-5, 1, 3, 9] {
                    let packed = zstd::bulk::compress(&content, level).expect("compresses");
                    let length = u32::try_from(packed.len() + 32).expect("short");
                    let (pack, offset) = (Id::default(), 0);
                    let location = Location { pack, offset, length, uncompressed: Some(200_000) };
                    let (sure, written) = (sure(&location), file::written(&content));
                    assert!(sure <= written, "{every} {level}: {sure} and {written}");
                }
            }
        }
    }
}
