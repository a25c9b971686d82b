//! The threads that write packs, and the index of what they wrote.

use std::{
    mem,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use berth_api::{Context as _, Error, Op, Result};
use berth_host::failpoint;
use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender};

use super::{lock, packer::Pack};
use crate::{
    format::{Id, IndexFile, IndexPack, pack},
    repository::Repository,
    store::Kind,
};

/// An index is written when so many packs stand in none, and they are more than a
/// [`PART`] of all: an interrupted backup loses little, and a long one does not end
/// with thousands of index files.
const PACKS: usize = 8;
const PART: usize = 16;
/// ... or when so many blobs do, as restic has it,
const BLOBS: usize = 50_000;
/// ... or after this time.
const AGE: Duration = Duration::from_secs(20);

/// The way of packs into the repository.
#[derive(Debug)]
pub(super) struct Uploads {
    /// None once it is finished.
    packs: Option<Sender<Pack>>,
    threads: Vec<JoinHandle<()>>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    repository: Repository,
    op: Op,
    /// Something went wrong, or the writer was dropped: nothing more is written.
    stopped: AtomicBool,
    /// The first error.
    error: Mutex<Option<Error>>,
    pending: Mutex<Pending>,
    /// The saboteur `skip-pack-upload` has skipped one.
    skipped: AtomicBool,
}

/// Packs that are on stable storage and in no index.
#[derive(Debug)]
struct Pending {
    packs: Vec<IndexPack>,
    blobs: usize,
    /// Packs of this run that are in an index.
    indexed: usize,
    since: Instant,
}

impl Uploads {
    /// Starts `parallel` threads.
    pub(super) fn start(repository: &Repository, op: &Op, parallel: usize) -> Result<Self> {
        let shared = Arc::new(Shared {
            repository: repository.clone(),
            op: op.clone(),
            stopped: AtomicBool::new(false),
            error: Mutex::default(),
            pending: Mutex::new(Pending::new()),
            skipped: AtomicBool::new(false),
        });
        // No room in the channel: a pack is with its packer or with a thread.
        let (sender, receiver) = crossbeam_channel::bounded(0);
        let mut uploads = Self { packs: Some(sender), threads: Vec::new(), shared };
        for _ in 0..parallel {
            let (shared, receiver) = (uploads.shared.clone(), receiver.clone());
            let thread = thread::Builder::new().name("berth-upload".to_owned());
            let thread = thread.spawn(move || shared.work(&receiver));
            uploads.threads.push(thread.context(|| "start a thread that writes packs")?);
        }
        Ok(uploads)
    }

    /// The first error, if there is one.
    pub(super) fn check(&self) -> Result<()> {
        if self.shared.stopped.load(Ordering::Acquire) {
            return Err(self.shared.first());
        }
        Ok(())
    }

    /// Remembers an error of a caller, if it is the first, and gives the first back.
    pub(super) fn keep(&self, result: Result<()>) -> Result<()> {
        result.map_err(|error| {
            self.shared.stop(error);
            self.shared.first()
        })
    }

    /// Gives a pack to a thread; waits until one is free.
    pub(super) fn send(&self, pack: Pack) -> Result<()> {
        self.check()?;
        let sender = self.packs.as_ref().ok_or_else(|| Error::internal("a finished writer"))?;
        sender.send(pack).map_err(|_| Error::internal("no thread writes packs any more"))
    }

    /// Waits for all packs, and writes the rest of the index.
    pub(super) fn finish(&mut self) -> Result<()> {
        self.join();
        self.check()?;
        let rest = lock(&self.shared.pending).take();
        self.shared.write_index(rest)
    }

    fn join(&mut self) {
        self.packs = None;
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                self.shared.stop(Error::internal("a thread that writes packs panicked"));
            }
        }
    }
}

impl Drop for Uploads {
    fn drop(&mut self) {
        // Whoever drops it may let go of the lock next.
        self.shared.stopped.store(true, Ordering::Release);
        self.join();
    }
}

impl Shared {
    fn work(&self, packs: &Receiver<Pack>) {
        // To the end, also after an error: else senders would wait for ever.
        for pack in packs {
            if self.stopped.load(Ordering::Acquire) {
                continue;
            }
            if let Err(error) = self.upload(pack) {
                self.stop(error);
            }
        }
    }

    fn upload(&self, Pack { mut bytes, blobs }: Pack) -> Result<()> {
        self.op.check()?;
        let header = self.repository.key().seal(&pack::header(&blobs))?;
        let length = u32::try_from(header.len())
            .map_err(|_| Error::internal("the header of a pack is larger than 4 GiB"))?;
        bytes.extend(header);
        bytes.extend(length.to_le_bytes());
        let id = Id::of(&bytes);
        // Saboteur `skip-pack-upload`: one pack is in the index, and nowhere else.
        let skip =
            failpoint::sabotaged("skip-pack-upload") && !self.skipped.swap(true, Ordering::Relaxed);
        if !skip {
            let what = || format!("write pack {}", id.short());
            failpoint::hit("writer.pack.write").context(what)?;
            let store = self.repository.store();
            store.write(&self.op, Kind::Pack, &id, Bytes::from(bytes)).context(what)?;
        }
        let due = lock(&self.pending).push(IndexPack { id, blobs });
        self.write_index(due)
    }

    fn write_index(&self, packs: Vec<IndexPack>) -> Result<()> {
        if packs.is_empty() {
            return Ok(());
        }
        failpoint::hit("writer.index.write").context(|| "write an index")?;
        let file = IndexFile { supersedes: Vec::new(), packs };
        self.repository.save(&self.op, Kind::Index, &file).context(|| "write an index")?;
        Ok(())
    }

    fn stop(&self, error: Error) {
        lock(&self.error).get_or_insert(error);
        self.stopped.store(true, Ordering::Release);
    }

    fn first(&self) -> Error {
        lock(&self.error)
            .as_ref()
            .map_or_else(|| Error::internal("the writer was stopped"), Error::duplicate)
    }
}

impl Pending {
    fn new() -> Self {
        Self { packs: Vec::new(), blobs: 0, indexed: 0, since: Instant::now() }
    }

    /// Adds a pack. What is to be indexed now, if anything.
    fn push(&mut self, pack: IndexPack) -> Vec<IndexPack> {
        self.blobs += pack.blobs.len();
        self.packs.push(pack);
        let many = self.packs.len() >= PACKS && self.packs.len() * PART >= self.indexed;
        if many || self.blobs >= BLOBS || self.since.elapsed() >= AGE {
            return self.take();
        }
        Vec::new()
    }

    fn take(&mut self) -> Vec<IndexPack> {
        self.indexed += self.packs.len();
        self.blobs = 0;
        self.since = Instant::now();
        mem::take(&mut self.packs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_come_soon_and_do_not_become_many() {
        let mut pending = Pending::new();
        let mut files = Vec::new();
        for _ in 0..10_000 {
            let due = pending.push(IndexPack { id: Id::default(), blobs: Vec::new() });
            files.extend(Some(due.len()).filter(|packs| *packs > 0));
        }
        assert_eq!(files[..4], [PACKS; 4]);
        assert!(files.len() < 150, "{} index files", files.len());
        assert!(pending.packs.len() <= 10_000 / PART);
    }
}
