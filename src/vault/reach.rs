//! The blobs that snapshots need, found by reading their trees, each once, side by
//! side. One bit a blob.

use std::sync::{
    Condvar, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use berth_api::{Context as _, Error, Op, Result};

use crate::{
    format::{BlobKind, Id, Node, NodeKind},
    repository::{Index, Repository},
};

/// How many trees are read at a time.
const READERS: usize = 8;

/// A set of blobs of an index: those that are reached.
#[derive(Debug)]
pub struct Reach {
    data: Bits,
    trees: Bits,
}

#[derive(Debug)]
struct Bits(Vec<AtomicU64>);

/// Trees that are still to be read.
struct Queue {
    state: Mutex<State>,
    bell: Condvar,
}

struct State {
    trees: Vec<Id>,
    /// Readers that may still find more.
    busy: usize,
    error: Option<Error>,
}

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
        let mut trees = Vec::new();
        for root in roots {
            trees.extend(reach.add(index, BlobKind::Tree, &root)?.then_some(root));
        }
        let state = Mutex::new(State { trees, busy: 0, error: None });
        let queue = Queue { state, bell: Condvar::new() };
        std::thread::scope(|scope| {
            for _ in 0..READERS {
                scope.spawn(|| {
                    while let Some(id) = queue.next() {
                        queue.done(reach.read(repository, op, index, &id));
                    }
                });
            }
        });
        let state = queue.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        state.error.map_or(Ok(reach), Err)
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

    /// Marks a blob. Whether it was not marked yet.
    fn add(&self, index: &Index, kind: BlobKind, id: &Id) -> Result<bool> {
        let number = index.number(kind, id).ok_or_else(|| {
            Error::corrupt(format!(
                "{} blob {} is needed, and no index of the repository knows it",
                kind.as_str(),
                id.short()
            ))
        })?;
        Ok(self.side(kind).set(number as usize))
    }

    /// Marks what a tree needs. The trees in it that are to be read.
    fn read(&self, repository: &Repository, op: &Op, index: &Index, id: &Id) -> Result<Vec<Id>> {
        op.check()?;
        let tree = repository.tree(op, index, id)?;
        let what = |node: &Node| format!("`{}` in tree {}", node.name.escape_debug(), id.short());
        let mut new = Vec::new();
        for node in &tree.nodes {
            for blob in node.content.iter().flatten() {
                self.add(index, BlobKind::Data, blob).context(|| what(node))?;
            }
            match node.subtree {
                Some(subtree) => {
                    let first = self.add(index, BlobKind::Tree, &subtree).context(|| what(node))?;
                    new.extend(first.then_some(subtree));
                }
                None if node.kind == NodeKind::Dir => {
                    return Err(Error::corrupt(format!("{}: it has no tree", what(node))));
                }
                None => {}
            }
        }
        op.advance(0, 1);
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

impl Queue {
    /// The next tree; none once all are read or one cannot be.
    fn next(&self) -> Option<Id> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if state.error.is_some() {
                return None;
            }
            // The last that was found first: it keeps the list short.
            if let Some(id) = state.trees.pop() {
                state.busy += 1;
                return Some(id);
            }
            if state.busy == 0 {
                return None;
            }
            state = self.bell.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn done(&self, read: Result<Vec<Id>>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.busy -= 1;
        match read {
            // Saboteur `skip-subtrees`: what is in directories of directories is not seen.
            Ok(_) if berth_host::failpoint::sabotaged("skip-subtrees") => {}
            Ok(new) => state.trees.extend(new),
            Err(error) => {
                state.error.get_or_insert(error);
            }
        }
        drop(state);
        self.bell.notify_all();
    }
}
