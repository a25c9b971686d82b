//! The thread that keeps a lock fresh.

use std::{
    fmt,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use berth_api::{Context as _, Error, Op, Result};
use berth_host::failpoint;
use jiff::Timestamp;
use nix::time::{ClockId, clock_gettime};

use super::{is_there, lost, remove, write};
use crate::{format::Id, repository::Repository};

/// How often a lock is refreshed, and how long it is trusted.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Between two refreshes.
    pub every: Duration,
    /// After one that failed.
    pub again: Duration,
    /// How long after the last one the lock is held for sure.
    pub safe: Duration,
}

impl Default for Pace {
    /// restic's five minutes; half of the time after which others may remove it.
    fn default() -> Self {
        Self {
            every: Duration::from_secs(5 * 60),
            again: Duration::from_secs(20),
            safe: Duration::from_secs(15 * 60),
        }
    }
}

/// Keeps one lock fresh until it ends.
pub(super) struct Refresher {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    repository: Repository,
    exclusive: bool,
    pace: Pace,
    state: Mutex<State>,
    /// Rung when the lock is to end.
    bell: Condvar,
}

#[derive(Debug)]
struct State {
    id: Id,
    refreshed: Moment,
    /// Somebody removed it: that cannot be made good.
    removed: bool,
    ending: bool,
    ended: bool,
}

/// A moment on both clocks: one that goes on in a suspend, and the one by which
/// others judge us.
#[derive(Clone, Copy, Debug)]
struct Moment {
    since_boot: Duration,
    wall: Timestamp,
}

impl Refresher {
    pub(super) fn new(repository: &Repository, id: Id, exclusive: bool, pace: Pace) -> Self {
        let state =
            State { id, refreshed: Moment::now(), removed: false, ending: false, ended: false };
        let shared = Shared {
            repository: repository.clone(),
            exclusive,
            pace,
            state: Mutex::new(state),
            bell: Condvar::new(),
        };
        Self { shared: Arc::new(shared), thread: Mutex::new(None) }
    }

    pub(super) fn start(&self) -> Result<()> {
        let shared = self.shared.clone();
        let thread = thread::Builder::new().name("lock".to_owned()).spawn(move || shared.run());
        let thread = thread.context(|| "start the thread that keeps the lock")?;
        *self.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        Ok(())
    }

    pub(super) fn check(&self) -> Result<()> {
        let state = self.shared.state();
        if state.removed {
            return Err(lost(&self.shared.repository, "somebody removed it"));
        }
        let age = state.refreshed.elapsed();
        if age > self.shared.pace.safe {
            let why = format!("it could not be refreshed for {} s", age.as_secs());
            return Err(lost(&self.shared.repository, &why));
        }
        Ok(())
    }

    /// Ends the thread and removes the file; once.
    pub(super) fn end(&mut self) -> Result<()> {
        {
            let mut state = self.shared.state();
            if state.ended {
                return Ok(());
            }
            state.ending = true;
        }
        self.shared.bell.notify_all();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let joined = thread.map_or(Ok(()), JoinHandle::join);
        let id = {
            let mut state = self.shared.state();
            state.ended = true;
            state.id
        };
        failpoint::hit("lock.release.remove").context(|| "release the lock")?;
        let what = || format!("release the lock of repository `{}`", self.shared.repository.name());
        remove(&self.shared.repository, &id).context(what)?;
        joined.map_err(|_| Error::internal("the thread that kept the lock panicked"))
    }
}

impl Drop for Refresher {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            tracing::warn!(error = %error.chain(), "a lock is left behind");
        }
    }
}

impl fmt::Debug for Refresher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refresher").field("state", &self.shared.state).finish_non_exhaustive()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mut wait = self.pace.every;
        loop {
            let state = self.state();
            let waited = self.bell.wait_timeout_while(state, wait, |state| !state.ending);
            let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
            if state.ending || state.removed {
                return;
            }
            let old = state.id;
            drop(state);
            wait = match self.refresh(&old) {
                Ok(()) => self.pace.every,
                Err(error) => {
                    let repository = self.repository.name();
                    tracing::warn!(repository, error = %error.chain(), "refresh a lock");
                    self.pace.again
                }
            };
        }
    }

    fn refresh(&self, old: &Id) -> Result<()> {
        let op = Op::new(self.pace.safe);
        // A new one in place of one that others removed would hide that they did.
        if !is_there(&op, &self.repository, old)? {
            self.state().removed = true;
            return Err(lost(&self.repository, "somebody removed it"));
        }
        let now = Moment::now();
        failpoint::hit("lock.refresh.write").context(|| "refresh the lock")?;
        let new = write(&op, &self.repository, self.exclusive)?;
        // Who takes us for dead, as after a long suspend, does so about now.
        if !is_there(&op, &self.repository, old)? {
            self.state().removed = true;
            remove(&self.repository, &new)?;
            return Err(lost(&self.repository, "somebody removed it"));
        }
        {
            let mut state = self.state();
            state.id = new;
            state.refreshed = now;
        }
        failpoint::hit("lock.refresh.remove").context(|| "refresh the lock")?;
        remove(&self.repository, old)
    }
}

impl Moment {
    fn now() -> Self {
        let since_boot = clock_gettime(ClockId::CLOCK_BOOTTIME).map(Duration::from);
        Self { since_boot: since_boot.unwrap_or_default(), wall: Timestamp::now() }
    }

    fn elapsed(&self) -> Duration {
        let now = Self::now();
        let wall = now.wall.duration_since(self.wall).unsigned_abs();
        let wall = if now.wall > self.wall { wall } else { Duration::ZERO };
        now.since_boot.saturating_sub(self.since_boot).max(wall)
    }
}
