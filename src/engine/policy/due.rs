//! What is due of one task. Pure.
//!
//! A *slot* is a time at which the schedule says that something is to be made. Of the
//! slots that were missed only the last one is made up for; one that failed is repeated
//! until it was done or the next one came.

use jiff::{SignedDuration, Timestamp};

use crate::journal::{Failed, Standing};

/// The wait after a first failure; doubled each time.
const FIRST: SignedDuration = SignedDuration::from_mins(1);
/// The longest wait.
const LONGEST: SignedDuration = SignedDuration::from_hours(1);

/// The slots of a schedule around now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slots {
    /// The last one, if there ever was one.
    pub(super) last: Option<Timestamp>,
    /// The next one, if there will be one.
    pub(super) next: Option<Timestamp>,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// To make what this slot asks for.
    Make(Timestamp),
    /// To remove what is not kept any more.
    Tidy,
    /// Nothing before this time; never, without one.
    Wait(Option<Timestamp>),
}

/// What a task needs now.
pub(super) fn need(standing: &Standing, slots: Slots, now: Timestamp) -> Need {
    let missed = slots
        .last
        .filter(|slot| *slot > standing.since && standing.done.is_none_or(|done| *slot > done));
    let mut wake = slots.next;
    let mut until = |time: Timestamp| wake = Some(wake.map_or(time, |wake| wake.min(time)));
    if let Some(slot) = missed {
        match &standing.failed {
            Some(failed) if failed.slot == slot && failed.next > now => until(failed.next),
            _ => return Need::Make(slot),
        }
    }
    if standing.owes.is_some() {
        match &standing.unkept {
            Some(failed) if failed.next > now => until(failed.next),
            _ => return Need::Tidy,
        }
    }
    Need::Wait(wake)
}

/// When something will be made next: a slot, or the repetition of one that failed.
pub(super) fn next(standing: &Standing, slots: Slots, now: Timestamp) -> Option<Timestamp> {
    match need(&Standing { owes: None, ..standing.clone() }, slots, now) {
        Need::Make(_) => Some(now),
        Need::Tidy => slots.next,
        Need::Wait(time) => time,
    }
}

/// One more failure after `before`, of this slot.
pub(super) fn failed(
    before: Option<&Failed>,
    slot: Timestamp,
    (error, hint): (String, Option<String>),
    now: Timestamp,
) -> Failed {
    let times = before.filter(|failed| failed.slot == slot).map_or(0, |failed| failed.times) + 1;
    let since = before.map_or(now, |failed| failed.since);
    Failed { slot, error, hint, since, times, next: now + pause(times) }
}

/// How long to wait after so many failures: a minute, doubling to an hour.
fn pause(times: u32) -> SignedDuration {
    let factor = 1 << times.saturating_sub(1).min(10);
    (FIRST * factor).min(LONGEST)
}

