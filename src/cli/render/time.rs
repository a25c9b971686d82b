//! Times for people: how long ago, and on the clock of this place.

use jiff::{Timestamp, tz::TimeZone};

const UNITS: [(u64, &str); 6] = [
    (365 * 24 * 3600, "year"),
    (30 * 24 * 3600, "month"),
    (24 * 3600, "day"),
    (3600, "hour"),
    (60, "minute"),
    (1, "second"),
];

/// `2026-05-04 12:30:00 CEST`
pub(in crate::cli) fn local(time: Timestamp) -> String {
    time.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S %Z").to_string()
}

/// `3 hours ago`
pub(in crate::cli) fn ago(time: Timestamp) -> String {
    relative(time, Timestamp::now())
}

/// `in 3 hours`; of what is over: `now`, for it ends any moment.
pub(in crate::cli) fn until(time: Timestamp) -> String {
    let now = Timestamp::now();
    if time <= now { "now".to_owned() } else { relative(time, now) }
}

/// `3 hours`: the largest unit that fits, rounded down.
pub(in crate::cli) fn duration(seconds: u64) -> String {
    in_unit(seconds, |size| seconds >= size)
}

/// `36 hours`: what a setting says, in the largest unit that says it exactly.
pub(in crate::cli) fn exactly(seconds: u64) -> String {
    in_unit(seconds, |size| seconds > 0 && seconds.is_multiple_of(size))
}

fn in_unit(seconds: u64, fits: impl Fn(u64) -> bool) -> String {
    let (size, unit) = UNITS.into_iter().find(|(size, _)| fits(*size)).unwrap_or((1, "second"));
    let count = seconds / size;
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

fn relative(time: Timestamp, now: Timestamp) -> String {
    let seconds = now.as_second() - time.as_second();
    match seconds {
        // Clocks of two processes differ by a moment.
        -1..=1 => "just now".to_owned(),
        2.. => format!("{} ago", duration(seconds.unsigned_abs())),
        _ => format!("in {}", duration(seconds.unsigned_abs())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_not_rounded() {
        for (seconds, text) in
            [(0, "0 seconds"), (90, "90 seconds"), (36 * 3600, "36 hours"), (86400, "1 day")]
        {
            assert_eq!(exactly(seconds), text);
        }
    }

    #[test]
    fn the_largest_unit_that_fits() {
        let now = Timestamp::from_second(1_800_000_000).expect("in range");
        for (seconds, text) in [
            (0, "just now"),
            (2, "2 seconds ago"),
            (61, "1 minute ago"),
            (3 * 3600 + 5, "3 hours ago"),
            (45 * 24 * 3600, "1 month ago"),
            (800 * 24 * 3600, "2 years ago"),
            (-7200, "in 2 hours"),
        ] {
            let time = Timestamp::from_second(now.as_second() - seconds).expect("in range");
            assert_eq!(relative(time, now), text);
        }
    }
}
