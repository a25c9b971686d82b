//! Backups of images: disks, in blocks of one length.
//!
//! ```text
//!            kept: the parent's block        not changed since the base of the delta
//! a block is zero: never read                not allocated
//!            read: in parallel               all else
//! ```
//!
//! | module | noun |
//! |---|---|
//! | [`shape`] | how an image is cut: blocks, and past a limit files of one segment each |
//! | [`spans`] | sets of blocks |
//! | [`parent`] | the backup that unchanged blocks are taken over from |
//! | [`blocks`] | reading blocks, in parallel |
//!
//! Invariants:
//! - A block is taken over only from a backup of the very snapshot that the delta is
//!   based on. Without one everything is read, and the backup says so.
//! - A block that cannot be read fails the backup: there is no snapshot then.

mod blocks;
mod parent;
mod shape;
mod spans;

use std::{iter, ops::Range, sync::Arc};

use berth_api::{BlockReader, Context as _, Error, Extent, Op, Result, SnapshotId};
use jiff::Timestamp;

use self::{
    blocks::Blocks,
    parent::{Parent, Place},
    shape::Shape,
    spans::Spans,
};
use super::{Backup, IMAGE, Mode, Request, description::Content, record};
use crate::{
    Lock, Writer,
    format::{BlobKind, Id, Node, NodeKind, Tree},
    repository::{Index, Repository},
};

pub use shape::Segments;

/// The directory that an image in segments is in.
pub const SEGMENTS: &str = "volume.img.d";
/// What the file in the directory of a segment is called.
pub const SEGMENT: &str = "segment";

/// What the directory of a segment is called.
pub fn name(segment: u64) -> String {
    format!("{segment:05}")
}

/// An image that can be read.
#[derive(Debug)]
pub struct ImageSource<'a> {
    /// Its content.
    pub reader: &'a dyn BlockReader,
    /// Its length, in bytes.
    pub size: u64,
    /// The length of blocks, in bytes: a power of two from 64 KiB to 8 MiB.
    pub block_size: u32,
    /// What holds data; all else is zeros, and not read.
    pub allocated: Vec<Extent>,
    /// What may have changed since that snapshot of the volume, if that can be told.
    pub changed: Option<(SnapshotId, Vec<Extent>)>,
}

/// Backs up an image. Takes the repository's shared lock.
///
/// # Errors
/// `Invalid` for a length of blocks that cannot be; the reader's, with the offset; the
/// repository's. There is no snapshot then.
pub fn back_up(
    repository: &Repository,
    op: &Op,
    request: &Request,
    source: &ImageSource<'_>,
) -> Result<Backup> {
    back_up_in(repository, op, request, source, &Segments::default())
}

/// As [`back_up`], with other segments.
///
/// # Errors
/// As there.
pub fn back_up_in(
    repository: &Repository,
    op: &Op,
    request: &Request,
    source: &ImageSource<'_>,
    segments: &Segments,
) -> Result<Backup> {
    let what = || format!("back up volume `{}`", request.label.volume);
    let shape = Shape::new(source.size, source.block_size, segments).context(what)?;
    let lock = Lock::shared(op, repository).context(what)?;
    let backup = Run::begin(repository, op, request, source, &shape)
        .and_then(|run| run.end(&lock))
        .context(what)?;
    // It is there, whatever becomes of the lock, which others remove in time.
    if let Err(error) = lock.release() {
        tracing::warn!(repository = repository.name(), error = %error.chain(), "unlock");
    }
    Ok(backup)
}

/// One backup of an image.
struct Run<'a> {
    repository: &'a Repository,
    op: &'a Op,
    request: &'a Request,
    source: &'a ImageSource<'a>,
    shape: &'a Shape,
    index: Arc<Index>,
    writer: Writer,
    parent: Option<Parent>,
    /// Blocks that are taken over.
    keep: Spans,
    /// Blocks that hold data.
    allocated: Spans,
    bytes_read: u64,
    started: Timestamp,
}

impl<'a> Run<'a> {
    fn begin(
        repository: &'a Repository,
        op: &'a Op,
        request: &'a Request,
        source: &'a ImageSource<'a>,
        shape: &'a Shape,
    ) -> Result<Self> {
        let started = Timestamp::now();
        // After the lock: what it says stays true.
        let index = Arc::new(repository.index(op)?);
        let mut keep = Spans::default();
        let mut parent = None;
        if let Some((base, changed)) = &source.changed {
            let place = Place { repository, op, index: &index, shape };
            parent = Parent::find(&place, &request.label, *base)?;
            if let Some(parent) = &parent {
                let changed = Spans::touched(changed, shape.block, shape.size);
                keep = Spans::of(iter::once(0..parent.blocks(shape)).collect()).without(&changed);
            } else {
                tracing::warn!(volume = %request.label.volume, %base,
                    "no backup of the base of the changes is there: reading everything");
            }
        }
        let allocated = Spans::touched(&source.allocated, shape.block, shape.size);
        let read = allocated.without(&keep);
        op.set_total(read.within(0..shape.blocks()).map(|range| shape.length(&range)).sum());
        let writer = Writer::new(repository, index.clone(), op)?;
        Ok(Self {
            repository,
            op,
            request,
            source,
            shape,
            index,
            writer,
            parent,
            keep,
            allocated,
            bytes_read: 0,
            started,
        })
    }

