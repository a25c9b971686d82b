//! What is made by the clock, and what of it stays.

use crate::{
    House, list,
    support::poll::{self, SOON},
};

const TWO: &str = "
[policies.a]
snapshot = \"0 * * * *\"
keep-snapshots = { hourly = 5, daily = 2 }
backup = \"30 */6 * * *\"
keep-backups = { last = 2, daily = 2 }

[policies.ab]
snapshot = \"0 */12 * * *\"
keep-snapshots = { last = 1 }
";

#[test]
fn three_days_of_hours_leave_exactly_what_is_kept() {
    let house = House::new(TWO);
    house.volume("vol1", "a");
    house.volume("vol10", "ab+a");
    house.volume("none", "");
    // Its name is that of a policy's; it was made by hand, and stays.
    house.ok(&["snapshot", "create", "vol1", "a-20260302T001000Z"]);
    let by_hand = house.ok(&["backup", "create", "vol1"]);
    for day in 2..=4 {
        for hour in 0..24 {
            for minute in ["00", "30"] {
                if (day, hour, minute) > (2, 0, "00") {
                    house.at(&format!("2026-03-0{day}T{hour:02}:{minute}:00Z"));
                }
            }
        }
    }
    assert_eq!(
        house.snapshots("vol1"),
        list(
            "vol1@a-20260302T001000Z
             vol1@a-20260303T230000Z
             vol1@a-20260304T190000Z vol1@a-20260304T200000Z vol1@a-20260304T210000Z
             vol1@a-20260304T220000Z vol1@a-20260304T230000Z"
        )
    );
    assert_eq!(
        house.snapshots("vol10"),
        list(
            "vol10@a-20260303T230000Z
             vol10@a-20260304T190000Z vol10@a-20260304T200000Z vol10@a-20260304T210000Z
             vol10@a-20260304T220000Z vol10@a-20260304T230000Z
             vol10@ab-20260304T120000Z"
        )
    );
    assert_eq!(
        house.backups("vol1"),
        list("2026-03-02T00:10:00Z 2026-03-03T18:30:00Z 2026-03-04T12:30:00Z 2026-03-04T18:30:00Z")
    );
    assert_eq!(
        house.backups("vol10"),
        list("2026-03-03T18:30:00Z 2026-03-04T12:30:00Z 2026-03-04T18:30:00Z")
    );
    assert!(house.snapshots("none").is_empty() && house.backups("none").is_empty());
    house.ok(&["backup", "inspect", &by_hand]);
    // What the forgotten ones alone needed is freed, once a week.
    poll::holds("a prune", SOON, || {
        let pruned = &house.json(&["repository", "inspect"])[0]["pruned"];
        pruned.as_str().is_some_and(|time| time.starts_with("2026-03-0"))
    });
    house.ok(&["backup", "verify"]);
    let said = house.doctor();
    assert!(said.iter().all(|(severity, _)| severity == "ok"), "{said:?}");
}

#[test]
fn of_what_was_missed_the_last_slot_is_made_up_for_once() {
    let mut house = House::new("[policies.h]\nsnapshot = \"0 * * * *\"\nbackup = \"0 * * * *\"\n");
    house.volume("v", "h");
    house.at("2026-03-02T01:00:00Z");
    house.daemon.stop();
    house.clock.set("2026-03-02T07:20:00Z");
    house.daemon.restart();
    house.settled();
    let (snapshots, backups) = (house.snapshots("v"), house.backups("v"));
    assert_eq!(snapshots, list("v@h-20260302T010000Z v@h-20260302T070000Z"));
    assert_eq!(backups, list("2026-03-02T01:00:00Z 2026-03-02T07:20:00Z"));
    // Nothing was due before the policy was put on.
    house.volume("young", "h");
    house.daemon.stop();
    house.daemon.restart();
    house.settled();
    assert_eq!(house.snapshots("young"), list(""));
    assert_eq!(house.snapshots("v"), snapshots);
    assert_eq!(house.backups("v"), backups);
    house.at("2026-03-02T08:00:00Z");
    assert_eq!(house.snapshots("young"), list("young@h-20260302T080000Z"));
}

#[test]
fn without_its_policy_a_volume_is_left_alone() {
    let house =
        House::new("[policies.h]\nsnapshot = \"0 * * * *\"\nkeep-snapshots = { last = 1 }\n");
    house.volume("v", "h");
    house.at("2026-03-02T01:00:00Z");
    house.ok(&["volume", "set", "v", "policy="]);
    assert_eq!(house.json(&["policy", "ls"])[0]["volumes"], 0);
    house.at("2026-03-02T02:00:00Z");
    assert_eq!(house.snapshots("v"), list("v@h-20260302T010000Z"));
    // What was due meanwhile is not made up for.
    house.ok(&["volume", "set", "v", "policy=h"]);
    house.settled();
    assert_eq!(house.snapshots("v"), list("v@h-20260302T010000Z"));
    house.at("2026-03-02T03:00:00Z");
    assert_eq!(house.snapshots("v"), list("v@h-20260302T030000Z"));
    let status = house.daemon.plugin().get("v").expect("there");
    assert_eq!(status["Status"]["policy"], "h", "{status}");
}

#[test]
fn what_is_removed_or_has_no_policy_any_more_is_passed_over() {
    let mut house =
        House::new("[policies.h]\nsnapshot = \"0 * * * *\"\nkeep-snapshots = { last = 9 }\n");
    house.volume("v", "h");
    house.volume("w", "h");
    house.ok(&["volume", "rm", "w"]);
    house.at("2026-03-02T01:00:00Z");
    assert!(house.tasks().iter().all(|task| task["volume"] == "v"), "of what is in the trash");
    // Back again, it is made up for.
    house.ok(&["volume", "undelete", "w"]);
    house.settled();
    assert_eq!(house.snapshots("w"), list("w@h-20260302T010000Z"));
    house.at("2026-03-02T02:00:00Z");
    assert_eq!(house.snapshots("v").len(), 2);
    // The policy goes out of the file, and its volumes keep the option.
    let config = house.daemon.setup.config.clone().expect("a file");
    std::fs::write(&config, "[policies.other]\nsnapshot = \"0 * * * *\"\n").expect("ours");
    house.daemon.restart();
    house.at("2026-03-02T03:00:00Z");
    assert_eq!(house.snapshots("v").len(), 2);
    let said = house.doctor();
    let unknown = |text: &str| text.contains("its policy `h` is not in the configuration");
    assert!(said.iter().any(|(severity, text)| severity == "warning" && unknown(text)), "{said:?}");
}