/// Puts right what lies in the future: the clock was wrong when it was written, or is now.
/// Otherwise nothing would be made until that time comes. Whether anything changed.
pub(super) fn correct(standing: &mut Standing, now: Timestamp) -> bool {
    let before = standing.clone();
    standing.since = standing.since.min(now);
    standing.done = standing.done.map(|done| done.min(now));
    for failed in [&mut standing.failed, &mut standing.unkept].into_iter().flatten() {
        failed.since = failed.since.min(now);
        failed.next = failed.next.min(now + LONGEST);
    }
    *standing != before
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        format!("2026-03-01T{text}:00Z").parse().expect("a time")
    }

    fn slots(last: &str, next: &str) -> Slots {
        Slots { last: Some(at(last)), next: Some(at(next)) }
    }

    fn standing() -> Standing {
        Standing::new("0 * * * *".to_owned(), at("10:30"))
    }

    fn error() -> (String, Option<String>) {
        ("no space".to_owned(), None)
    }

    #[test]
    fn nothing_is_made_up_for_that_was_due_before_the_policy_came() {
        let all = slots("10:00", "11:00");
        assert_eq!(need(&standing(), all, at("10:30")), Need::Wait(Some(at("11:00"))));
        let all = slots("11:00", "12:00");
        assert_eq!(need(&standing(), all, at("11:00")), Need::Make(at("11:00")));
        let none = Slots { last: None, next: None };
        assert_eq!(need(&standing(), none, at("11:00")), Need::Wait(None));
    }

    #[test]
    fn of_missed_slots_the_last_one_is_made_up_for_and_only_once() {
        let mut standing = standing();
        standing.done = Some(at("11:00"));
        let all = slots("17:00", "18:00");
        assert_eq!(need(&standing, all, at("17:20")), Need::Make(at("17:00")));
        standing.done = Some(at("17:00"));
        assert_eq!(need(&standing, all, at("17:21")), Need::Wait(Some(at("18:00"))));
    }

    #[test]
    fn a_failure_is_repeated_ever_more_slowly_until_the_next_slot() {
        let mut standing = standing();
        let day = Slots { last: Some(at("11:00")), next: Some(at("23:00")) };
        let mut now = at("11:00");
        let mut pauses = Vec::new();
        for _ in 0..9 {
            assert_eq!(need(&standing, day, now), Need::Make(at("11:00")));
            let failed = failed(standing.failed.as_ref(), at("11:00"), error(), now);
            pauses.push((failed.next - now).total(jiff::Unit::Minute).expect("a number"));
            standing.failed = Some(failed);
            let Need::Wait(Some(wake)) = need(&standing, day, now) else { panic!("it waits") };
            now = wake;
        }
        assert_eq!(pauses, [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]);
        assert_eq!(standing.failed.as_ref().map(|failed| failed.since), Some(at("11:00")));
        let all = slots("11:00", "11:01");
        standing.failed = Some(failed(None, at("11:00"), error(), at("11:00")));
        standing.failed.as_mut().expect("set").next = at("11:30");
        assert_eq!(need(&standing, all, at("11:00")), Need::Wait(Some(at("11:01"))));
        let all = slots("11:01", "11:02");
        assert_eq!(need(&standing, all, at("11:01")), Need::Make(at("11:01")), "the next slot");
        let again = failed(standing.failed.as_ref(), at("11:01"), error(), at("11:01"));
        assert_eq!((again.times, again.since), (1, at("11:00")));
    }

    #[test]
    fn what_is_owed_comes_after_what_is_due() {
        let mut standing = standing();
        standing.owes = Some(at("11:00"));
        let all = slots("11:00", "12:00");
        assert_eq!(need(&standing, all, at("11:05")), Need::Make(at("11:00")));
        standing.done = Some(at("11:00"));
        assert_eq!(need(&standing, all, at("11:05")), Need::Tidy);
        standing.unkept = Some(failed(None, at("11:00"), error(), at("11:05")));
        assert_eq!(need(&standing, all, at("11:05")), Need::Wait(Some(at("11:06"))));
        assert_eq!(next(&standing, all, at("11:05")), Some(at("12:00")));
        assert_eq!(need(&standing, all, at("11:06")), Need::Tidy);
    }

    #[test]
    fn a_clock_that_was_wrong_stops_nothing() {
        let mut standing = standing();
        standing.done = Some(at("20:00"));
        let mut far = failed(None, at("20:00"), error(), at("20:00"));
        far.next = at("23:00");
        standing.failed = Some(far);
        assert!(correct(&mut standing, at("11:00")));
        assert!(!correct(&mut standing, at("11:00")));
        assert_eq!(
            need(&standing, slots("11:00", "12:00"), at("11:00")),
            Need::Wait(Some(at("12:00")))
        );
        assert_eq!(need(&standing, slots("12:00", "13:00"), at("12:00")), Need::Make(at("12:00")));
        assert!(standing.failed.expect("kept").next <= at("12:00"));
    }
}
