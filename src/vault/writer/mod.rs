//! Writing: blobs in, packs and their index out.
//!
//! ```text
//! threads of the caller               threads of the writer
//! hash · known? · compress · seal ─▶ pack ─▶ store ─▶ index, now and then
//! ```
//!
//! It knows nothing of what the blobs are content of, nor of snapshots and locks.
//!
//! | module | noun |
//! |---|---|
//! | [`known`] | the blobs of this run |
//! | [`packer`] | one pack that is being filled |
//! | [`upload`] | the threads that write packs, and the index of what they wrote |
//!
//! Invariants:
//! - An index names only packs that are on stable storage.
//! - The first error ends it all: every later call and [`finish`](Writer::finish)
//!   give it back, and nothing more is written.
//! - Memory is bounded: who fills packs faster than they are written waits.
//! - A writer that is dropped has no thread that still writes.

mod known;
mod packer;
#[cfg(test)]
mod tests;
mod upload;

use std::{
    cell::RefCell,
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use berth_api::{Error, Op, Result};

use self::{known::Known, packer::Packer, upload::Uploads};
use crate::{
    format::{BlobKind, Id, MasterKey, crypt::OVERHEAD},
    repository::{Index, LEVEL, Repository},
};

/// How many packs are written side by side, on a disk and over a network.
const NEAR: usize = 2;
const DISTANT: usize = 4;
/// What all packs in memory may come to, in bytes; those of trees come on top.
const MEMORY: usize = 96 << 20;
/// The smallest and the largest size of a full pack, in bytes. restic wants 4 to 128 MiB.
const SIZES: (usize, usize) = (16 << 20, 32 << 20);
/// The size of a full pack of trees, in bytes. Trees are read to list and to compare,
/// so they are kept apart, and a small backup should not hold back much memory.
const TREES: usize = 8 << 20;

/// Writes blobs, each once. Shared by the threads of a backup; see the module.
#[derive(Debug)]
pub struct Writer {
    key: MasterKey,
    index: Arc<Index>,
    op: Op,
    known: Known,
    /// The blobs of zeros, by length.
    zeros: Mutex<HashMap<usize, Id>>,
    data: Mutex<Packer>,
    trees: Mutex<Packer>,
    uploads: Uploads,
    counts: Counts,
}

/// A blob that is in the repository once [`Writer::finish`] has come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Added {
    /// Its id.
    pub id: Id,
    /// It was not there, nor added before.
    pub new: bool,
}

/// What a writer wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// New blobs of content.
    pub data_blobs: u64,
    /// New blobs of directories.
    pub tree_blobs: u64,
    /// Bytes of new blobs.
    pub added: u64,
    /// Bytes of new blobs as stored.
    pub packed: u64,
}

#[derive(Debug, Default)]
struct Counts {
    data_blobs: AtomicU64,
    tree_blobs: AtomicU64,
    added: AtomicU64,
    packed: AtomicU64,
}

impl Writer {
    /// A writer that leaves out what `index` knows. To write blobs anew, give an
    /// index without them.
    ///
    /// # Errors
    /// The kernel's, for threads.
    pub fn new(repository: &Repository, index: Arc<Index>, op: &Op) -> Result<Self> {
        let parallel = if repository.store().is_distant() { DISTANT } else { NEAR };
        let size = forced().unwrap_or((MEMORY / (parallel + 1)).clamp(SIZES.0, SIZES.1));
        Ok(Self {
            key: repository.key().clone(),
            index,
            op: op.clone(),
            known: Known::default(),
            zeros: Mutex::default(),
            data: Mutex::new(Packer::new(size)),
            trees: Mutex::new(Packer::new(TREES)),
            uploads: Uploads::start(repository, op, parallel)?,
            counts: Counts::default(),
        })
    }

    /// Adds a blob. One that is known costs a digest; else the calling thread
    /// compresses and seals, and waits while too many packs are not yet written.
    ///
    /// # Errors
    /// The first error of this writer, whoever had it.
    pub fn add(&self, kind: BlobKind, content: &[u8]) -> Result<Added> {
        self.uploads.check()?;
        let id = Id::of(content);
        let new = self.claim(kind, &id);
        if new {
            self.uploads.keep(self.put(kind, id, content))?;
        }
        Ok(Added { id, new })
    }

