//! How long a server is waited for, by whether it has answered lately.
//!
//! With the feature `testing`, `BERTH_TEST_S3_PATIENCE=N` makes all of it the N-th part.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How long a connection may take to be made.
pub(super) const CONNECT: Duration = Duration::from_secs(5);
/// How long the other side may be silent: at first, and once it has answered.
const FIRST_ANSWER: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_secs(30);
/// A line that is slower than this, in bytes a second, counts as dead.
const SLOWEST: u64 = 32 << 10;
/// How long a request is repeated.
const REPEATED: Duration = Duration::from_secs(60);
/// The same before anybody has answered.
const FIRST_REPEATED: Duration = Duration::from_secs(5);
/// The pauses between: the first, doubled each time, and the longest.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Whoever has not answered for so long may have gone.
const LATELY: Duration = Duration::from_mins(5);

/// What is known of a server, and the limits that follow.
#[derive(Debug, Default)]
pub(super) struct Patience {
    answered: Mutex<Option<Instant>>,
}

impl Patience {
    /// Whether it has answered lately.
    pub(super) fn answers(&self) -> bool {
        let answered = *self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        answered.is_some_and(|at| at.elapsed() < LATELY)
    }

    /// It has answered, whatever.
    pub(super) fn answered(&self) {
        *self.answered.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// It was asked in vain as long as that might help: the next one, who may only want
    /// to take back a lock, does not wait as long once more.
    pub(super) fn gone(&self) {
        *self.answered.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// How long it may be silent now, before an answer begins.
    pub(super) fn silence(&self) -> Duration {
        if self.answers() { within_answer() } else { FIRST_ANSWER / parts() }
    }

    /// How long it may take to receive so many bytes, and to answer.
    pub(super) fn receipt(&self, bytes: usize) -> Duration {
        self.silence() + Duration::from_secs(bytes as u64 / SLOWEST) / parts()
    }
}

/// How long it may be silent within an answer.
pub(super) fn within_answer() -> Duration {
    ANSWER / parts()
}

/// How long a request is repeated to one who answers, or has not yet.
pub(super) fn repeated(answers: bool) -> Duration {
    if answers { REPEATED / parts() } else { FIRST_REPEATED / parts() }
}

/// How long to wait before asking again: half to once and a half of the pause, so
/// that those who were refused together do not come back together.
pub(super) fn pause(attempt: u32) -> Duration {
    let pause = PAUSE.saturating_mul(1 << attempt.min(10)).min(LONGEST_PAUSE / parts());
    let chance = getrandom::u32().map_or(0.5, |chance| f64::from(chance) / f64::from(u32::MAX));
    pause.mul_f64(0.5 + chance)
}

#[cfg(not(feature = "testing"))]
fn parts() -> u32 {
    1
}

#[cfg(feature = "testing")]
fn parts() -> u32 {
    static PARTS: std::sync::OnceLock<u32> = std::sync::OnceLock::new();
    *PARTS.get_or_init(|| {
        let told = std::env::var("BERTH_TEST_S3_PATIENCE").ok();
        told.and_then(|text| text.parse().ok()).filter(|parts| *parts > 0).unwrap_or(1)
    })
}