    fn end(mut self, lock: &Lock) -> Result<Backup> {
        let content = if self.shape.segment.is_some() {
            self.segments()?
        } else {
            self.file(IMAGE, &(0..self.shape.blocks()))?
        };
        let mut request = self.request.clone();
        request.label.mode = if self.parent.is_some() { Mode::ChangedBlocks } else { Mode::Full };
        request.label.bytes_read = self.bytes_read;
        let Content::Image { size, block_size, .. } = &mut request.description.content else {
            return Err(Error::internal("the description of an image says that it is none"));
        };
        (*size, *block_size) = (self.source.size, self.source.block_size);
        let mut summary = record::summary(self.started);
        summary.total_files_processed = 1;
        summary.total_bytes_processed = self.source.size;
        match (&self.parent, self.bytes_read) {
            (None, _) => summary.files_new = 1,
            (Some(_), 0) => summary.files_unmodified = 1,
            (Some(_), _) => summary.files_changed = 1,
        }
        let parent = self.parent.as_ref().map(|parent| parent.id);
        record::Record { request: &request, content, parent, summary }.write(
            self.repository,
            self.op,
            self.writer,
            lock,
        )
    }

    /// The directory of all segments.
    fn segments(&mut self) -> Result<Node> {
        let mut all = Tree::default();
        for (blocks, number) in self.shape.files().zip(0..) {
            let place = self.place();
            let kept = self.parent.as_ref().filter(|_| self.keep.covers(blocks.clone()));
            let kept = kept.and_then(|parent| parent.segment(&place, &blocks));
            let tree = if let Some(kept) = kept {
                kept
            } else {
                let file = self.file(SEGMENT, &blocks)?;
                self.folder(vec![file])?
            };
            all.nodes.push(self.node(&name(number), NodeKind::Dir, Some(tree)));
        }
        let tree = self.folder(all.nodes)?;
        Ok(self.node(SEGMENTS, NodeKind::Dir, Some(tree)))
    }

    fn folder(&self, nodes: Vec<Node>) -> Result<Id> {
        Ok(self.writer.add(BlobKind::Tree, &Tree { nodes }.to_bytes())?.id)
    }

    /// A file of these blocks.
    fn file(&mut self, name: &str, blocks: &Range<u64>) -> Result<Node> {
        let (op, shape) = (self.op, self.shape);
        let count = usize::try_from(blocks.end - blocks.start)
            .map_err(|_| Error::internal("an image that no memory holds"))?;
        let taken = match &self.parent {
            Some(parent) if self.keep.within(blocks.clone()).next().is_some() => {
                parent.ids(&self.place(), blocks)?
            }
            _ => Vec::new(),
        };
        // What the parent turned out not to have is read like all that changed.
        let there = blocks.start..blocks.start + taken.len() as u64;
        let kept = Spans::of(self.keep.within(there).collect());
        let read = Spans::of(self.allocated.within(blocks.clone()).collect()).without(&kept);
        let mut ids = vec![Id::default(); count];
        let at = |block: u64| usize::try_from(block - blocks.start).unwrap_or(usize::MAX);
        for range in kept.within(blocks.clone()) {
            let range = at(range.start)..at(range.end);
            ids[range.clone()].copy_from_slice(&taken[range]);
        }
        let all = Spans::of(iter::once(blocks.clone()).collect());
        for block in all.without(&kept).without(&read).within(blocks.clone()).flatten() {
            let length = shape.length(&(block..block + 1));
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            ids[at(block)] = self.writer.add_zeros(length)?.id;
        }
        self.bytes_read +=
            read.within(blocks.clone()).map(|range| shape.length(&range)).sum::<u64>();
        let Self { writer, source, .. } = &*self;
        let store = Blocks { reader: source.reader, shape, writer, op };
        store.store(read.within(blocks.clone()), blocks.start, &mut ids)?;
        let mut node = self.node(name, NodeKind::File, None);
        node.size = shape.length(blocks);
        node.content = Some(ids);
        Ok(node)
    }

    fn node(&self, name: &str, kind: NodeKind, subtree: Option<Id>) -> Node {
        let mut node = Node::new(name.as_bytes(), kind);
        node.set_mode(if kind == NodeKind::Dir { 0o700 } else { 0o600 });
        node.mtime = Some(self.request.created);
        node.links = 1;
        node.subtree = subtree;
        node
    }

    fn place(&self) -> Place<'_> {
        Place { repository: self.repository, op: self.op, index: &self.index, shape: self.shape }
    }
}
