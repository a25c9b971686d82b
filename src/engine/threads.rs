//! A pool's own threads: the one crossing between async and blocking code.
//! Repositories have theirs, too.
//!
//! Each pool has a bounded set. When all of them have been busy for a while the
//! pool is stuck, and calls are refused at once instead of queueing behind a
//! dead server; other pools have threads of their own and notice nothing.

#[cfg(test)]
mod tests;
mod turn;

use std::{
    collections::{HashMap, VecDeque},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use berth_api::{Error, Result};
use tokio::sync::oneshot;

/// Threads of one pool at most.
const LIMIT: usize = 16;
/// Threads that look whether one pool is there: one look at a time, and whoever listens
/// meanwhile.
const LOOKERS: usize = 2;
/// Threads that empty the trash of one pool.
const WALKERS: usize = 1;
/// Threads that count what the volumes of one pool take: the counter's, and one
/// that somebody waits for.
const COUNTERS: usize = 2;
/// Snapshots and clones of one pool that are copied at a time; each uses several
/// threads of its own.
const COPIERS: usize = 4;
/// Calls into one repository that are answered soon.
const CALLERS: usize = 8;
/// Backups, checks and the like in one repository at a time; each uses several
/// threads of its own.
const WORKERS: usize = 4;
/// A thread without work ends after this.
const IDLE: Duration = Duration::from_secs(10);
/// A call that has run this long counts as stuck.
const STUCK: Duration = Duration::from_secs(5);

type Task = Box<dyn FnOnce() + Send>;

/// The threads of one pool. Clones share them.
#[derive(Clone)]
pub(super) struct Threads {
    shared: Arc<Shared>,
}

struct Shared {
    /// What messages call whom they belong to: ``pool `fast` ``.
    owner: String,
    limit: usize,
    /// Calls may take long: none counts as stuck.
    patient: bool,
    state: Mutex<State>,
    work: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Task>,
    /// Start times of what runs, by a running number.
    running: HashMap<u64, Instant>,
    next: u64,
    threads: usize,
    idle: usize,
}

impl std::fmt::Debug for Threads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Threads").field("of", &self.shared.owner).finish_non_exhaustive()
    }
}

impl Threads {
    /// Threads for the pool `name`; none is started yet.
    pub(super) fn new(name: &str) -> Self {
        Self::with(pool(name), LIMIT, false)
    }

    /// The threads that look whether the pool is there.
    pub(super) fn looker(name: &str) -> Self {
        Self::with(pool(name), LOOKERS, false)
    }

    /// Threads for work that may take very long and has no hurry.
    pub(super) fn walkers(name: &str) -> Self {
        Self::with(pool(name), WALKERS, true)
    }

    /// Threads that count.
    pub(super) fn counters(name: &str) -> Self {
        Self::with(pool(name), COUNTERS, true)
    }

    /// Threads for work that may take long and that somebody waits for.
    pub(super) fn copiers(name: &str) -> Self {
        Self::with(pool(name), COPIERS, true)
    }

    /// Threads for calls into the repository `name`.
    pub(super) fn callers(name: &str) -> Self {
        Self::with(repository(name), CALLERS, false)
    }

    /// Threads for work in the repository `name` that may take long.
    pub(super) fn workers(name: &str) -> Self {
        Self::with(repository(name), WORKERS, true)
    }

    fn with(owner: String, limit: usize, patient: bool) -> Self {
        let (state, work) = (Mutex::default(), Condvar::new());
        Self { shared: Arc::new(Shared { owner, limit, patient, state, work }) }
    }

    /// Runs `work` on a thread of the pool. Dropping the future does not stop it.
    ///
    /// # Errors
    /// `Unavailable` at once if all threads are stuck; `Internal` if it panics.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (done, answer) = oneshot::channel();
        self.submit(Box::new(move || {
            let result = catch_unwind(AssertUnwindSafe(work))
                .unwrap_or_else(|_| Err(Error::internal("a blocking call panicked")));
            let _ = done.send(result);
        }))?;
        answer.await.unwrap_or_else(|_| Err(Error::internal("a thread ended early")))
    }

    /// How many calls are stuck now.
    pub(super) fn stuck(&self) -> u64 {
        stuck(&self.lock().running)
    }

    fn submit(&self, task: Task) -> Result<()> {
        let mut state = self.lock();
        let stuck = stuck(&state.running);
        if !self.shared.patient
            && usize::try_from(stuck).is_ok_and(|stuck| stuck >= self.shared.limit)
        {
            return Err(Error::unavailable(format!(
                "{} does not answer: {stuck} calls are stuck in it",
                self.shared.owner
            )));
        }
        state.queue.push_back(task);
        if state.idle >= state.queue.len() {
            self.shared.work.notify_one();
        } else if state.threads < self.shared.limit {
            let shared = self.shared.clone();
            let started = thread::Builder::new()
                .name(shared.owner.replace('`', ""))
                .stack_size(512 << 10)
                .spawn(move || work(&shared));
            match started {
                Ok(_) => state.threads += 1,
                Err(source) if state.threads == 0 => {
                    state.queue.pop_back();
                    return Err(Error::exhausted("no thread left").with_source(source));
                }
                Err(_) => {}
            }
        }
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn pool(name: &str) -> String {
    format!("pool `{name}`")
}

fn repository(name: &str) -> String {
    format!("repository `{name}`")
}

fn stuck(running: &HashMap<u64, Instant>) -> u64 {
    running.values().filter(|since| since.elapsed() > STUCK).count() as u64
}

fn work(shared: &Shared) {
    let mut state = shared.state.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        if let Some(task) = state.queue.pop_front() {
            let number = state.next;
            state.next += 1;
            state.running.insert(number, Instant::now());
            drop(state);
            task();
            state = shared.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.running.remove(&number);
            continue;
        }
        state.idle += 1;
        let (woken, timeout) =
            shared.work.wait_timeout(state, IDLE).unwrap_or_else(PoisonError::into_inner);
        state = woken;
        state.idle -= 1;
        if timeout.timed_out() && state.queue.is_empty() {
            state.threads -= 1;
            return;
        }
    }
}
