//! A bounded queue between one who finds work and several who do it. The first
//! failure stops all of them.

use std::{
    collections::VecDeque,
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use berth_api::{Error, Result};

/// Jobs that wait at a time. Each may keep two directories open.
const ROOM: usize = 16;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Pool<J> {
    queue: Mutex<Queue<J>>,
    changed: Condvar,
    stopped: AtomicBool,
}

#[derive(Debug)]
struct Queue<J> {
    jobs: VecDeque<J>,
    ended: bool,
    failure: Option<Error>,
}

impl<J> Pool<J> {
    pub(super) fn new() -> Self {
        let queue = Queue { jobs: VecDeque::with_capacity(ROOM), ended: false, failure: None };
        Self { queue: Mutex::new(queue), changed: Condvar::new(), stopped: AtomicBool::new(false) }
    }

    /// Adds a job, waiting for room.
    ///
    /// # Errors
    /// If all shall stop.
    pub(super) fn put(&self, job: J) -> Result<()> {
        let mut queue = self.lock();
        while queue.jobs.len() >= ROOM && queue.failure.is_none() {
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        self.check()?;
        queue.jobs.push_back(job);
        self.changed.notify_all();
        Ok(())
    }

    /// Takes a job, waiting for one; `None` when there will be no more.
    pub(super) fn take(&self) -> Option<J> {
        let mut queue = self.lock();
        loop {
            if queue.failure.is_some() {
                return None;
            }
            if let Some(job) = queue.jobs.pop_front() {
                self.changed.notify_all();
                return Some(job);
            }
            if queue.ended {
                return None;
            }
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// There will be no more jobs.
    pub(super) fn end(&self) {
        self.lock().ended = true;
        self.changed.notify_all();
    }

    /// Stops all; the first error is the one that is told.
    pub(super) fn fail(&self, error: Error) {
        let mut queue = self.lock();
        queue.failure.get_or_insert(error);
        queue.jobs.clear();
        self.stopped.store(true, Relaxed);
        self.changed.notify_all();
    }

    /// Fails once all shall stop: called between steps.
    pub(super) fn check(&self) -> Result<()> {
        if self.stopped.load(Relaxed) {
            // Never told: `fail` has kept the one that came first.
            return Err(Error::conflict("another thread failed"));
        }
        Ok(())
    }

    /// What stopped it.
    pub(super) fn outcome(&self) -> Result<()> {
        self.lock().failure.take().map_or(Ok(()), Err)
    }

    fn lock(&self) -> MutexGuard<'_, Queue<J>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Stops all if its thread panics, lest the others wait for it for ever.
#[derive(Debug)]
pub(super) struct Alarm<'a, J>(pub(super) &'a Pool<J>);

impl<J> Drop for Alarm<'_, J> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail(Error::internal("a thread that reads panicked"));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::atomic::AtomicU64, thread};

    use super::*;

    #[test]
    fn all_jobs_are_done_once() {
        let (pool, sum) = (Pool::new(), AtomicU64::new(0));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while let Some(job) = pool.take() {
                        sum.fetch_add(job, Relaxed);
                    }
                });
            }
            for job in 1..=1000 {
                pool.put(job).expect("nobody fails");
            }
            pool.end();
        });
        pool.outcome().expect("nobody failed");
        assert_eq!(sum.into_inner(), 500_500);
    }

    #[test]
    fn the_first_failure_stops_whoever_waits() {
        let pool = Pool::new();
        thread::scope(|scope| {
            let finder = scope.spawn(|| (0..).find_map(|job| pool.put(job).err()));
            let waiter = scope.spawn(|| while pool.take().is_some_and(|job| job < 100) {});
            waiter.join().expect("no panic");
            pool.fail(Error::exhausted("first"));
            pool.fail(Error::internal("second"));
            assert!(finder.join().expect("no panic").is_some());
            assert!(pool.take().is_none());
        });
        assert_eq!(pool.outcome().expect_err("failed").to_string(), "first");
    }

    #[test]
    fn a_panic_is_a_failure() {
        let pool = Pool::<u8>::new();
        let panicked = thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let _alarm = Alarm(&pool);
                std::panic::resume_unwind(Box::new("on purpose"));
            });
            assert!(pool.take().is_none(), "woken by the alarm");
            thread.join().is_err()
        });
        assert!(panicked);
        assert_eq!(pool.outcome().expect_err("failed").kind(), berth_api::ErrorKind::Internal);
    }
}
