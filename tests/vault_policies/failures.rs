//! What fails is repeated, ever more slowly, and is seen; what is locked is waited for.

use std::fs;

use crate::{
    House, list,
    support::{
        pause::Pause,
        poll::{self, SOON},
    },
};

#[test]
fn a_failure_is_seen_and_repeated_until_it_is_done() {
    let house = House::with(
        "[policies.d]\nbackup = \"0 1 * * *\"\nkeep-backups = { last = 3 }\n",
        // No space, three times.
        |setup, _| {
            let rules: Vec<_> =
                (1..=3).map(|nth| format!("backup.snapshot.write=error:28@{nth}")).collect();
            setup.env("BERTH_FAILPOINTS", rules.join(";"))
        },
    );
    house.volume("v", "d");
    house.at("2026-03-02T01:00:00Z");
    let mut wait = 1;
    for tries in 1..=3 {
        let task = house.task("v", "backup");
        assert_eq!(task["state"], "failed", "{task}");
        assert!(task["error"].as_str().is_some_and(|text| text.contains("space")), "{task}");
        assert_eq!(task["failing-since"], "2026-03-02T01:00:00Z");
        assert_eq!(house.jobs("backup"), tries);
        let said = house.doctor();
        let failing = |text: &str| {
            text.contains("no backup of volume `v` since 2026-03-02 01:00 UTC")
                && text.contains("space")
        };
        assert!(
            said.iter().any(|(severity, text)| severity == "error" && failing(text)),
            "{said:?}"
        );
        assert!(house.ok(&["policy", "ls"]).contains("1 failing"));
        // A moment earlier nothing is tried.
        house
            .clock
            .set(&(house.clock.now() + jiff::SignedDuration::from_secs(wait * 60 - 1)).to_string());
        house.settled();
        assert_eq!(house.jobs("backup"), tries);
        house.at(&(house.clock.now() + jiff::SignedDuration::from_secs(1)).to_string());
        wait *= 2;
    }
    let task = house.task("v", "backup");
    assert_eq!((&task["state"], &task["error"]), (&"waiting".into(), &serde_json::Value::Null));
    assert_eq!(task["last"], "2026-03-02T01:00:00Z");
    assert_eq!(house.backups("v").len(), 1);
    let said = house.doctor();
    assert!(said.iter().all(|(severity, _)| severity == "ok"), "{said:?}");
}

#[test]
fn what_a_locked_repository_does_not_let_go_goes_later() {
    let mut pause = None;
    let house = House::with(
        "[policies.h]\nbackup = \"0 * * * *\"\nkeep-backups = { last = 1 }\n",
        |setup, stage| {
            let at = Pause::at(stage.path(), "backup.snapshot.write", 2);
            let setup = setup.env("BERTH_FAILPOINTS", at.rule());
            pause = Some(at);
            setup
        },
    );
    let pause = pause.expect("it was made");
    house.volume("v", "h");
    house.ok(&["volume", "create", "other"]);
    house.at("2026-03-02T01:00:00Z");
    // Somebody uses the repository, and goes on doing so.
    let job = house.ok(&["backup", "create", "other", "--detach"]);
    pause.reached();
    house.at("2026-03-02T02:00:00Z");
    assert_eq!(house.backups("v").len(), 2, "backups go beside each other; nothing is removed");
    let task = house.task("v", "backup");
    assert_eq!(task["last"], "2026-03-02T02:00:00Z");
    assert!(task["removal-error"].is_string(), "{task}");
    assert_eq!(task["removal-next"], "2026-03-02T02:01:00Z");
    pause.release();
    house.ok(&["job", "wait", &job]);
    house.at("2026-03-02T02:01:00Z");
    assert_eq!(house.backups("v"), list("2026-03-02T02:00:00Z"));
    assert!(house.task("v", "backup")["removal-error"].is_null());
}

#[test]
fn a_pool_that_is_away_is_waited_for_without_a_storm() {
    let mut house =
        House::new("[policies.h]\nsnapshot = \"0 * * * *\"\nkeep-snapshots = { last = 9 }\n");
    house.volume("v", "h");
    house.daemon.stop();
    let pool = house.daemon.setup.root.join("pools/default");
    let away = pool.with_file_name("away");
    fs::rename(&pool, &away).expect("ours");
    house.clock.set("2026-03-02T04:00:00Z");
    house.daemon.restart();
    house.settled();
    let task = house.task("v", "snapshot");
    assert_eq!(task["state"], "skipped", "{task}");
    assert!(task["reason"].as_str().is_some_and(|why| why.contains("pool `default`")), "{task}");
    let said = house.doctor();
    assert!(said.iter().any(|(_, text)| text.contains("overdue")), "{said:?}");
    assert_eq!(house.jobs("snapshot"), 0);
    // As a mount that comes back.
    let _ = fs::remove_dir_all(&pool);
    fs::rename(&away, &pool).expect("ours");
    poll::holds("what was missed is made", SOON, || {
        house.snapshots("v") == list("v@h-20260302T040000Z")
    });
    assert_eq!(house.jobs("snapshot"), 1);
}

#[test]
fn a_snapshot_that_is_in_the_way_is_said_and_left_alone() {
    let house = House::new("[policies.h]\nsnapshot = \"0 * * * *\"\n");
    house.volume("v", "h");
    house.ok(&["snapshot", "create", "v", "h-20260302T010000Z"]);
    house.at("2026-03-02T01:00:00Z");
    let task = house.task("v", "snapshot");
    assert!(task["error"].as_str().is_some_and(|text| text.contains("in its way")), "{task}");
    house.ok(&["snapshot", "rm", "v@h-20260302T010000Z"]);
    house.at("2026-03-02T01:01:00Z");
    assert_eq!(house.snapshots("v"), list("v@h-20260302T010000Z"));
    assert_eq!(house.task("v", "snapshot")["state"], "waiting");
    // Nothing removes what such a policy takes.
    let said = house.doctor();
    let grows = |text: &str| text.contains("never removed");
    assert!(said.iter().any(|(severity, text)| severity == "warning" && grows(text)), "{said:?}");
}
