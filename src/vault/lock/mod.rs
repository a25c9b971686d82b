//! Locks of a repository, as restic takes and honours them.
//!
//! A lock is a file `locks/ID` that says who uses the repository. Whoever takes one
//! looks for others, writes its own, waits a moment, looks again, and withdraws if
//! there is one that does not go with it: of two who do so at the same time, at least
//! one sees the other. A thread refreshes it by a new file in place of the old.
//!
//! ```text
//! shared     backup, copy, restore, verify, check     goes with other shared ones;
//!            who only reads does without where none can be written
//! exclusive  forget, prune                            goes with none
//! ```
//!
//! | module | noun |
//! |---|---|
//! | [`mod@file`] | `locks/ID` |
//! | [`others`] | who else holds one, and what is left of the dead |
//! | [`reading`] | what whoever only reads holds |
//! | [`refresh`] | the thread that keeps one fresh |
//!
//! Invariants:
//! - A lock of a live holder is never removed by others. Dead is: not refreshed for
//!   30 minutes, or of this host and without its process. Hosts are told apart by
//!   their names alone: where two share a name, or a container has its host's name
//!   and other process ids, one may take the other's lock for a dead one's.
//! - One process may hold many. Which of the locks with its id are its own it knows;
//!   the others are of a process that died and had the same id.
//! - Who could not refresh for 15 minutes stops writing ([`Lock::check`]): others may
//!   take the lock for a dead one's after 30.

pub mod file;
pub mod others;
pub mod reading;
pub mod refresh;

use std::{
    collections::HashSet,
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use berth_api::{Context as _, Error, ErrorKind, Op, Result};
use berth_host::failpoint;

pub use file::LockFile;
pub use reading::Reading;
pub use refresh::Pace;

use crate::{
    format::Id,
    repository::Repository,
    store::{FileInfo, Kind},
};

/// How long to wait before the second look, as restic does: what another writes at
/// the same time is seen by then, also on stores where that takes a moment.
const SECOND_LOOK: Duration = Duration::from_millis(200);
/// How long removing a lock may take, whatever the operation's own deadline.
const REMOVAL: Duration = Duration::from_secs(30);
/// How often to look again while another lock is in the way.
const LOOKS: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(2));

/// Locks that this process holds or is about to write.
static OWN: Mutex<Option<HashSet<Id>>> = Mutex::new(None);

/// A lock that is held, until it is released or dropped.
#[derive(Debug)]
pub struct Lock {
    refresher: refresh::Refresher,
}

impl Lock {
    /// A lock that goes with other shared ones.
    ///
    /// # Errors
    /// `Busy` if somebody holds an exclusive one.
    pub fn shared(op: &Op, repository: &Repository) -> Result<Self> {
        Self::take(op, repository, false, Pace::default())
    }

    /// A lock that goes with no other.
    ///
    /// # Errors
    /// `Busy` if somebody holds any.
    pub fn exclusive(op: &Op, repository: &Repository) -> Result<Self> {
        Self::take(op, repository, true, Pace::default())
    }

    /// As [`shared`](Self::shared), and waits for others that long.
    ///
    /// # Errors
    /// As there.
    pub fn shared_within(op: &Op, repository: &Repository, patience: Duration) -> Result<Self> {
        patiently(op, patience, || Self::shared(op, repository))
    }

    /// As [`exclusive`](Self::exclusive), and waits for others that long.
    ///
    /// # Errors
    /// As there.
    pub fn exclusive_within(op: &Op, repository: &Repository, patience: Duration) -> Result<Self> {
        patiently(op, patience, || Self::exclusive(op, repository))
    }

