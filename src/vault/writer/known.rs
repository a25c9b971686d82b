//! The blobs of this run. In shards, so that threads do not wait for each other.

use std::{collections::HashSet, sync::Mutex};

use super::lock;
use crate::format::{BlobKind, Id};

const SHARDS: usize = 64;

/// A set of blobs.
#[derive(Debug)]
pub(super) struct Known(Vec<Mutex<HashSet<(BlobKind, Id)>>>);

impl Default for Known {
    fn default() -> Self {
        Self((0..SHARDS).map(|_| Mutex::default()).collect())
    }
}

impl Known {
    /// Adds a blob. False if it was there.
    pub(super) fn insert(&self, kind: BlobKind, id: &Id) -> bool {
        lock(self.shard(id)).insert((kind, *id))
    }

    /// Whether it is there.
    pub(super) fn has(&self, kind: BlobKind, id: &Id) -> bool {
        lock(self.shard(id)).contains(&(kind, *id))
    }

    fn shard(&self, id: &Id) -> &Mutex<HashSet<(BlobKind, Id)>> {
        &self.0[usize::from(id.0[0]) % SHARDS]
    }
}
