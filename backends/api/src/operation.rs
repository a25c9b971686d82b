//! One call into a backend: until when, whether it is still wanted, how far it is.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use crate::{Error, Result};

/// Deadline, cancellation and progress of one operation. Clones share all three.
#[derive(Clone, Debug)]
pub struct Op {
    deadline: Instant,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    cancelled: AtomicBool,
    queued: AtomicBool,
    bytes_done: AtomicU64,
    bytes_total: AtomicU64,
    files_done: AtomicU64,
}

/// How far an operation is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Bytes done.
    pub bytes_done: u64,
    /// Bytes in all, 0 while unknown.
    pub bytes_total: u64,
    /// Files done.
    pub files_done: u64,
}

impl Op {
    /// An operation that has `time` from now on.
    pub fn new(time: Duration) -> Self {
        Self { deadline: Instant::now() + time, shared: Arc::default() }
    }

    /// The same operation (same cancellation, same progress) with `time` from
    /// now on.
    pub fn extended(&self, time: Duration) -> Self {
        Self { deadline: Instant::now() + time, shared: self.shared.clone() }
    }

    /// Until when the caller waits.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// The time left, zero if none.
    pub fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Asks the operation to stop at its next [`check`](Self::check).
    pub fn cancel(&self) {
        self.shared.cancelled.store(true, Relaxed);
    }

    /// Whether [`cancel`](Self::cancel) was called.
    pub fn is_cancelled(&self) -> bool {
        self.shared.cancelled.load(Relaxed)
    }

    /// Says whether it waits for its turn, having done nothing yet.
    pub fn set_queued(&self, queued: bool) {
        self.shared.queued.store(queued, Relaxed);
    }

    /// Whether it waits for its turn.
    pub fn is_queued(&self) -> bool {
        self.shared.queued.load(Relaxed)
    }

    /// Called between steps of long work.
    ///
    /// # Errors
    /// `Conflict` if cancelled, `Unavailable` past the deadline.
    pub fn check(&self) -> Result<()> {
        if self.is_cancelled() {
            Err(Error::conflict("the operation was cancelled"))
        } else if self.remaining().is_zero() {
            Err(Error::unavailable("the operation ran out of time"))
        } else {
            Ok(())
        }
    }

    /// Says how much there is to do.
    pub fn set_total(&self, bytes: u64) {
        self.shared.bytes_total.store(bytes, Relaxed);
    }

    /// Counts work that was done.
    pub fn advance(&self, bytes: u64, files: u64) {
        self.shared.bytes_done.fetch_add(bytes, Relaxed);
        self.shared.files_done.fetch_add(files, Relaxed);
    }

    /// Counts anew: what was done has to be done again.
    pub fn begin_again(&self) {
        self.shared.bytes_done.store(0, Relaxed);
        self.shared.files_done.store(0, Relaxed);
    }

    /// How far the operation is.
    pub fn counts(&self) -> Counts {
        Counts {
            bytes_done: self.shared.bytes_done.load(Relaxed),
            bytes_total: self.shared.bytes_total.load(Relaxed),
            files_done: self.shared.files_done.load(Relaxed),
        }
    }
}
