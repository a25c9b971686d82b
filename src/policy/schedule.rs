//! When something is due: a cron text of five fields, in a time zone.
//!
//! ```text
//! ┌─────── minute   0-59
//! │ ┌───── hour     0-23
//! │ │ ┌─── day      1-31, `L` for the last of the month
//! │ │ │ ┌─ month    1-12 or JAN-DEC
//! │ │ │ │ ┌ weekday 0-7 or SUN-SAT; 0 and 7 are Sunday
//! 30 2 * * *
//! ```
//! Each is `*`, a number, a range `a-b`, either of `*` and range with a step (`/n`), or
//! several of these with `,`. If day and weekday both begin with something else than
//! `*`, a date needs to match one of them only, as crontab(5) has it.
//!
//! Clocks that are moved (daylight saving):
//! - Where the hour is `*`, `*/n` or names all 24, times are those that the clock shows:
//!   an hourly job runs every hour that passes, the repeated one included.
//! - Where hours are named, each run of a day happens once: one whose time is left out
//!   comes when the clock has been moved on, one whose time is shown twice at the first.

use std::{fmt, str::FromStr};

use berth_api::{Error, Result};
use jiff::{
    Timestamp, Zoned,
    civil::{Date, Time, Weekday},
    tz::{AmbiguousOffset, TimeZone},
};

mod field;

use field::Field;

/// What a text of one word stands for.
const WORDS: [(&str, &str); 7] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

/// Days after which a date that has not come never does: 29 February on a given
/// weekday comes after 40 years at the latest.
const HORIZON: usize = 41 * 366;

/// What begins at certain times. Equal are those with the same text.
#[derive(Clone)]
pub struct Schedule {
    text: String,
    minutes: Field,
    hours: Field,
    days: Field,
    months: Field,
    weekdays: Field,
}

impl Schedule {
    /// The first time after `after`, in its time zone. `None` where the calendar ends.
    pub fn next(&self, after: &Zoned) -> Option<Zoned> {
        let (zone, now) = (after.time_zone(), after.timestamp());
        let first = |date| self.slots(date, zone).into_iter().find(|slot| *slot > now);
        // Where midnight is shown twice, times of the day before are still to come.
        let mut date = after.date().yesterday().unwrap_or(after.date());
        for _ in 0..HORIZON {
            let next = date.tomorrow();
            if let Some(slot) = first(date) {
                let other = next.ok().and_then(first);
                let slot = other.map_or(slot, |other| slot.min(other));
                return Some(slot.to_zoned(zone.clone()));
            }
            date = next.ok()?;
        }
        None
    }

    /// The last time at or before `now`, in its time zone. `None` where the calendar
    /// begins.
    pub fn last(&self, now: &Zoned) -> Option<Zoned> {
        let (zone, at) = (now.time_zone(), now.timestamp());
        let last = |date| self.slots(date, zone).into_iter().rfind(|slot| *slot <= at);
        let mut date = now.date().tomorrow().unwrap_or(now.date());
        for _ in 0..HORIZON {
            let before = date.yesterday();
            if let Some(slot) = last(date) {
                let other = before.ok().and_then(last);
                let slot = other.map_or(slot, |other| slot.max(other));
                return Some(slot.to_zoned(zone.clone()));
            }
            date = before.ok()?;
        }
        None
    }

    /// Every time that stands on that date, in order. Those of a date that is left out
    /// altogether lie after it.
    fn slots(&self, date: Date, zone: &TimeZone) -> Vec<Timestamp> {
        if !self.is_on(date) {
            return Vec::new();
        }
        // Most days have one offset from beginning to end; asking for each minute of
        // a schedule of every minute would take twenty times as long.
        let ends = [date.at(0, 0, 0, 0), date.at(23, 59, 59, 0)]
            .map(|end| zone.to_ambiguous_timestamp(end).offset());
        let plain = match ends {
            [
                AmbiguousOffset::Unambiguous { offset },
                AmbiguousOffset::Unambiguous { offset: other },
            ] if offset == other => Some(offset),
            _ => None,
        };
        let mut slots = Vec::new();
        for hour in self.hours.values() {
            for minute in self.minutes.values() {
                let Ok(time) = Time::new(hour, minute, 0, 0) else { continue };
                let shown = date.to_datetime(time);
                match plain {
                    Some(offset) => slots.extend(offset.to_timestamp(shown)),
                    None => slots.extend(self.moved(shown, zone)),
                }
            }
        }
        if plain.is_none() {
            slots.sort_unstable();
            slots.dedup();
        }
        slots
    }

