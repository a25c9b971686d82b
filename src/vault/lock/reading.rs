//! What whoever only reads holds: a shared lock, or none where none can be written.

use std::time::Duration;

use berth_api::{Error, ErrorKind, Op, Result};

use super::{Lock, others, patiently};
use crate::{repository::Repository, store};

/// Held while a repository is read, until it is released or dropped. Where the place
/// takes nothing (read-only, full, keys without the right to) it goes without a lock,
/// as `restic --no-lock`: then a prune elsewhere may take away what is read, which
/// ends in an error that names it.
#[derive(Debug)]
pub struct Reading {
    lock: Option<Lock>,
}

impl Reading {
    /// Begins to read.
    ///
    /// # Errors
    /// `Busy` if somebody holds an exclusive lock; `Unavailable`.
    pub fn begin(op: &Op, repository: &Repository) -> Result<Self> {
        match Lock::shared(op, repository) {
            Ok(lock) => Ok(Self { lock: Some(lock) }),
            Err(error) if store::takes_nothing(&error) => {
                others::refuse_exclusive(op, repository)?;
                tracing::warn!(
                    repository = repository.name(), error = %error.chain(),
                    "read without a lock: a prune elsewhere may take data away meanwhile"
                );
                Ok(Self { lock: None })
            }
            Err(error) => Err(error),
        }
    }

    /// As [`begin`](Self::begin), and waits for others that long.
    ///
    /// # Errors
    /// As there.
    pub fn begin_within(op: &Op, repository: &Repository, patience: Duration) -> Result<Self> {
        patiently(op, patience, || Self::begin(op, repository))
    }

    /// Whether there is a lock.
    pub fn is_locked(&self) -> bool {
        self.lock.is_some()
    }

    /// Whether nothing was taken away by others, as far as that can be known.
    ///
    /// # Errors
    /// `Unavailable` if there was a lock and it is lost.
    pub fn check(&self) -> Result<()> {
        self.lock.as_ref().map_or(Ok(()), Lock::check)
    }

    /// Ends it, and says of an error what it may come from. What was read is read,
    /// also where the lock cannot be given back: that one is left to whoever takes
    /// stale ones away.
    ///
    /// # Errors
    /// That of `result`.
    pub fn end<T>(self, result: Result<T>) -> Result<T> {
        let Some(lock) = self.lock else { return result.map_err(explained) };
        if result.is_err() {
            // What is missing may have been pruned since the lock was lost.
            lock.check()?;
        }
        if let Err(error) = lock.release() {
            tracing::warn!(error = %error.chain(), "a lock could not be given back: it ends by itself");
        }
        result
    }
}

fn explained(error: Error) -> Error {
    if error.kind() != ErrorKind::Corrupt || error.hint().is_some() {
        return error;
    }
    error.with_hint(
        "it was read without a lock, and a prune elsewhere may have taken that away: try again",
    )
}
