//! What time it is for schedules, and for what is kept by its age.
//!
//! Points in time that retention compares come from here, so that a test can let days
//! pass in a moment.

use std::time::Duration;

use jiff::{Timestamp, Zoned, tz::TimeZone};

/// The longest time without a look at the clock.
const LONGEST: Duration = Duration::from_secs(60);
/// However soon something is due.
pub(super) const SHORTEST: Duration = Duration::from_millis(100);

/// Now. With the feature `testing`, what the file `BERTH_TEST_CLOCK` says, if it is set:
/// time then stands still until another file takes its place.
pub(super) fn now() -> Timestamp {
    #[cfg(feature = "testing")]
    if let Some(file) = std::env::var_os("BERTH_TEST_CLOCK") {
        let text = std::fs::read_to_string(&file).expect("BERTH_TEST_CLOCK names a file");
        return text.trim().parse().expect("BERTH_TEST_CLOCK holds a time");
    }
    Timestamp::now()
}

/// The same, where the operator is: what schedules and days go by.
pub(super) fn local(time: Timestamp) -> Zoned {
    time.to_zoned(TimeZone::system())
}

/// How long to wait for the time `until` (for nothing, without one) before looking at the
/// clock again: it may be set, and a machine may sleep.
pub(super) fn nap(until: Option<Timestamp>) -> Duration {
    #[cfg(feature = "testing")]
    if std::env::var_os("BERTH_TEST_CLOCK").is_some() {
        return Duration::from_millis(5);
    }
    let left = until.map(|until| until.duration_since(now()));
    let left = left.map(|left| Duration::try_from(left).unwrap_or_default());
    left.unwrap_or(LONGEST).clamp(SHORTEST, LONGEST)
}
