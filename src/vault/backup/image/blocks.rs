//! Reading the blocks of one file of an image, in parallel.

use std::{
    ops::Range,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    thread,
};

use berth_api::{BlockReader, Context as _, Error, Op, Result};

use super::shape::Shape;
use crate::{
    Writer,
    format::{BlobKind, Id},
};

/// How much one read takes, in bytes, unless a single block is larger.
const READ: u64 = 1 << 20;
/// Threads: more than processors, since some wait for the disk or the server.
const THREADS: (usize, usize) = (4, 16);

/// Where blocks come from and go to.
pub(super) struct Blocks<'a> {
    pub(super) reader: &'a dyn BlockReader,
    pub(super) shape: &'a Shape,
    pub(super) writer: &'a Writer,
    pub(super) op: &'a Op,
}

impl Blocks<'_> {
    /// Reads and stores these blocks; `ids` are those of all blocks from `first` on.
    ///
    /// # Errors
    /// The first; a block that cannot be read is named by its offset.
    pub(super) fn store(
        &self,
        wanted: impl Iterator<Item = Range<u64>>,
        first: u64,
        ids: &mut [Id],
    ) -> Result<()> {
        let each = (READ / self.shape.block).max(1);
        let reads: Vec<Range<u64>> = wanted
            .flat_map(|range| {
                let starts = range.clone().step_by(usize::try_from(each).unwrap_or(usize::MAX));
                starts.map(move |start| start..(start + each).min(range.end))
            })
            .collect();
        let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        let (failure, ids) = (Mutex::new(None), Mutex::new(ids));
        let work = || -> Result<()> {
            let mut buffer = Vec::new();
            while !stop.load(Relaxed)
                && let Some(read) = reads.get(next.fetch_add(1, Relaxed))
            {
                self.op.check()?;
                let stored = self.store_run(read, &mut buffer)?;
                let mut ids = ids.lock().unwrap_or_else(PoisonError::into_inner);
                for (id, block) in stored.into_iter().zip(read.clone()) {
                    let at = usize::try_from(block - first).ok();
                    *at.and_then(|at| ids.get_mut(at)).expect("a block of this file") = id;
                }
            }
            Ok(())
        };
        let guarded = || {
            if let Err(error) = work() {
                stop.store(true, Relaxed);
                failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            }
        };
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let threads = processors.clamp(THREADS.0, THREADS.1).min(reads.len());
        thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(guarded)).collect();
            guarded();
            for other in others {
                other.join().map_err(|_| Error::internal("a reader of blocks panicked"))?;
            }
            Ok(())
        })?;
        let failure = failure.into_inner().unwrap_or_else(PoisonError::into_inner);
        failure.map_or(Ok(()), Err)
    }

    /// Stores blocks that lie side by side.
    fn store_run(&self, blocks: &Range<u64>, buffer: &mut Vec<u8>) -> Result<Vec<Id>> {
        let bytes = self.shape.bytes(blocks);
        let length = usize::try_from(bytes.end - bytes.start)
            .map_err(|_| Error::internal("a read that no memory holds"))?;
        buffer.resize(length, 0);
        self.reader
            .read_exact_at(buffer, bytes.start)
            .context(|| format!("read {length} bytes at offset {}", bytes.start))?;
        let block = usize::try_from(self.shape.block).unwrap_or(usize::MAX);
        let stored = buffer.chunks(block).map(|content| {
            let added = if is_zero(content) {
                self.writer.add_zeros(content.len())
            } else {
                self.writer.add(BlobKind::Data, content)
            };
            added.map(|added| added.id)
        });
        let stored = stored.collect::<Result<Vec<_>>>()?;
        self.op.advance(length as u64, 0);
        Ok(stored)
    }
}

/// The first byte is zero, and each is as the one before: one `memcmp`.
fn is_zero(content: &[u8]) -> bool {
    match content {
        [] => true,
        [first, rest @ ..] => *first == 0 && content[..rest.len()] == *rest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_are_told_from_all_else() {
        for length in [0, 1, 2, 63, 4096] {
            let mut content = vec![0; length];
            assert!(is_zero(&content));
            for at in 0..length {
                content[at] = 1;
                assert!(!is_zero(&content), "{at} of {length}");
                content[at] = 0;
            }
            assert!(length == 0 || !is_zero(&vec![7; length]));
        }
    }
}
