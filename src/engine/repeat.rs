//! Asking again: a backend that answers `Pending` waits for a state of the world.

use std::time::Duration;

use berth_api::{Backend, Op, Progress, Result};
use tokio::time::Instant;

use super::{Engine, pool::Pool, time, volume::Volume};
use crate::catalog::Record;

/// How soon a wait notices that its operation was cancelled.
const STEP: Duration = Duration::from_millis(100);

/// Waits for `time`, or until shortly after `op` was cancelled.
pub(super) async fn wait(time: Duration, op: &Op) {
    let end = Instant::now() + time;
    while !op.is_cancelled() && Instant::now() < end {
        tokio::time::sleep_until(end.min(Instant::now() + STEP)).await;
    }
}

impl Engine {
    /// Repeats a backend call while it answers `Pending`.
    pub(super) async fn until_ready<T: Send + 'static>(
        &self,
        pool: &Pool,
        volume: &Volume,
        call: impl Fn(&dyn Backend, &Op, &Record) -> Result<Progress<T>> + Clone + Send + 'static,
    ) -> Result<()> {
        loop {
            let op = Op::new(time::CALL);
            let (call, record) = (call.clone(), volume.record());
            match pool.run(op.clone(), move |backend, op| call(backend, op, &record)).await? {
                Progress::Ready(_) => return Ok(()),
                Progress::Pending { after, .. } => wait(after, &op).await,
            }
        }
    }
}
