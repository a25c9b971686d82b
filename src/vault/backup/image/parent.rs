//! The backup that unchanged blocks are taken over from.
//!
//! Each block that is taken over was looked up in the index, with its length. Of a
//! segment that is taken over whole only its directory is looked up: reading the ids
//! of all would cost what segments are there to save. `berth repository check` looks
//! at the rest.

use std::ops::Range;

use berth_api::{Context as _, Error, ErrorKind, Op, Result, SnapshotId};

use super::{SEGMENT, SEGMENTS, name, shape::Shape};
use crate::{
    backup::{Backup, IMAGE, Label},
    format::{BlobKind, Id, Node, NodeKind, Tree},
    repository::{Index, Repository},
};

/// A backup of the base of the delta.
#[derive(Debug)]
pub(super) struct Parent {
    /// Its id.
    pub(super) id: Id,
    /// The length of its image, in bytes.
    pub(super) size: u64,
    content: Content,
}

#[derive(Debug)]
enum Content {
    /// The blocks.
    Whole(Vec<Id>),
    /// The directories of the segments.
    Segments(Vec<Id>),
}

/// What a parent is looked for in.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) repository: &'a Repository,
    pub(super) op: &'a Op,
    pub(super) index: &'a Index,
    /// How the new image is cut.
    pub(super) shape: &'a Shape,
}

impl Parent {
    /// The newest backup of the same volume at `base` that can be taken over from.
    ///
    /// # Errors
    /// The store's. A backup that is damaged or cut otherwise is passed over.
    pub(super) fn find(place: &Place<'_>, of: &Label, base: SnapshotId) -> Result<Option<Self>> {
        let snapshots = place.repository.snapshots(place.op)?;
        let backups = snapshots.into_iter().rev().filter_map(|(id, file)| Backup::of(id, file));
        let wanted = backups.filter(|backup| {
            backup.label.volume_id == of.volume_id && backup.label.snapshot_id == Some(base)
        });
        for backup in wanted {
            if let Some(parent) = usable(&backup, place.read(&backup))? {
                return Ok(Some(parent));
            }
        }
        Ok(None)
    }

    /// How many blocks can be taken over. A last one that is shorter than others is
    /// longer in an image that grew.
    pub(super) fn blocks(&self, shape: &Shape) -> u64 {
        if self.size == shape.size { shape.blocks() } else { self.size / shape.block }
    }

    /// The directory of the segment that has just these blocks.
    pub(super) fn segment(&self, place: &Place<'_>, blocks: &Range<u64>) -> Option<Id> {
        let Content::Segments(trees) = &self.content else { return None };
        let number = usize::try_from(blocks.start / place.shape.segment?).ok()?;
        let id = trees.get(number)?;
        let whole = blocks.end <= self.blocks(place.shape)
            && place.index.find(BlobKind::Tree, id).is_some();
        whole.then_some(*id)
    }

    /// The ids of these blocks; fewer where it ends earlier, none if they are damaged.
    ///
    /// # Errors
    /// The store's.
    pub(super) fn ids(&self, place: &Place<'_>, blocks: &Range<u64>) -> Result<Vec<Id>> {
        match &self.content {
            Content::Whole(ids) => {
                let at = |block| usize::try_from(block).unwrap_or(usize::MAX).min(ids.len());
                Ok(ids[at(blocks.start)..at(blocks.end)].to_vec())
            }
            Content::Segments(trees) => {
                let each = place.shape.segment.unwrap_or(u64::MAX);
                let number = usize::try_from(blocks.start / each).unwrap_or(usize::MAX);
                let Some(tree) = trees.get(number) else { return Ok(Vec::new()) };
                let all = self.size.div_ceil(place.shape.block);
                let end = blocks.end.min(all);
                let read = place.segment(tree).and_then(|file| {
                    let length =
                        self.size.min(end * place.shape.block) - blocks.start * place.shape.block;
                    place.checked(file, length)
                });
                match read {
                    Ok(ids) => Ok(ids),
                    Err(error) if error.kind() == ErrorKind::Corrupt => {
                        tracing::warn!(segment = number, error = %error.chain(),
                            "a segment of the parent is damaged and is read anew");
                        Ok(Vec::new())
                    }
                    Err(error) => Err(error),
                }
            }
        }
    }
}

