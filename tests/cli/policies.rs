//! What policies look like, from a stand-in that answers what the test says.

use insta::assert_snapshot;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::stand_in::StandIn;

fn before(hours: i64) -> Timestamp {
    // Half an hour more, so that a slow machine still rounds to the same.
    Timestamp::now() - SignedDuration::from_mins(hours * 60 + 30)
}

fn daemon() -> StandIn {
    let id = "0123456789abcdef0123456789abcdef";
    let nightly = json!({
        "name": "nightly", "snapshot": "0 * * * *", "backup": "30 2 * * *",
        "repository": "default", "keep-snapshots": { "hourly": 24 },
        "keep-backups": { "daily": 7, "weekly": 5, "monthly": 12 },
        "volumes": 2, "failing": 1, "next": before(-4),
        "tasks": [
            { "volume": "db", "volume-id": id, "kind": "snapshot", "state": "waiting",
              "last": before(1), "finished": before(1), "outcome": "db@nightly-20260302T010000Z",
              "next": before(-4) },
            { "volume": "db", "volume-id": id, "kind": "backup", "state": "failed",
              "last": null, "finished": null, "outcome": null, "next": before(-4),
              "error": "no space left", "failing-since": before(5) },
            { "volume": "www", "volume-id": id, "kind": "snapshot", "state": "skipped",
              "reason": "the volume is faulty since `create` failed", "last": before(2),
              "finished": before(2), "outcome": "www@nightly-20260302T000000Z", "next": before(-4) },
            { "volume": "www", "volume-id": id, "kind": "backup", "state": "waiting",
              "last": before(2), "finished": before(2), "outcome": id, "next": before(-4),
              "removal-error": "the repository is locked", "removal-next": before(-1) },
        ],
    });
    let unused = json!({
        "name": "unused", "snapshot": "@daily", "backup": null, "repository": null,
        "keep-snapshots": {}, "keep-backups": {}, "volumes": 0, "failing": 0, "next": null,
    });
    let plan = json!([
        { "policy": "nightly", "volume": "db", "kind": "snapshot",
          "makes": "db@nightly-20260302T011000Z", "removes": [
            { "name": "db@nightly-20260301T010000Z", "created": "2026-03-01T01:00:00Z",
              "reason": "no rule of `keep-snapshots` keeps it" } ] },
        { "policy": "nightly", "volume": "db", "kind": "backup", "repository": "default",
          "removes": [ { "name": id, "created": "2026-02-01T01:00:00Z",
              "reason": "no rule of `keep-backups` keeps it" } ] },
        { "policy": "nightly", "volume": "www", "kind": "snapshot",
          "reason": "the volume is faulty since `create` failed", "removes": [] },
    ]);
    StandIn::new(&[
        ("GET /v1/policies", 200, json!([nightly, unused])),
        ("GET /v1/policies/nightly", 200, nightly),
        ("GET /v1/policies/unused", 200, unused),
        ("GET /v1/policies/-/plan", 200, plan),
    ])
}

#[test]
fn policies_are_a_table_and_one_is_shown_with_its_volumes() {
    insta::with_settings!({ filters => vec![
        (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC \(in", "[time] (in"),
        (r"since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", "since [time]"),
    ] }, {
        assert_snapshot!(daemon().say(&["policy", "ls"]));
        assert_snapshot!(daemon().say(&["policy", "inspect"]));
    });
}

#[test]
fn a_dry_run_is_a_table() {
    assert_snapshot!(daemon().say(&["policy", "run", "--dry-run"]));
}
