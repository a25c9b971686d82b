//! Which backups or snapshots a policy keeps: restic's rules, for each volume.
//!
//! From the newest back, each rule keeps the first one that it sees of a new hour
//! (day, week, …) until it has kept as many as it says. While it has not, the oldest
//! of all is kept, too: a young series does not lose its beginning.

use jiff::{Timestamp, Zoned, tz::TimeZone};

use crate::{backup::Backup, format::Id};

/// How many to keep; 0 is none by that rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    /// The newest, whenever they were made.
    pub last: u32,
    /// The newest of each of that many hours that have any.
    pub hourly: u32,
    /// … days.
    pub daily: u32,
    /// … weeks, which begin on Monday.
    pub weekly: u32,
    /// … months.
    pub monthly: u32,
    /// … years.
    pub yearly: u32,
}

/// What becomes of one of a series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept<K = Id> {
    /// Which one: a backup, unless said otherwise.
    pub id: K,
    /// Whether it stays.
    pub keep: bool,
    /// The rules that keep it, as options name them.
    pub reasons: Vec<&'static str>,
}

impl Keep {
    /// Whether it keeps nothing at all: no policy, and not one that removes all.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What becomes of each backup, the newest of a volume first. The backups of a volume
/// are a series of their own, told by its id: names and their beginnings say nothing
/// about which series a backup belongs to. Without any rule all stay.
pub fn choose(backups: &[Backup], keep: &Keep, zone: &TimeZone) -> Vec<Kept> {
    let mut all: Vec<_> = backups.iter().collect();
    all.sort_by_key(|backup| backup.label.volume_id);
    all.chunk_by(|one, two| one.label.volume_id == two.label.volume_id)
        .flat_map(|series| {
            series_of(series.iter().map(|backup| (backup.id, backup.created)), keep, zone)
        })
        .collect()
}

/// What becomes of each of one series, given by its id and when it was made; the newest
/// first. Of the same moment, the greater id counts as newer. Without any rule all stay.
pub fn series_of<K: Ord>(
    series: impl IntoIterator<Item = (K, Timestamp)>,
    keep: &Keep,
    zone: &TimeZone,
) -> Vec<Kept<K>> {
    let mut series: Vec<_> = series.into_iter().collect();
    series.sort_by(|one, two| two.1.cmp(&one.1).then_with(|| two.0.cmp(&one.0)));
    let (mut rules, count) = (Rule::all(keep), series.len());
    let judged = series.into_iter().enumerate().map(|(number, (id, created))| {
        let (time, oldest) = (created.to_zoned(zone.clone()), number + 1 == count);
        let reasons: Vec<_> =
            rules.iter_mut().filter_map(|rule| rule.keeps(&time, number, oldest)).collect();
        Kept { id, keep: keep.is_empty() || !reasons.is_empty(), reasons }
    });
    judged.collect()
}

struct Rule {
    name: &'static str,
    left: u32,
    seen: Option<i64>,
    period: fn(&Zoned, usize) -> i64,
}

impl Rule {
    fn all(keep: &Keep) -> [Self; 6] {
        let rule = |name, left, period| Self { name, left, seen: None, period };
        [
            rule("keep-last", keep.last, |_, number| i64::try_from(number).unwrap_or(i64::MAX)),
            rule("keep-hourly", keep.hourly, |time, _| day(time) * 100 + i64::from(time.hour())),
            rule("keep-daily", keep.daily, |time, _| day(time)),
            rule("keep-weekly", keep.weekly, |time, _| {
                let week = time.date().iso_week_date();
                i64::from(week.year()) * 100 + i64::from(week.week())
            }),
            rule("keep-monthly", keep.monthly, |time, _| day(time) / 100),
            rule("keep-yearly", keep.yearly, |time, _| i64::from(time.year())),
        ]
    }

    /// Its name, if it keeps the backup of that time.
    fn keeps(&mut self, time: &Zoned, number: usize, oldest: bool) -> Option<&'static str> {
        if self.left == 0 {
            return None;
        }
        let period = (self.period)(time, number);
        if self.seen == Some(period) && !oldest {
            return None;
        }
        self.seen = Some(period);
        self.left -= 1;
        Some(self.name)
    }
}

/// Year, month and day as digits.
fn day(time: &Zoned) -> i64 {
    let date = time.date();
    (i64::from(date.year()) * 100 + i64::from(date.month())) * 100 + i64::from(date.day())
}

#[cfg(test)]
mod tests;
