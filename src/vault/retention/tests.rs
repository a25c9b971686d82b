use std::sync::Arc;

use berth_api::{Consistency, VolumeId};
use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::{
    backup::{Label, Mode},
    format::SnapshotFile,
};

fn label() -> Label {
    Label {
        volume: "db".parse().expect("a name"),
        volume_id: "a".repeat(VolumeId::random().to_string().len()).parse().expect("an id"),
        snapshot: None,
        snapshot_id: None,
        consistency: Consistency::Live,
        mode: Mode::Full,
        bytes_read: 0,
        host: String::new(),
        host_id: String::new(),
        pool: String::new(),
        policy: None,
    }
}

fn backup(created: Timestamp) -> Backup {
    let file = SnapshotFile {
        time: created,
        parent: None,
        tree: Id::default(),
        paths: Vec::new(),
        hostname: String::new(),
        username: String::new(),
        uid: 0,
        gid: 0,
        tags: Vec::new(),
        original: None,
        program_version: String::new(),
        summary: None,
    };
    Backup {
        id: Id::of(created.to_string().as_bytes()),
        label: label(),
        created,
        size: 0,
        bytes_added: 0,
        files: 0,
        file: Arc::new(file),
    }
}

fn series(times: &[&str]) -> Vec<Backup> {
    times.iter().map(|time| backup(time.parse().expect("a time"))).collect()
}

/// The times that stay, oldest first.
fn left(backups: &[Backup], keep: Keep, zone: &str) -> Vec<Timestamp> {
    let zone = TimeZone::get(zone).unwrap_or(TimeZone::UTC);
    let chosen = choose(backups, &keep, &zone);
    assert_eq!(chosen.len(), backups.len());
    let stays = |id: &Id| chosen.iter().any(|kept| kept.id == *id && kept.keep);
    let mut left: Vec<_> =
        backups.iter().filter(|backup| stays(&backup.id)).map(|backup| backup.created).collect();
    left.sort_unstable();
    left
}

fn times(text: &[&str]) -> Vec<Timestamp> {
    text.iter().map(|time| time.parse().expect("a time")).collect()
}

#[test]
fn the_newest_of_each_period_stays_and_the_oldest_until_there_are_enough() {
    let all = series(&[
        "2025-12-29T10:00:00Z",
        "2026-01-01T10:00:00Z",
        "2026-01-01T10:30:00Z",
        "2026-01-01T22:00:00Z",
        "2026-01-02T09:00:00Z",
        "2026-01-04T09:00:00Z",
        "2026-01-05T09:00:00Z",
    ]);
    let keep = Keep { last: 2, ..Keep::default() };
    let expected = times(&["2026-01-04T09:00:00Z", "2026-01-05T09:00:00Z"]);
    assert_eq!(left(&all, keep, "UTC"), expected);
    let keep = Keep { daily: 4, ..Keep::default() };
    let expected = times(&[
        "2026-01-01T22:00:00Z",
        "2026-01-02T09:00:00Z",
        "2026-01-04T09:00:00Z",
        "2026-01-05T09:00:00Z",
    ]);
    assert_eq!(left(&all, keep, "UTC"), expected);
    // One week of the ISO calendar from 29 December to 4 January.
    let keep = Keep { weekly: 2, ..Keep::default() };
    let expected = times(&["2026-01-04T09:00:00Z", "2026-01-05T09:00:00Z"]);
    assert_eq!(left(&all, keep, "UTC"), expected);
    let keep = Keep { yearly: 5, ..Keep::default() };
    let expected = times(&["2025-12-29T10:00:00Z", "2026-01-05T09:00:00Z"]);
    assert_eq!(left(&all, keep, "UTC"), expected);
    let keep = Keep { monthly: 5, ..Keep::default() };
    assert_eq!(left(&all, keep, "UTC"), expected);
    assert_eq!(left(&all[1..], keep, "UTC").len(), 2, "the oldest, since five are not there");
}

