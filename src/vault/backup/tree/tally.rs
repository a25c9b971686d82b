//! What a backup did, counted by all threads.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use crate::format::Id;

/// See the module's documentation. Numbers of entries, and bytes.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) files: [AtomicU64; 3],
    pub(super) directories: [AtomicU64; 3],
    /// Of the regular files, each once.
    pub(super) bytes: AtomicU64,
    /// Bytes that were read.
    pub(super) read: AtomicU64,
    pub(super) mounts: AtomicU64,
    /// Something changed or vanished while it was read.
    pub(super) moving: AtomicBool,
}

/// How an entry compares with the parent's of that name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    New,
    Changed,
    Unmodified,
}

impl Tally {
    pub(super) fn file(&self, state: State) {
        self.files[state as usize].fetch_add(1, Relaxed);
    }

    /// A directory whose tree was `before` in the parent, and is `now`.
    pub(super) fn directory(&self, before: Option<Id>, now: Id) {
        let state = match before {
            None => State::New,
            Some(before) if before == now => State::Unmodified,
            Some(_) => State::Changed,
        };
        self.directories[state as usize].fetch_add(1, Relaxed);
    }
}

/// The count of entries in that state.
pub(super) fn count(counts: &[AtomicU64; 3], state: State) -> u64 {
    counts[state as usize].load(Relaxed)
}
