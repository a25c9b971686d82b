//! The one crossing between the vault's threads and the asynchronous client.

use std::{pin::pin, sync::OnceLock, time::Duration};

use berth_api::{Context as _, Op, Result};
use tokio::runtime::{Builder, Runtime};

/// How soon a cancelled operation gives up.
const TICK: Duration = Duration::from_millis(100);

/// One for all stores of the process. Its threads watch sockets; requests are
/// signed and encrypted by the threads that wait for them.
static RUNTIME: OnceLock<Runtime> = OnceLock::new();

/// Runs `future` on this thread until it is done, or `op` is cancelled or out of
/// time; then it is dropped, and its connection with it. Never called from a thread
/// that itself runs futures.
pub(super) fn wait<T>(op: &Op, future: impl Future<Output = T>) -> Result<T> {
    runtime()?.block_on(async {
        let mut future = pin!(future);
        loop {
            op.check()?;
            let tick = TICK.min(op.remaining());
            if let Ok(done) = tokio::time::timeout(tick, future.as_mut()).await {
                return Ok(done);
            }
        }
    })
}

fn runtime() -> Result<&'static Runtime> {
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime);
    }
    let new = Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("s3")
        .enable_all()
        .build()
        .context(|| "start the threads for S3")?;
    // Two who come first together: one is used, the other ends at once.
    Ok(RUNTIME.get_or_init(|| new))
}