#[test]
fn days_begin_where_the_operator_is() {
    let all = series(&["2026-01-01T22:00:00Z", "2026-01-01T23:30:00Z", "2026-01-02T10:00:00Z"]);
    let keep = Keep { daily: 2, ..Keep::default() };
    let utc = times(&["2026-01-01T23:30:00Z", "2026-01-02T10:00:00Z"]);
    assert_eq!(left(&all, keep, "UTC"), utc);
    let zone = TimeZone::fixed(jiff::tz::offset(1));
    let chosen = choose(&all, &keep, &zone);
    let stays: Vec<_> = chosen.iter().map(|kept| kept.keep).collect();
    assert_eq!(stays, [true, false, true], "22:00 and 23:30 are of two days at +01");
    assert_eq!(chosen[0].reasons, ["keep-daily"]);
}

#[test]
fn a_volumes_backups_are_told_by_its_id_alone() {
    let mut all = series(&["2026-01-01T22:00:00Z", "2026-01-02T22:00:00Z", "2026-01-03T22:00:00Z"]);
    all[0].label.volume_id = VolumeId::random();
    all[2].label.volume = "db0".parse().expect("a name");
    let keep = Keep { last: 1, ..Keep::default() };
    let expected = times(&["2026-01-01T22:00:00Z", "2026-01-03T22:00:00Z"]);
    assert_eq!(left(&all, keep, "UTC"), expected, "the same name; another name");
}

#[test]
fn without_rules_all_stay() {
    let all = series(&["2026-01-01T22:00:00Z", "2026-01-01T23:30:00Z"]);
    assert_eq!(left(&all, Keep::default(), "UTC").len(), 2);
    assert!(choose(&[], &Keep { last: 1, ..Keep::default() }, &TimeZone::UTC).is_empty());
}

/// Numbers that look random, the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        u32::try_from(self.0 % u64::from(limit)).expect("below a u32")
    }
}

#[test]
fn never_fewer_stay_than_asked_for_and_always_the_newest() {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let begin: Timestamp = "2024-01-01T00:00:00Z".parse().expect("a time");
    for _ in 0..2000 {
        let scale = [60, 3600, 86_400, 1_000_000][dice.below(4) as usize];
        let mut at = begin;
        let all: Vec<_> = (0..=dice.below(40))
            .map(|_| {
                at += SignedDuration::from_secs(i64::from(1 + dice.below(scale)));
                backup(at)
            })
            .collect();
        let mut number = || if dice.below(2) == 0 { 0 } else { dice.below(6) };
        let keep = Keep {
            last: number(),
            hourly: number(),
            daily: number(),
            weekly: number(),
            monthly: number(),
            yearly: number(),
        };
        let zone = TimeZone::UTC;
        let chosen = choose(&all, &keep, &zone);
        let stay = chosen.iter().filter(|kept| kept.keep).count();
        let newest = all.iter().max_by_key(|backup| backup.created).expect("one at least");
        assert!(chosen.iter().any(|kept| kept.id == newest.id && kept.keep), "{keep:?}");
        if keep.is_empty() {
            assert_eq!(stay, all.len());
            continue;
        }
        for (name, wanted, period) in
            Rule::all(&keep).map(|rule| (rule.name, rule.left as usize, rule.period))
        {
            let mut periods: Vec<_> = all
                .iter()
                .enumerate()
                .map(|(at, backup)| period(&backup.created.to_zoned(zone.clone()), at))
                .collect();
            periods.sort_unstable();
            periods.dedup();
            let by = chosen.iter().filter(|kept| kept.reasons.contains(&name)).count();
            assert!(by >= wanted.min(periods.len()), "{name} {wanted} kept {by}");
            assert!(by <= wanted);
            assert!(stay >= by);
        }
        // The same again on what stays removes nothing.
        let rest: Vec<_> = all
            .iter()
            .filter(|backup| chosen.iter().any(|kept| kept.id == backup.id && kept.keep))
            .cloned()
            .collect();
        assert!(choose(&rest, &keep, &zone).iter().all(|kept| kept.keep), "{keep:?}");
    }
}
