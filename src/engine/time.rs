//! How long Docker waits, and how long Berth therefore takes.
//!
//! Docker gives up on Create and Mount after 120 s, on all else after 60 s; on
//! a managed plugin after 30 s on everything. Answers come within 0.8 of that.

use std::time::Duration;

use tokio::time::Instant;

use super::Installation;
use crate::catalog::MadeFrom;

/// When Create and Mount have to answer.
pub(super) fn long(installation: Installation) -> Instant {
    Instant::now()
        + forced().unwrap_or(match installation {
            Installation::Host => Duration::from_secs(96),
            Installation::Managed => Duration::from_secs(24),
        })
}

/// When all other calls have to answer.
pub(super) fn short(installation: Installation) -> Instant {
    Instant::now()
        + forced().unwrap_or(match installation {
            Installation::Host => Duration::from_secs(48),
            Installation::Managed => Duration::from_secs(24),
        })
}

/// With the feature `testing`, `BERTH_TEST_DEADLINE_SECONDS` instead of both.
fn forced() -> Option<Duration> {
    #[cfg(feature = "testing")]
    if let Ok(text) = std::env::var("BERTH_TEST_DEADLINE_SECONDS") {
        return text.parse().ok().map(Duration::from_secs);
    }
    None
}

/// When a create that has not ended is accepted and goes on as a job.
///
/// Out of a backup that is soon: what can be checked was checked before, what is left
/// takes long more often than not, and whoever waits learns nothing from it. Else a
/// refusal that leaves nothing is worth some waiting.
///
/// With the feature `testing`, `BERTH_TEST_ACCEPT_SECONDS` instead of both.
pub(super) fn accept(origin: Option<&MadeFrom>) -> Duration {
    #[cfg(feature = "testing")]
    if let Ok(Ok(seconds)) = std::env::var("BERTH_TEST_ACCEPT_SECONDS").map(|text| text.parse()) {
        return Duration::from_secs(seconds);
    }
    match origin {
        Some(MadeFrom::Backup(_)) => Duration::from_secs(1),
        _ => Duration::from_secs(5),
    }
}

/// What one call into a backend may take before it counts as out of time.
pub(super) const CALL: Duration = Duration::from_secs(60);