    /// Takes one that is refreshed at this pace.
    ///
    /// # Errors
    /// As [`shared`](Self::shared) and [`exclusive`](Self::exclusive).
    pub fn take(op: &Op, repository: &Repository, exclusive: bool, pace: Pace) -> Result<Self> {
        let what = || format!("lock repository `{}`", repository.name());
        others::refuse(op, repository, exclusive, None).context(what)?;
        failpoint::hit("lock.take.write").context(what)?;
        let id = write(op, repository, exclusive).context(what)?;
        let refresher = refresh::Refresher::new(repository, id, exclusive, pace);
        // From here on a failure drops the lock, and so withdraws it.
        let lock = Self { refresher };
        lock.refresher.start().context(what)?;
        failpoint::hit("lock.take.look").context(what)?;
        thread::sleep(SECOND_LOOK.min(op.remaining()));
        others::refuse(op, repository, exclusive, Some(&id)).context(what)?;
        Ok(lock)
    }

    /// Whether it is still held. Called before anything is written or removed that
    /// needs it.
    ///
    /// # Errors
    /// `Unavailable` once it could not be refreshed in time, or was removed.
    pub fn check(&self) -> Result<()> {
        self.refresher.check()
    }

    /// Gives it back.
    ///
    /// # Errors
    /// The store's; the lock is a dead one's then, which others remove.
    pub fn release(mut self) -> Result<()> {
        self.refresher.end()
    }
}

/// Tries until `patience` is over or it is not others who are in the way.
fn patiently<T>(op: &Op, patience: Duration, mut take: impl FnMut() -> Result<T>) -> Result<T> {
    let until = Instant::now() + patience;
    let mut pause = LOOKS.0;
    loop {
        match take() {
            Err(error) if error.kind() == ErrorKind::Busy && Instant::now() < until => {}
            other => return other,
        }
        // Two who withdrew for each other must not meet again.
        let dice = Id::random()?.0[0];
        let next = Instant::now() + pause.mul_f64(0.5 + f64::from(dice) / 256.0);
        while Instant::now() < next.min(until) {
            op.check()?;
            thread::sleep(Duration::from_millis(50));
        }
        pause = (pause * 2).min(LOOKS.1);
    }
}

/// Writes a lock of this process.
fn write(op: &Op, repository: &Repository, exclusive: bool) -> Result<Id> {
    let (id, bytes) = repository.sealed(Kind::Lock, &LockFile::now(repository.who(), exclusive))?;
    // Before it can be seen, so that no other thread takes it for a dead one's.
    own().insert(id);
    // Saboteur `skip-lock`: nobody sees that the repository is in use.
    if failpoint::sabotaged("skip-lock") {
        return Ok(id);
    }
    let written = repository.store().write(op, Kind::Lock, &id, bytes);
    written.inspect_err(|_| {
        let _ = remove(repository, &id);
    })?;
    Ok(id)
}

/// Removes a lock of this process, also when its operation was cancelled.
fn remove(repository: &Repository, id: &Id) -> Result<()> {
    let op = Op::new(REMOVAL);
    let removed = repository.store().remove(&op, Kind::Lock, id);
    // If that went wrong it is nobody's from now on, and goes with the next look.
    own().remove(id);
    removed
}

/// Whether a lock is in the store.
fn is_there(op: &Op, repository: &Repository, id: &Id) -> Result<bool> {
    let found: Vec<FileInfo> = repository.store().list(op, Kind::Lock)?;
    Ok(found.iter().any(|file| file.id == *id) || failpoint::sabotaged("skip-lock"))
}

/// The locks of this process.
fn own() -> Own {
    Own(OWN.lock().unwrap_or_else(PoisonError::into_inner))
}

struct Own(MutexGuard<'static, Option<HashSet<Id>>>);

impl Own {
    fn insert(&mut self, id: Id) {
        self.0.get_or_insert_default().insert(id);
    }

    fn remove(&mut self, id: &Id) {
        self.0.get_or_insert_default().remove(id);
    }

    fn contains(&self, id: &Id) -> bool {
        self.0.as_ref().is_some_and(|own| own.contains(id))
    }
}

/// The error of a lock that is lost.
fn lost(repository: &Repository, why: &str) -> Error {
    Error::unavailable(format!("repository `{}`: its lock is lost: {why}", repository.name()))
        .with_hint("try again; what is complete is not stored a second time")
}
