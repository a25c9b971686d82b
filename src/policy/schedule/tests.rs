use berth_api::ErrorKind;
use jiff::{SignedDuration, Timestamp, Zoned, tz::TimeZone};

use super::Schedule;

fn schedule(text: &str) -> Schedule {
    text.parse().expect(text)
}

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).expect("a time zone of the system")
}

fn at(time: &str, zone_name: &str) -> Zoned {
    time.parse::<jiff::civil::DateTime>()
        .and_then(|time| zone(zone_name).to_zoned(time))
        .expect(time)
}

/// All times from `from` on and before `to`, as the clock shows them.
fn between(text: &str, zone: &str, from: &str, to: &str) -> Vec<String> {
    let earlier = |time: &Zoned| {
        let earlier = time.timestamp() - SignedDuration::from_nanos(1);
        earlier.to_zoned(time.time_zone().clone())
    };
    let (schedule, from, to) = (schedule(text), at(from, zone), at(to, zone));
    let mut now = earlier(&from);
    let mut times = Vec::new();
    while let Some(next) = schedule.next(&now).filter(|next| *next < to) {
        assert!(next > now, "{text}: {next} after {now}");
        let same = schedule.last(&next).expect("one at least");
        assert_eq!(same, next, "{text}: the last at its own time");
        let later = next.timestamp() + SignedDuration::from_secs(59);
        assert_eq!(schedule.last(&later.to_zoned(to.time_zone().clone())), Some(next.clone()));
        times.push(next.strftime("%m-%d %H:%M%:::z").to_string());
        now = next;
    }
    // The same backwards.
    let mut back = Vec::new();
    let mut now = schedule.last(&earlier(&to));
    while let Some(last) = now.filter(|last| *last >= from) {
        back.push(last.strftime("%m-%d %H:%M%:::z").to_string());
        now = schedule.last(&earlier(&last));
    }
    back.reverse();
    assert_eq!(back, times, "{text}: backwards as forwards");
    times
}

#[test]
fn lists_ranges_steps_and_names() {
    let of_a_day = |text| between(text, "UTC", "2026-06-01T00:00", "2026-06-02T00:00").len();
    for (text, count) in [
        ("* * * * *", 1440),
        ("*/15 * * * *", 96),
        ("0 * * * *", 24),
        ("5,35 8-18/2 * * *", 12),
        ("0,0 1,1-2 * * *", 2),
        ("0 0 * * MON", 1),
        ("0 0 * * 2", 0),
        ("0 0 1 JUN *", 1),
        ("0 0 1 jan,jun-aug *", 1),
        ("0 0 * 1-5 *", 0),
        ("@hourly", 24),
        ("@daily", 1),
        ("  @midnight ", 1),
    ] {
        assert_eq!(of_a_day(text), count, "{text}");
    }
    let week = |text| between(text, "UTC", "2026-06-01T00:00", "2026-06-08T00:00");
    let sunday = ["06-07 00:00+00"];
    for text in ["0 0 * * 0", "0 0 * * 7", "0 0 * * SUN", "@weekly", "0 0 * * 7,0"] {
        assert_eq!(week(text), sunday, "{text}");
    }
    for text in ["0 0 * * 5-7", "0 0 * * FRI-SUN", "0 0 * * fri-0"] {
        assert_eq!(week(text), ["06-05 00:00+00", "06-06 00:00+00", "06-07 00:00+00"], "{text}");
    }
    assert_eq!(week("0 0 * * */2").len(), 4, "Sunday, Tuesday, Thursday, Saturday");
}

#[test]
fn a_date_matches_day_or_weekday_if_both_are_named() {
    let june = |text| between(text, "UTC", "2026-06-01T00:00", "2026-07-01T00:00");
    assert_eq!(june("0 0 13 * FRI").len(), 5, "four Fridays and Saturday the 13th");
    assert_eq!(june("0 0 */2 * MON").len(), 3, "Mondays on odd days: 1, 15, 29");
    assert_eq!(june("0 0 13 * *"), ["06-13 00:00+00"]);
}

