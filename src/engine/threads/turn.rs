//! Work that may have to wait for its turn: until then it is shown as queued, and
//! leaves the queue at once when it is cancelled.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering::AcqRel, Ordering::Acquire},
    },
    time::Duration,
};

use berth_api::{Op, Result};

use super::Threads;

/// How often a queued operation looks whether it was cancelled.
const LOOK: Duration = Duration::from_millis(200);

/// Where a piece of work is. It begins or leaves, whichever comes first.
const WAITING: u8 = 0;
const BEGUN: u8 = 1;
const LEFT: u8 = 2;

impl Threads {
    /// As [`run`](Self::run), for work of an operation that counts as queued until a
    /// thread takes it.
    ///
    /// # Errors
    /// As there; `Conflict` if it was cancelled before it began.
    pub(in crate::engine) async fn run_in_turn<T: Send + 'static>(
        &self,
        op: &Op,
        work: impl FnOnce(&Op) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let place = Arc::new(AtomicU8::new(WAITING));
        let (own, seen) = (op.clone(), place.clone());
        op.set_queued(true);
        let answer = self.run(move || {
            if seen.compare_exchange(WAITING, BEGUN, AcqRel, Acquire).is_err() {
                // Nobody waits for what is said here.
                return Err(berth_api::Error::conflict("it left the queue"));
            }
            own.set_queued(false);
            work(&own)
        });
        tokio::pin!(answer);
        loop {
            if place.load(Acquire) == BEGUN {
                return answer.await;
            }
            if let Ok(answer) = tokio::time::timeout(LOOK, &mut answer).await {
                // Also where it was refused before it was queued.
                op.set_queued(false);
                return answer;
            }
            if op.is_cancelled() && place.compare_exchange(WAITING, LEFT, AcqRel, Acquire).is_ok() {
                op.set_queued(false);
                op.check()?;
            }
        }
    }
}
