//! The signals that end the daemon.

use berth_api::{Context as _, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM and SIGINT, from the moment this is made.
#[derive(Debug)]
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(super) fn new() -> Result<Self> {
        let of = |kind| signal(kind).context(|| "listen to signals");
        // `restic unlock` asks with SIGHUP whether the process of a lock lives. Whoever
        // once listened to it does not die of it.
        drop(of(SignalKind::hangup())?);
        Ok(Self {
            terminate: of(SignalKind::terminate())?,
            interrupt: of(SignalKind::interrupt())?,
        })
    }

    /// The next of them.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Whoever signals twice does not want to wait.
    pub(super) async fn exit_at_next(mut self) {
        self.next().await;
        tracing::warn!("a second signal: not waiting");
        std::process::exit(1);
    }
}