#[test]
fn months_end_where_they_end() {
    let year = |text| between(text, "UTC", "2027-01-01T00:00", "2028-01-01T00:00");
    assert_eq!(year("0 0 31 * *").len(), 7);
    assert_eq!(year("0 0 30 * *").len(), 11);
    let last = year("0 0 L * *");
    assert_eq!((last.len(), last[1].as_str()), (12, "02-28 00:00+00"));
    assert_eq!(year("0 0 29 2 *"), Vec::<String>::new());
    let next = schedule("0 0 29 2 *").next(&at("2096-03-01T00:00", "UTC")).expect("one");
    assert_eq!(next.to_string(), "2104-02-29T00:00:00+00:00[UTC]", "2100 is no leap year");
    // On a Sunday, which takes longest from 2088 on.
    let next = schedule("0 0 29 2 */7").next(&at("2088-03-01T00:00", "UTC")).expect("one");
    assert_eq!(next.to_string(), "2128-02-29T00:00:00+00:00[UTC]");
}

#[test]
fn a_run_whose_time_is_left_out_comes_when_the_clock_has_moved() {
    let night = |text| between(text, "Europe/Berlin", "2026-03-29T00:00", "2026-03-29T05:00");
    assert_eq!(night("30 2 * * *"), ["03-29 03:00+02"]);
    assert_eq!(night("30 2,14 * * *"), ["03-29 03:00+02"]);
    assert_eq!(night("0,30 2 * * *"), ["03-29 03:00+02"], "both of them at once");
    assert_eq!(night("30 2,3 * * *"), ["03-29 03:00+02", "03-29 03:30+02"]);
    assert_eq!(night("0 3 * * *"), ["03-29 03:00+02"]);
    assert_eq!(night("0 2-4 * * *"), ["03-29 03:00+02", "03-29 04:00+02"]);
    for text in ["0 * * * *", "0 0-23 * * *", "@hourly"] {
        let expected = ["03-29 00:00+01", "03-29 01:00+01", "03-29 03:00+02", "03-29 04:00+02"];
        assert_eq!(night(text), expected, "{text}");
    }
    assert_eq!(night("30 */2 * * *"), ["03-29 00:30+01", "03-29 04:30+02"]);
    // The next day all is as ever.
    let next = schedule("30 2 * * *").next(&at("2026-03-29T03:00", "Europe/Berlin"));
    assert_eq!(next.expect("one"), at("2026-03-30T02:30", "Europe/Berlin"));
}

#[test]
fn a_run_whose_time_is_shown_twice_comes_once_and_an_hourly_one_each_hour() {
    let night = |text| between(text, "Europe/Berlin", "2026-10-25T00:00", "2026-10-25T05:00");
    assert_eq!(night("30 2 * * *"), ["10-25 02:30+02"]);
    assert_eq!(night("30 2,14 * * *"), ["10-25 02:30+02"]);
    assert_eq!(night("0,30 2 * * *"), ["10-25 02:00+02", "10-25 02:30+02"]);
    assert_eq!(
        night("0 * * * *"),
        [
            "10-25 00:00+02",
            "10-25 01:00+02",
            "10-25 02:00+02",
            "10-25 02:00+01",
            "10-25 03:00+01",
            "10-25 04:00+01"
        ]
    );
    assert_eq!(night("*/30 * * * *").len(), 12, "six hours pass");
}

#[test]
fn clocks_that_move_at_midnight_or_over_a_whole_day() {
    // Half an hour.
    let night = |text, day: &str| {
        between(text, "Australia/Lord_Howe", &format!("{day}T00:00"), &format!("{day}T04:00"))
    };
    assert_eq!(night("15 2 * * *", "2026-10-04"), ["10-04 02:30+11"]);
    assert_eq!(night("45 1 * * *", "2026-04-05"), ["04-05 01:45+11"]);
    // Midnight is left out, and shown twice: 24:00 is 23:00 again.
    let days = |text| between(text, "America/Havana", "2026-03-07T12:00", "2026-03-09T12:00");
    assert_eq!(days("0 0 * * *"), ["03-08 01:00-04", "03-09 00:00-04"]);
    let days = |text| between(text, "Asia/Beirut", "2022-10-29T12:00", "2022-10-31T12:00");
    assert_eq!(days("30 23 * * *"), ["10-29 23:30+03", "10-30 23:30+02"]);
    assert_eq!(days("@daily"), ["10-30 00:00+02", "10-31 00:00+02"]);
    assert_eq!(days("30 * * * *").len(), 49);
    // Samoa had no 30 December 2011.
    let days = |text| between(text, "Pacific/Apia", "2011-12-29T00:00", "2012-01-01T00:00");
    assert_eq!(days("0 2 * * *"), ["12-29 02:00-10", "12-31 00:00+14", "12-31 02:00+14"]);
    assert_eq!(days("0 */12 * * *").len(), 4);
}

