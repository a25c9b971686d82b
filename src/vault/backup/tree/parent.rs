//! The backup that unchanged content is taken over from, directory by directory.
//!
//! Nothing of it is believed: names are checked, its blobs have to be in the index and
//! as long together as the file. What is damaged is read anew.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex},
};

use berth_api::{Context as _, Error, ErrorKind, Op, Result, VolumeId};

use super::links::lock;
use crate::{
    backup::{Backup, DATA},
    format::{BlobKind, Id, Node, NodeKind, Tree},
    repository::{Index, Location, Repository, blob::Opener},
    store::Kind,
};

/// Bytes of a pack that are read at once: trees that are needed one after the other
/// were written one after the other.
const WINDOW: u64 = 1 << 20;
/// Windows that are kept.
const KEPT: usize = 16;

/// The parent of a backup.
pub(super) struct Parent<'a> {
    repository: &'a Repository,
    op: &'a Op,
    index: Arc<Index>,
    pub(super) backup: Backup,
    /// The tree of the volume's top directory.
    pub(super) top: Id,
    windows: Mutex<Windows<'a>>,
}

/// A directory of the parent.
#[derive(Debug)]
pub(super) struct Known {
    /// By name.
    nodes: Vec<(Box<[u8]>, Node)>,
}

struct Windows<'a> {
    opener: Opener<'a>,
    /// Where the trees of each pack end, in bytes.
    ends: HashMap<Id, u64>,
    /// The last one used comes last.
    kept: Vec<(Id, u64, bytes::Bytes)>,
}

impl<'a> Parent<'a> {
    /// The newest backup of that volume whose tree is there; `None` if there is none.
    pub(super) fn choose(
        repository: &'a Repository,
        op: &'a Op,
        index: &Arc<Index>,
        volume: VolumeId,
    ) -> Result<Option<Self>> {
        let snapshots = repository.snapshots(op)?;
        let backups = snapshots.into_iter().filter_map(|(id, file)| Backup::of(id, file));
        let mut own = backups.filter(|backup| backup.label.volume_id == volume);
        let Some(backup) = own.next_back() else { return Ok(None) };
        let mut ends = HashMap::new();
        for (_, place) in index.places(BlobKind::Tree) {
            let end = ends.entry(place.pack).or_insert(0);
            *end = place.range().end.max(*end);
        }
        let windows = Windows { opener: Opener::new(repository)?, ends, kept: Vec::new() };
        let (top, index) = (backup.file.tree, index.clone());
        let windows = Mutex::new(windows);
        let mut parent = Self { repository, op, index, backup, top, windows };
        let root = parent.directory(&top)?;
        match root.as_ref().and_then(|root| root.subtree(DATA.as_bytes())) {
            Some(top) => parent.top = top,
            // An image, or damaged.
            None => return Ok(None),
        }
        Ok(Some(parent))
    }

    /// The directory with that tree; `None` if it is damaged.
    pub(super) fn directory(&self, id: &Id) -> Result<Option<Known>> {
        match self.tree(id) {
            Ok(tree) => Ok(Some(Known::of(tree))),
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                let (parent, error) = (self.backup.id.short(), error.chain());
                tracing::warn!(%parent, tree = %id.short(), error, "a directory of the parent is damaged: it is read anew");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Whether a file's content is in the repository, whole.
    pub(super) fn has_content(&self, known: &Node) -> bool {
        let Some(blobs) = &known.content else { return false };
        let length = blobs
            .iter()
            .try_fold(0_u64, |sum, id| sum.checked_add(self.index.length(BlobKind::Data, id)?));
        length == Some(known.size)
    }

    fn tree(&self, id: &Id) -> Result<Tree> {
        let what = || format!("tree {}", id.short());
        let place = self.index.find(BlobKind::Tree, id).ok_or_else(|| {
            Error::corrupt(format!("{}: no index of the repository knows it", what()))
        })?;
        let mut windows = lock(&self.windows);
        let sealed = self.sealed(&mut windows, &place).map_err(|error| match error.kind() {
            ErrorKind::NotFound => Error::corrupt(what()).with_source(error),
            _ => error.context(what()),
        })?;
        let content = windows.opener.open(BlobKind::Tree, &sealed, &place, id).context(what)?;
        drop(windows);
        Tree::from_bytes(&content).context(what)
    }

    /// The bytes at `place`, with its neighbours if it is read.
    fn sealed(&self, windows: &mut Windows<'_>, place: &Location) -> Result<bytes::Bytes> {
        let range = place.range();
        let inside = |start: u64, length: u64| start <= range.start && range.end <= start + length;
        let found = windows.kept.iter().position(|(pack, start, bytes)| {
            *pack == place.pack && inside(*start, bytes.len() as u64)
        });
        let (pack, start, bytes) = if let Some(at) = found {
            windows.kept.remove(at)
        } else {
            let end = windows.ends.get(&place.pack).copied().unwrap_or(range.end);
            // A little before, too: the walk may go the other way.
            let start = range.start.saturating_sub(WINDOW / 2);
            let end = (start + WINDOW).min(end).max(range.end);
            let store = self.repository.store();
            let bytes = store.read_range(self.op, Kind::Pack, &place.pack, start..end)?;
            if windows.kept.len() >= KEPT {
                windows.kept.remove(0);
            }
            (place.pack, start, bytes)
        };
        let offset = usize::try_from(range.start - start).expect("a window is small");
        let sealed = bytes.slice(offset..offset + place.length as usize);
        windows.kept.push((pack, start, bytes));
        Ok(sealed)
    }
}

impl fmt::Debug for Parent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parent").field("backup", &self.backup.id).finish_non_exhaustive()
    }
}

impl Known {
    fn of(tree: Tree) -> Self {
        let named = |node: Node| Some((node.file_name().ok()?.into_boxed_slice(), node));
        let mut nodes: Vec<_> = tree.nodes.into_iter().filter_map(named).collect();
        nodes.sort_by(|(a, _), (b, _)| a.cmp(b));
        Self { nodes }
    }

    /// What is called so.
    pub(super) fn find(&self, name: &[u8]) -> Option<&Node> {
        let at = self.nodes.binary_search_by(|(other, _)| (**other).cmp(name)).ok()?;
        Some(&self.nodes[at].1)
    }

    /// The directory that is called so.
    pub(super) fn subtree(&self, name: &[u8]) -> Option<Id> {
        self.find(name).filter(|node| node.kind == NodeKind::Dir)?.subtree
    }
}
