//! `policy run`, and what it would do.

use serde_json::Value;

use crate::{House, list, support::http};

const BOTH: &str = "
[policies.n]
snapshot = \"0 * * * *\"
keep-snapshots = { last = 2 }
backup = \"0 * * * *\"
keep-backups = { last = 1 }
";

#[test]
fn a_dry_run_changes_nothing_and_says_what_a_run_then_does() {
    let house = House::new(BOTH);
    house.volume("v", "n");
    for hour in 1..=3 {
        house.at(&format!("2026-03-02T{hour:02}:00:00Z"));
    }
    house.clock.minutes(10);
    let before = (house.snapshots("v"), house.backups("v"), house.jobs("policy"));
    let plan = house.json(&["policy", "run", "n", "--dry-run"]);
    let said = house.ok(&["policy", "run", "--dry-run"]);
    assert!(said.contains("v@n-20260302T031000Z") && said.contains("keep-snapshots"), "{said}");
    assert_eq!((house.snapshots("v"), house.backups("v"), house.jobs("policy")), before);
    let made = house.ok(&["policy", "run", "n"]);
    let made: Vec<_> = made.lines().collect();
    assert_eq!(made[0], plan[0]["makes"].as_str().expect("a snapshot"));
    house.ok(&["backup", "inspect", made[1]]);
    let after = (house.snapshots("v"), house.backups("v"));
    assert_eq!(after.0, list("v@n-20260302T030000Z v@n-20260302T031000Z"));
    assert_eq!(after.1, list("2026-03-02T03:10:00Z"));
    let removed = |kind: usize, key: &str| -> Vec<String> {
        let all = plan[kind]["removes"].as_array().expect("a list").iter();
        all.map(|one| one[key].as_str().expect("a text").to_owned()).collect()
    };
    assert_eq!(removed(0, "name"), list("v@n-20260302T020000Z"));
    assert_eq!(removed(1, "created"), list("2026-03-02T03:00:00Z"));
    // The schedule goes on as if nothing had been.
    for kind in ["snapshot", "backup"] {
        assert_eq!(house.task("v", kind)["last"], "2026-03-02T03:00:00Z");
        assert_eq!(house.task("v", kind)["next"], "2026-03-02T04:00:00Z");
    }
    house.at("2026-03-02T04:00:00Z");
    assert_eq!(house.snapshots("v"), list("v@n-20260302T031000Z v@n-20260302T040000Z"));
}

#[test]
fn what_cannot_be_done_is_said_and_the_rest_is_done() {
    let house = House::new(BOTH);
    for volume in ["v", "w"] {
        house.volume(volume, "n");
    }
    house.ok(&["repository", "init"]);
    let key = house.daemon.setup.root.join("repositories/default.key");
    let hidden = key.with_extension("hidden");
    std::fs::rename(&key, &hidden).expect("ours");
    let mut house = house;
    house.daemon.restart();
    let output = house.daemon.berth(&["policy", "run"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("2 of 4 failed") && said.contains("key file"), "{said}");
    let made = String::from_utf8_lossy(&output.stdout);
    assert_eq!(list(&made), list("v@n-20260302T001000Z w@n-20260302T001000Z"));
    std::fs::rename(&hidden, &key).expect("ours");
    assert_eq!(house.ok(&["policy", "run", "n"]).lines().count(), 4);
    let output = house.daemon.berth(&["policy", "run", "nn"]);
    assert_eq!(output.status.code(), Some(3));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("did you mean `n`?"), "{said}");
}

#[test]
fn listings_say_what_a_policy_is_and_when_it_comes() {
    let house = House::new(BOTH);
    house.volume("v", "n");
    let policies = house.json(&["policy", "ls"]);
    let policy = &policies[0];
    let expected = serde_json::json!({
        "name": "n", "snapshot": "0 * * * *", "backup": "0 * * * *", "repository": "default",
        "keep-snapshots": { "last": 2 }, "keep-backups": { "last": 1 }, "volumes": 1,
        "failing": 0, "next": "2026-03-02T01:00:00Z",
    });
    assert_eq!(*policy, expected);
    let said = house.ok(&["policy", "inspect", "n"]);
    assert!(said.contains("keep snapshots:  last 2") && said.contains("never"), "{said}");
    house.at("2026-03-02T01:00:00Z");
    let task = house.task("v", "snapshot");
    assert_eq!(task["outcome"], "v@n-20260302T010000Z");
    assert_eq!(task["state"], "waiting");
    let socket = &house.daemon.setup.control_socket;
    let metrics = http::request(socket, "GET", "/metrics", b"").expect("an answer");
    let metrics = metrics.text();
    let line =
        "berth_policy_last_success_timestamp_seconds{policy=\"n\",kind=\"backup\"} 1772413200";
    assert!(metrics.contains(line), "{metrics}");
    assert_eq!(house.json(&["policy", "run", "--dry-run"]).as_array().map(Vec::len), Some(2));
    let view = house.json(&["volume", "inspect", "v"]);
    assert_eq!(view[0]["options"]["policy"], Value::from("n"));
}