#[test]
fn what_is_wrong_names_the_field() {
    for (text, expected, hint) in [
        ("", "`` has 0 fields instead of 5", "minute, hour"),
        ("0 0 * *", "`0 0 * *` has 4 fields instead of 5", "minute, hour"),
        ("0 0 0 * * *", "`0 0 0 * * *` has 6 fields instead of 5", "minute, hour"),
        ("@reboot", "`@reboot` is no schedule", "@hourly, @daily"),
        ("60 * * * *", "minute `60` is not between 0 and 59", ""),
        ("4294967296 * * * *", "minute `4294967296` is not between 0 and 59", ""),
        ("0 24 * * *", "hour `24` is not between 0 and 23", ""),
        ("0 0 0 * *", "day `0` is not between 1 and 31", ""),
        ("0 0 1-32 * *", "day `1-32` is not between 1 and 31", ""),
        ("0 0 * 13 *", "month `13` is not between 1 and 12", ""),
        ("0 0 * * 8", "weekday `8` is not between 0 and 7", ""),
        ("0 0 * * MONDAY", "weekday `MONDAY` is no number", "SUN to SAT"),
        ("0 0 1 1JAN *", "month `1JAN` is no number", "JAN to DEC"),
        ("FEB 0 * * *", "minute `FEB` is no number", "write 0 to 59"),
        ("0 0 l * *", "day `l` is no number", "`L`"),
        ("0 0 * * L", "weekday `L` is no number", "SUN to SAT"),
        ("+5 * * * *", "minute `+5` is no number", ""),
        ("-5 * * * *", "minute `-5` lacks a number", ""),
        ("5- * * * *", "minute `5-` lacks a number", ""),
        ("1,,2 * * * *", "minute `` lacks a number", ""),
        ("*/0 * * * *", "minute `*/0` has a step that is not between 1 and 59", ""),
        ("*/90 * * * *", "minute `*/90` has a step that is not between 1 and 59", ""),
        ("*/ * * * *", "minute `*/` has a step that is not between 1 and 59", ""),
        ("5/10 * * * *", "minute `5/10` is a step without a range", "`5-59/n`"),
        ("30-10 * * * *", "minute `30-10` begins after its end", "`30-59,0-10`"),
        ("0 0 * * SAT-MON", "weekday `SAT-MON` begins after its end", "`6-6,0-1`"),
        ("30 2 31 2 *", "`30 2 31 2 *` never comes", "no month of `2` has a day `31`"),
        ("0 0 31 4,6,9,11 *", "`0 0 31 4,6,9,11 *` never comes", "no month"),
    ] {
        let error = text.parse::<Schedule>().expect_err(text);
        assert_eq!((error.kind(), error.chain().as_str()), (ErrorKind::Invalid, expected));
        assert!(error.hint().unwrap_or_default().contains(hint), "{text}: {:?}", error.hint());
    }
}

#[test]
fn the_text_stays_as_it_was_written() {
    for text in ["30 2 * * *", "@daily", " 0   0 * jan SUN"] {
        assert_eq!(schedule(text).to_string(), text);
    }
}

/// Every schedule against what it says, minute by minute, where no clock moves.
#[test]
fn next_and_last_agree_with_a_look_at_every_minute() {
    let begin: Timestamp = "2026-01-30T00:00:00Z".parse().expect("a time");
    for text in
        ["7 */5 * * *", "0 3 1 * *", "59 23 L * *", "0 0 31 * SAT", "*/20 6-8 * 1,2 mon-sat"]
    {
        let schedule = schedule(text);
        let mut last = schedule.last(&begin.to_zoned(TimeZone::UTC)).expect("one").timestamp();
        let mut next = schedule.next(&begin.to_zoned(TimeZone::UTC)).expect("one").timestamp();
        for minute in 1..=2 * 24 * 60 {
            let now = begin + SignedDuration::from_mins(minute);
            if now == next {
                last = now;
                next = schedule.next(&now.to_zoned(TimeZone::UTC)).expect("one").timestamp();
            }
            let zoned = now.to_zoned(TimeZone::UTC);
            assert_eq!(schedule.last(&zoned).expect("one").timestamp(), last, "{text} at {now}");
            assert_eq!(schedule.next(&zoned).expect("one").timestamp(), next, "{text} at {now}");
        }
    }
}