    /// Adds a blob of `length` zeros. Costs a look-up after the first.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn add_zeros(&self, length: usize) -> Result<Added> {
        let mut zeros = lock(&self.zeros);
        if let Some(id) = zeros.get(&length) {
            self.uploads.check()?;
            return Ok(Added { id: *id, new: false });
        }
        let added = self.add(BlobKind::Data, &vec![0; length])?;
        zeros.insert(length, added.id);
        Ok(added)
    }

    /// Adds a blob as it is stored in a repository with the same key, without opening
    /// it. One that is known is left out.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn add_sealed(
        &self,
        kind: BlobKind,
        id: &Id,
        sealed: &[u8],
        uncompressed: Option<u32>,
    ) -> Result<()> {
        self.uploads.check()?;
        if self.claim(kind, id) {
            let raw =
                uncompressed.map_or(sealed.len().saturating_sub(OVERHEAD), |raw| raw as usize);
            self.uploads.keep(self.pack(kind, *id, sealed, uncompressed, raw))?;
        }
        Ok(())
    }

    /// Whether the index knows a blob, or it was added.
    pub fn has(&self, kind: BlobKind, id: &Id) -> bool {
        self.index.find(kind, id).is_some() || self.known.has(kind, id)
    }

    /// Writes what is left. On return all packs and their index are on stable storage.
    ///
    /// # Errors
    /// The first error of this writer; then not all blobs are there.
    pub fn finish(mut self) -> Result<Written> {
        for side in [&self.data, &self.trees] {
            self.uploads.check()?;
            if let Some(pack) = lock(side).take() {
                self.uploads.send(pack)?;
            }
        }
        self.uploads.finish()?;
        let Counts { data_blobs, tree_blobs, added, packed } = &self.counts;
        Ok(Written {
            data_blobs: data_blobs.load(Relaxed),
            tree_blobs: tree_blobs.load(Relaxed),
            added: added.load(Relaxed),
            packed: packed.load(Relaxed),
        })
    }

    /// Whether this thread is the one to write that blob.
    fn claim(&self, kind: BlobKind, id: &Id) -> bool {
        self.index.find(kind, id).is_none() && self.known.insert(kind, id)
    }

    fn put(&self, kind: BlobKind, id: Id, content: &[u8]) -> Result<()> {
        let length = u32::try_from(content.len())
            .map_err(|_| Error::internal("a blob is larger than 4 GiB"))?;
        // An index cannot tell compressed nothing from what is not compressed.
        if length == 0 {
            return self.pack(kind, id, &self.key.seal(content)?, None, 0);
        }
        let sealed = self.key.seal(&compress(content)?)?;
        self.pack(kind, id, &sealed, Some(length), content.len())
    }

    fn pack(
        &self,
        kind: BlobKind,
        id: Id,
        sealed: &[u8],
        uncompressed: Option<u32>,
        raw: usize,
    ) -> Result<()> {
        self.op.check()?;
        let (side, blobs) = match kind {
            BlobKind::Data => (&self.data, &self.counts.data_blobs),
            BlobKind::Tree => (&self.trees, &self.counts.tree_blobs),
        };
        blobs.fetch_add(1, Relaxed);
        self.counts.added.fetch_add(raw as u64, Relaxed);
        self.counts.packed.fetch_add(sealed.len() as u64, Relaxed);
        let mut packer = lock(side);
        packer.push(kind, id, sealed, uncompressed)?;
        match packer.is_full().then(|| packer.take()).flatten() {
            // Under the mutex: a second full pack would be memory that nothing bounds.
            Some(pack) => self.uploads.send(pack),
            None => Ok(()),
        }
    }
}

thread_local! {
    /// One for each thread: to make one costs more than to compress a small blob.
    static COMPRESSOR: RefCell<Option<zstd::bulk::Compressor<'static>>> =
        const { RefCell::new(None) };
}

fn compress(content: &[u8]) -> Result<Vec<u8>> {
    let wrong = |source| Error::internal("compress a blob").with_source(source);
    COMPRESSOR.with_borrow_mut(|place| {
        let compressor = match place {
            Some(compressor) => compressor,
            None => place.insert(zstd::bulk::Compressor::new(LEVEL).map_err(wrong)?),
        };
        compressor.compress(content).map_err(wrong)
    })
}

/// With the feature `testing`, `BERTH_TEST_PACK_BYTES` instead of the size of a full pack:
/// many packs without much content.
fn forced() -> Option<usize> {
    #[cfg(feature = "testing")]
    if let Ok(text) = std::env::var("BERTH_TEST_PACK_BYTES") {
        return text.parse().ok();
    }
    None
}

/// What a panic elsewhere left is whole here: every change is one call.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