    /// When the clock shows that, on a day on which it may be moved.
    fn moved(&self, shown: jiff::civil::DateTime, zone: &TimeZone) -> Vec<Timestamp> {
        let each = self.hours.is_open() || self.hours.is_full();
        let at = |offset: jiff::tz::Offset| offset.to_timestamp(shown).ok();
        let times = match zone.to_ambiguous_timestamp(shown).offset() {
            AmbiguousOffset::Unambiguous { offset } => [at(offset), None],
            AmbiguousOffset::Gap { .. } if each => [None, None],
            AmbiguousOffset::Gap { after, .. } => {
                // By the later offset it would have been just before the clock moved.
                let moved = at(after)
                    .and_then(|early| zone.following(early).next())
                    .map(|transition| transition.timestamp());
                [moved, None]
            }
            AmbiguousOffset::Fold { before, after } if each => [at(before), at(after)],
            AmbiguousOffset::Fold { before, .. } => [at(before), None],
        };
        times.into_iter().flatten().collect()
    }

    fn is_on(&self, date: Date) -> bool {
        let day = self.days.has(date.day())
            || (self.days.has_last() && date.day() == date.days_in_month());
        let weekday = self.weekdays.has(weekday(date.weekday()));
        let either = !self.days.is_open() && !self.weekdays.is_open();
        let on = if either { day || weekday } else { day && weekday };
        on && self.months.has(date.month())
    }
}

fn weekday(day: Weekday) -> i8 {
    day.to_sunday_zero_offset()
}

impl FromStr for Schedule {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (fields, word) = match text.trim() {
            word if word.starts_with('@') => {
                let known = WORDS.iter().find(|(name, _)| *name == word);
                (known.map_or("", |(_, fields)| fields), true)
            }
            fields => (fields, false),
        };
        if word && fields.is_empty() {
            let shown: String = text.trim().chars().take(40).collect();
            let names: Vec<_> = WORDS.iter().map(|(name, _)| *name).collect();
            return Err(Error::invalid(format!("`{}` is no schedule", shown.escape_debug()))
                .with_hint(format!("there are: {}", names.join(", "))));
        }
        let parts: Vec<_> = fields.split_ascii_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = parts[..] else {
            let shown: String = text.chars().take(40).collect();
            return Err(Error::invalid(format!(
                "`{}` has {} fields instead of 5",
                shown.escape_debug(),
                parts.len()
            ))
            .with_hint("minute, hour, day, month, weekday: \"30 2 * * *\" is every day at 2:30"));
        };
        let schedule = Self {
            text: text.to_owned(),
            minutes: field::MINUTE.parse(minutes)?,
            hours: field::HOUR.parse(hours)?,
            days: field::DAY.parse(days)?,
            months: field::MONTH.parse(months)?,
            weekdays: field::WEEKDAY.parse(weekdays)?,
        };
        // Any day will do to begin with: the calendar repeats.
        let mut dates = Date::constant(2000, 1, 1).series(jiff::Span::new().days(1));
        if dates.by_ref().take(HORIZON).any(|date| schedule.is_on(date)) {
            return Ok(schedule);
        }
        Err(Error::invalid(format!("`{}` never comes", text.escape_debug()))
            .with_hint(format!("no month of `{months}` has a day `{days}`")))
    }
}

impl PartialEq for Schedule {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Schedule {}

impl fmt::Display for Schedule {
    /// The text as it was written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

#[cfg(test)]
mod tests;
