//! Backing up a tree: file by file, in restic's format.
//!
//! ```text
//! reading (berth-host) ──entries──▶ collector ──blobs──▶ writer
//!                                   │      ▲
//!                         nodes, children  │ what is unchanged
//!                         before parents   parent, directory by directory
//! ```
//!
//! | module | noun |
//! |---|---|
//! | [`collector`] | what becomes of each entry |
//! | [`content`] | a file's content, holes left out |
//! | [`chunker`] | content-defined cuts |
//! | [`describe`] | what the kernel says, as a node |
//! | [`identity`] | what tells in the next backup that a file is the same |
//! | [`links`] | files with several names |
//! | [`parent`] | the backup that unchanged content is taken over from |
//! | [`tally`] | what was done |
//!
//! Invariants:
//! - What is in the tree is in the backup, or there is no backup: an error of any
//!   entry fails the whole. Left out, counted and logged are mounts, and in live
//!   content what vanishes.
//! - A file is taken over unread only if its inode, time of change, time of
//!   modification and size prove that nothing of it changed.
//! - In memory are the directories from the top to where the threads read, with what
//!   is known of their entries; not the whole tree.

mod chunker;
mod collector;
mod content;
mod describe;
mod identity;
mod links;
mod parent;
mod tally;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
};

use berth_api::{Consistency, Context as _, Error, Op, Result, VolumeId};
use berth_host::beneath::{Dir, copy::Origins, reading};
use jiff::Timestamp;

use self::{
    chunker::Chunker,
    collector::Collector,
    identity::Identities,
    links::{Links, lock},
    parent::Parent,
    tally::{State, Tally, count},
};
use super::{
    Backup, Label, Mode, Request,
    record::{self, Record},
};
use crate::{format::Summary, lock::Lock, repository::Repository, writer::Writer};

/// Where the tree is.
#[derive(Debug)]
pub struct TreeSource<'a> {
    /// Its top directory.
    pub data: &'a Dir,
    /// What is noted beside a copy of the volume's files; `None` where the inodes are
    /// the volume's own.
    pub origins: Option<Origins>,
    /// Others may write to it meanwhile.
    pub live: bool,
    /// The volume.
    pub volume: VolumeId,
}

/// Backs up a tree. What did not change since the newest backup of that volume in
/// this repository is not read.
///
/// # Errors
/// The first of any entry, with its path; `Busy` if somebody holds an exclusive lock.
/// There is no backup then, but what was written until then need not be written again.
pub fn back_up(
    repository: &Repository,
    op: &Op,
    request: &Request,
    source: &TreeSource<'_>,
) -> Result<Backup> {
    let what = || format!("back up `{}`", request.label.volume);
    let held = Lock::shared(op, repository)?;
    let result = write(repository, op, request, source, &held).context(what);
    match (result, held.release()) {
        (Ok(backup), released) => {
            if let Err(error) = released {
                tracing::warn!(error = error.chain(), "the lock could not be removed");
            }
            Ok(backup)
        }
        (Err(error), _) => Err(error),
    }
}

fn write(
    repository: &Repository,
    op: &Op,
    request: &Request,
    source: &TreeSource<'_>,
    held: &Lock,
) -> Result<Backup> {
    let start = Timestamp::now();
    let index = Arc::new(repository.index(op)?);
    let parent = Parent::choose(repository, op, &index, source.volume)?;
    let writer = Writer::new(repository, index, op)?;
    let chunker = Chunker::new(repository.config().chunker_polynomial);
    let collector = Collector {
        op,
        lock: held,
        writer: &writer,
        chunker: &chunker,
        parent: parent.as_ref(),
        identities: match &source.origins {
            Some(origins) => Identities::Noted(origins),
            None if source.live => Identities::Live,
            None => Identities::Snapshot(request.created),
        },
        live: source.live,
        links: Links::default(),
        tally: Tally::default(),
        top: Mutex::default(),
    };
    let estimate = parent.as_ref().map(|parent| parent.backup.size);
    read(op, source, &collector, estimate)?;
    let Collector { tally, top, .. } = collector;
    let top = lock(&top).take().ok_or_else(|| Error::internal("the tree has no top"))?;
    let parent = parent.map(|parent| parent.backup.id);
    let request = Request { label: label(request, &tally, parent.is_some()), ..request.clone() };
    let summary = summary(&tally, start);
    let record = Record { request: &request, content: top, parent, summary };
    record.write(repository, op, writer, held)
}

/// Reads the tree; meanwhile, where nobody knows how much that is, counts it.
fn read(
    op: &Op,
    source: &TreeSource<'_>,
    collector: &Collector<'_, '_>,
    estimate: Option<u64>,
) -> Result<()> {
    let ended = AtomicBool::new(false);
    let count = || {
        let mut bytes = 0_u64;
        let counted = source.data.tour(&mut |entry| {
            if ended.load(Relaxed) {
                return Err(Error::conflict("nobody needs it any more"));
            }
            bytes = bytes.saturating_add(entry.size());
            Ok(())
        });
        if counted.is_ok() {
            op.set_total(bytes);
        }
    };
    thread::scope(|scope| {
        if let Some(bytes) = estimate {
            op.set_total(bytes);
        } else {
            // Only for people: without a thread, or with an error, it stays unknown.
            let _ = thread::Builder::new().name("count".into()).spawn_scoped(scope, count);
        }
        let result = reading::read(source.data, collector);
        ended.store(true, Relaxed);
        result
    })
}

fn label(request: &Request, tally: &Tally, has_parent: bool) -> Label {
    let mut label = request.label.clone();
    label.mode = if has_parent { Mode::Incremental } else { Mode::Full };
    label.bytes_read = tally.read.load(Relaxed);
    if tally.moving.load(Relaxed) {
        label.consistency = Consistency::Live;
    }
    label
}

fn summary(tally: &Tally, started: Timestamp) -> Summary {
    let files = |state| count(&tally.files, state);
    let directories = |state| count(&tally.directories, state);
    Summary {
        files_new: files(State::New),
        files_changed: files(State::Changed),
        files_unmodified: files(State::Unmodified),
        dirs_new: directories(State::New),
        dirs_changed: directories(State::Changed),
        dirs_unmodified: directories(State::Unmodified),
        total_files_processed: tally.files.iter().map(|count| count.load(Relaxed)).sum(),
        total_bytes_processed: tally.bytes.load(Relaxed),
        ..record::summary(started)
    }
}
