//! Waiting with a deadline, never for a fixed time.

use std::{
    thread,
    time::{Duration, Instant},
};

/// How often a condition is looked at.
const EVERY: Duration = Duration::from_millis(10);

/// What a healthy machine needs for anything that has no limit of its own.
pub const SOON: Duration = Duration::from_secs(20);

/// Asks `probe` until it has an answer; panics after `limit`, naming `what`.
#[track_caller]
pub fn until<T>(what: &str, limit: Duration, probe: impl FnMut() -> Option<T>) -> T {
    match within(limit, probe) {
        Some(found) => found,
        None => panic!("{what}: not within {limit:?}"),
    }
}

/// Waits until `condition` holds; panics after `limit`, naming `what`.
#[track_caller]
pub fn holds(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) {
    until(what, limit, || condition().then_some(()));
}

/// Waits until `left` and `right` agree; panics with both after `limit`.
#[track_caller]
pub fn equal<T: PartialEq + std::fmt::Debug>(
    what: &str,
    limit: Duration,
    expected: &T,
    mut probe: impl FnMut() -> T,
) {
    let mut last = None;
    let met = within(limit, || {
        let now = probe();
        let met = now == *expected;
        last = Some(now);
        met.then_some(())
    });
    assert!(met.is_some(), "{what}: expected {expected:?}, still {last:?} after {limit:?}");
}

/// Asks `probe` until it has an answer or `limit` is over.
pub fn within<T>(limit: Duration, mut probe: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = probe() {
            return Some(found);
        }
        if Instant::now() >= deadline {
            return None;
        }
        thread::sleep(EVERY);
    }
}
