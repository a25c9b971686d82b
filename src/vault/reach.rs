//! The blobs that snapshots need, found by reading their trees, each once, side by
//! side. One bit a blob.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use berth_api::{Context as _, Error, Op, Result};
use berth_host::failpoint;

use crate::{
    fetch::Fetch,
    format::{BlobKind, Id, NodeKind, Tree},
    repository::{Index, Repository},
};

/// A set of blobs of an index: those that are reached.
#[derive(Debug)]
pub struct Reach {
    data: Bits,
    trees: Bits,
}

#[derive(Debug)]
struct Bits(Vec<AtomicU64>);

impl Reach {
    /// What the trees `roots` need.
    ///
    /// # Errors
    /// `Corrupt` if a tree cannot be read, or the index does not know a blob.
    pub fn of(
        repository: &Repository,
        op: &Op,
        index: &Index,
        roots: impl IntoIterator<Item = Id>,
    ) -> Result<Self> {
        let reach = Self {
            data: Bits::new(index.count(BlobKind::Data)),
            trees: Bits::new(index.count(BlobKind::Tree)),
        };
        let mut level = Vec::new();
        for root in roots {
            level.extend(reach.add(index, BlobKind::Tree, &root)?);
        }
        // Level by level, so that trees that lie side by side come with one read.
        while !level.is_empty() {
            let next = Mutex::new(Vec::new());
            let fetch = Fetch { repository, index, op, kind: BlobKind::Tree };
            fetch.each(level, &|blob| {
                let what = || format!("tree {}", blob.id.short());
                let tree = blob.content.and_then(|bytes| Tree::from_bytes(&bytes));
                let found = reach.take(index, &tree.context(what)?).context(what)?;
                op.advance(0, 1);
                // Saboteur `skip-subtrees`: what is in directories of directories is not seen.
                if !failpoint::sabotaged("skip-subtrees") {
                    next.lock().unwrap_or_else(PoisonError::into_inner).extend(found);
                }
                Ok(())
            })?;
            level = next.into_inner().unwrap_or_else(PoisonError::into_inner);
        }
        Ok(reach)
    }

    /// Whether a blob is reached, by the number of its first place.
    pub fn has(&self, kind: BlobKind, number: u32) -> bool {
        self.side(kind).has(number as usize)
    }

    /// How many blobs are reached.
    pub fn count(&self) -> u64 {
        self.data.count() + self.trees.count()
    }

    fn side(&self, kind: BlobKind) -> &Bits {
        match kind {
            BlobKind::Data => &self.data,
            BlobKind::Tree => &self.trees,
        }
    }

    /// Marks a blob. Its number, if it was not marked yet.
    fn add(&self, index: &Index, kind: BlobKind, id: &Id) -> Result<Option<u32>> {
        let number = index.number(kind, id).ok_or_else(|| {
            Error::corrupt(format!(
                "{} blob {} is needed, and no index of the repository knows it",
                kind.as_str(),
                id.short()
            ))
        })?;
        Ok(self.side(kind).set(number as usize).then_some(number))
    }

    /// Marks what a tree needs. The trees in it that are to be read.
    fn take(&self, index: &Index, tree: &Tree) -> Result<Vec<u32>> {
        let mut new = Vec::new();
        for node in &tree.nodes {
            let what = || format!("`{}`", node.name.escape_debug());
            for blob in node.content.iter().flatten() {
                self.add(index, BlobKind::Data, blob).context(what)?;
            }
            match &node.subtree {
                Some(subtree) => {
                    new.extend(self.add(index, BlobKind::Tree, subtree).context(what)?);
                }
                None if node.kind == NodeKind::Dir => {
                    return Err(Error::corrupt(format!("{}: it has no tree", what())));
                }
                None => {}
            }
        }
        Ok(new)
    }
}

impl Bits {
    fn new(count: u32) -> Self {
        Self((0..count.div_ceil(64)).map(|_| AtomicU64::new(0)).collect())
    }

    fn set(&self, at: usize) -> bool {
        let bit = 1 << (at % 64);
        self.0[at / 64].fetch_or(bit, Relaxed) & bit == 0
    }

    fn has(&self, at: usize) -> bool {
        self.0[at / 64].load(Relaxed) >> (at % 64) & 1 == 1
    }

    fn count(&self) -> u64 {
        self.0.iter().map(|word| u64::from(word.load(Relaxed).count_ones())).sum()
    }
}