impl Place<'_> {
    fn read(&self, backup: &Backup) -> Result<Parent> {
        let tree = self.repository.tree(self.op, self.index, &backup.file.tree)?;
        let (size, content) = if self.shape.segment.is_some()
            && let Some(folder) = tree.nodes.iter().find(|node| node.name == SEGMENTS)
        {
            self.segments(folder)?
        } else {
            let file = tree.nodes.into_iter().find(|node| node.name == IMAGE);
            let file = file.ok_or_else(|| Error::corrupt("there is no image in it"))?;
            let size = file.size;
            (size, Content::Whole(self.checked(file, size)?))
        };
        if size > self.shape.size {
            return Err(Error::corrupt("the image is shorter now"));
        }
        Ok(Parent { id: backup.id, size, content })
    }

    /// The length of an image in segments, and their directories.
    fn segments(&self, folder: &Node) -> Result<(u64, Content)> {
        let wrong = || Error::corrupt("its segments have another form");
        let each = self.shape.segment.ok_or_else(wrong)?;
        let subtree = folder.subtree.ok_or_else(wrong)?;
        let Tree { nodes } = self.repository.tree(self.op, self.index, &subtree)?;
        let trees = nodes.iter().zip(0..).map(|(node, number)| {
            let named = node.kind == NodeKind::Dir && node.name == name(number);
            node.subtree.filter(|_| named).ok_or_else(wrong)
        });
        let trees = trees.collect::<Result<Vec<_>>>()?;
        let (Some(first), Some(last)) = (trees.first(), trees.last()) else { return Err(wrong()) };
        // Those between are as long as the first, or another version wrote them.
        let length = each * self.shape.block;
        let end = self.segment(last)?.size;
        if end > length || trees.len() > 1 && self.segment(first)?.size != length {
            return Err(wrong());
        }
        let before = (trees.len() as u64 - 1).checked_mul(length);
        let size = before.and_then(|before| before.checked_add(end)).ok_or_else(wrong)?;
        Ok((size, Content::Segments(trees)))
    }

    fn segment(&self, tree: &Id) -> Result<Node> {
        let Tree { nodes } = self.repository.tree(self.op, self.index, tree)?;
        let file = nodes.into_iter().find(|node| node.name == SEGMENT);
        file.ok_or_else(|| Error::corrupt("there is no segment in it"))
    }

    /// The blocks of a file of `size` bytes, if all are in the index and as long as
    /// they are here.
    fn checked(&self, file: Node, size: u64) -> Result<Vec<Id>> {
        let ids = file.content.unwrap_or_default();
        let block = self.shape.block;
        if file.size != size || ids.len() as u64 != size.div_ceil(block) {
            return Err(Error::corrupt("its blocks have another length"));
        }
        for (id, at) in ids.iter().zip((0..).step_by(1 << block.trailing_zeros())) {
            match self.index.length(BlobKind::Data, id) {
                Some(length) if length == block.min(size - at) => {}
                Some(_) => return Err(Error::corrupt("its blocks have another length")),
                None => {
                    let lost = format!("no index knows blob {}", id.short());
                    return Err(Error::corrupt(lost));
                }
            }
        }
        Ok(ids)
    }
}

/// None for one that cannot be used, and why in the log.
fn usable(backup: &Backup, read: Result<Parent>) -> Result<Option<Parent>> {
    match read {
        Err(error) if error.kind() == ErrorKind::Corrupt => {
            tracing::warn!(backup = %backup.id.short(), error = %error.chain(),
                "no block can be taken over from a backup");
            Ok(None)
        }
        other => other.map(Some).context(|| format!("read backup `{}`", backup.id.short())),
    }
}
