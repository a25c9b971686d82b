//! Removing what no backup needs.
//!
//! ```text
//! exclusive lock ─▶ trees of all snapshots ─▶ plan ─▶ new packs, with their index
//!    ─▶ index of the packs that stay ─▶ old index files away ─▶ packs away
//! ```
//!
//! | module | noun |
//! |---|---|
//! | [`plan`] | what becomes of each pack |
//!
//! Invariants:
//! - Whatever is missing, or cannot be read in any pack that has it, ends it before
//!   anything was removed.
//! - At every moment an index names each needed blob in a pack that is there. Whoever
//!   is killed leaves at most packs that no index names, or blobs that are there twice:
//!   the next prune removes them.

mod plan;

use std::{
    collections::HashMap,
    sync::{Arc, atomic::AtomicUsize, atomic::Ordering::Relaxed},
};

use berth_api::{Context as _, Error, ErrorKind, Op, Result};
use berth_host::failpoint;

use self::plan::Plan;
use crate::{
    fetch::Fetch,
    format::{BlobKind, Id, IndexBlob, IndexFile, IndexPack},
    lock::{Lock, Reading},
    reach::Reach,
    repository::{Index, Repository},
    store::Kind,
    writer::Writer,
};

/// How many blobs are in one index file at most, as restic has it.
const BLOBS: usize = 50_000;
/// How many files are removed at a time: over a network the round trips decide.
const REMOVERS: usize = 8;

/// What a prune did, or would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Snapshots, all of which stay.
    pub snapshots: u64,
    /// Blobs that they need.
    pub blobs: u64,
    /// Packs that were removed, those that were rewritten among them.
    pub packs_removed: u64,
    /// Packs whose needed blobs were written anew.
    pub packs_rewritten: u64,
    /// Bytes written anew.
    pub bytes_rewritten: u64,
    /// Bytes that the store has more of.
    pub bytes_freed: u64,
    /// Bytes that nobody needs, in packs that stay.
    pub bytes_unused: u64,
}

/// Removes what no snapshot needs, of Berth or not. With `dry_run` only says what it
/// would do; running backups make that an estimate.
///
/// # Errors
/// `Busy` while anybody uses the repository; `Corrupt`, and nothing was removed, if
/// a snapshot or one of its trees cannot be read or something that it needs is
/// missing.
pub fn prune(repository: &Repository, op: &Op, dry_run: bool) -> Result<Pruned> {
    let what = || format!("prune repository `{}`", repository.name());
    let named = |error: Error| {
        let damaged = error.kind() == ErrorKind::Corrupt && error.hint().is_none();
        let error = error.context(what());
        if damaged {
            return error.with_hint(format!("`berth repository check {}`", repository.name()));
        }
        error
    };
    if dry_run {
        let reading = Reading::begin(op, repository).context(what)?;
        let planned = planned(repository, op).map_err(named);
        return reading.end(planned.map(|planned| planned.pruned));
    }
    let lock = Lock::exclusive(op, repository).context(what)?;
    let pruned = planned(repository, op)
        .and_then(|planned| carry_out(repository, op, &lock, planned))
        .map_err(named)?;
    lock.release()?;
    Ok(pruned)
}

/// What is to be done, and what that will have been.
struct Planned {
    index: Index,
    plan: Plan,
    pruned: Pruned,
}

fn planned(repository: &Repository, op: &Op) -> Result<Planned> {
    // In the order of needs: a backup beside a dry run adds the other way round.
    let snapshots = repository.snapshots(op)?;
    let index = repository.index(op)?;
    let present = repository.store().list(op, Kind::Pack)?;
    let present: HashMap<_, _> = present.iter().map(|file| (file.id, file.size)).collect();
    let roots = snapshots.iter().map(|(_, file)| file.tree);
    let reach = Reach::of(repository, op, &index, roots)?;
    let plan = plan::plan(&index, &reach, &present)?;
    let removed: u64 = plan.remove.iter().map(|(_, length)| length).sum();
    let pruned = Pruned {
        snapshots: snapshots.len() as u64,
        blobs: reach.count(),
        packs_removed: plan.remove.len() as u64,
        packs_rewritten: plan.rewritten,
        bytes_rewritten: plan.bytes_rewritten,
        bytes_freed: removed.saturating_sub(plan.bytes_rewritten),
        bytes_unused: plan.bytes_unused,
    };
    Ok(Planned { index, plan, pruned })
}

fn carry_out(repository: &Repository, op: &Op, lock: &Lock, planned: Planned) -> Result<Pruned> {
    let Planned { index, plan, mut pruned } = planned;
    op.set_total(plan.bytes_rewritten);
    pruned.bytes_rewritten = rewrite(repository, op, &index, &plan)?;
    // Saboteur `skip-index-first`: packs go while an index still names them.
    if failpoint::sabotaged("skip-index-first") {
        remove(repository, op, lock, Kind::Pack, &plan.packs(), "prune.pack.remove")?;
    }
    if plan.reindex {
        lock.check()?;
        reindex(repository, op, &index, &plan)?;
        remove(repository, op, lock, Kind::Index, index.files(), "prune.index.remove")?;
    }
    remove(repository, op, lock, Kind::Pack, &plan.packs(), "prune.pack.remove")?;
    lock.check()?;
    failpoint::hit("prune.unfinished.sweep").context(|| "remove unfinished files")?;
    repository.store().sweep(op)?;
    Ok(pruned)
}

/// Writes the needed blobs of packs that go anew. How many bytes that were.
fn rewrite(repository: &Repository, op: &Op, index: &Index, plan: &Plan) -> Result<u64> {
    if plan.rewritten == 0 {
        return Ok(0);
    }
    // It knows nothing, so that it writes everything.
    let writer = Writer::new(repository, Arc::new(Index::default()), op)?;
    for (kind, picks) in &plan.picks {
        let fetch = Fetch { repository, index, op, kind: *kind };
        fetch.each(picks.iter().copied(), &|blob| {
            blob.content?;
            writer.add_sealed(*kind, &blob.id, &blob.sealed, blob.uncompressed)?;
            op.advance(blob.sealed.len() as u64, 0);
            Ok(())
        })?;
    }
    Ok(writer.finish()?.packed)
}

/// Writes an index of the packs that stay as they are. Those that were written name
/// theirs already.
fn reindex(repository: &Repository, op: &Op, index: &Index, plan: &Plan) -> Result<()> {
    let mut places = Vec::new();
    for kind in [BlobKind::Data, BlobKind::Tree] {
        for number in 0..index.count(kind) {
            let (pack, offset) = index.order(kind, number);
            if plan.stays[pack as usize] {
                places.push((pack, offset, kind, number));
            }
        }
    }
    places.sort_unstable();
    let mut file = IndexFile::default();
    let mut blobs = 0;
    for pack in places.chunk_by(|one, two| one.0 == two.0) {
        let blob = |(_, _, kind, number): &(u32, u32, BlobKind, u32)| {
            let (id, location) = index.place(*kind, *number);
            IndexBlob {
                id,
                kind: *kind,
                offset: location.offset,
                length: location.length,
                uncompressed_length: location.uncompressed,
            }
        };
        let id = index.packs()[pack[0].0 as usize];
        file.packs.push(IndexPack { id, blobs: pack.iter().map(blob).collect() });
        blobs += pack.len();
        if blobs >= BLOBS {
            write_index(repository, op, &std::mem::take(&mut file))?;
            blobs = 0;
        }
    }
    write_index(repository, op, &file)
}

fn write_index(repository: &Repository, op: &Op, file: &IndexFile) -> Result<()> {
    if file.packs.is_empty() {
        return Ok(());
    }
    failpoint::hit("prune.index.write").context(|| "write an index")?;
    repository.save(op, Kind::Index, file)?;
    Ok(())
}

/// Removes many files.
fn remove(
    repository: &Repository,
    op: &Op,
    lock: &Lock,
    kind: Kind,
    ids: &[Id],
    point: &'static str,
) -> Result<()> {
    let next = AtomicUsize::new(0);
    let work = || -> Result<()> {
        while let Some(id) = ids.get(next.fetch_add(1, Relaxed)) {
            op.check()?;
            lock.check()?;
            let what = || format!("remove {} {}", kind.noun(), id.short());
            failpoint::hit(point).context(what)?;
            repository.store().remove(op, kind, id).context(what)?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..REMOVERS.min(ids.len())).map(|_| scope.spawn(work)).collect();
        let ends = threads.into_iter().map(|thread| {
            thread.join().unwrap_or_else(|_| Err(Error::internal("a thread panicked")))
        });
        ends.collect::<Vec<_>>().into_iter().collect()
    })
}

impl Plan {
    fn packs(&self) -> Vec<Id> {
        self.remove.iter().map(|(id, _)| *id).collect()
    }
}
