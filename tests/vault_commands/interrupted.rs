//! What a backup leaves that was cancelled or killed: no snapshot, no lock that
//! blocks, no half backup.

use std::fs;

use serde_json::Value;

use crate::{
    House,
    support::{
        loopfs::{Kind, LoopFs},
        pause::Pause,
        poll::{self, SOON},
    },
};

/// A house whose pool shares data between files, so that each backup takes a
/// snapshot first; the daemon waits at the `nth` pass of a failpoint.
fn paused(name: &str, nth: u64) -> (House, LoopFs, Pause) {
    let mut parts = None;
    let house = House::with(|setup, stage| {
        let disk = LoopFs::new(stage.path(), "disk", Kind::Xfs, Kind::Xfs.least());
        let pool = disk.path().join("pool");
        fs::create_dir_all(&pool).expect("a file system of our own");
        let text = format!("[pools.default]\nbackend = \"vfs\"\npath = \"{}\"\n", pool.display());
        let pause = Pause::at(stage.path(), name, nth);
        let rule = pause.rule().to_owned();
        parts = Some((disk, pause));
        setup.config(stage, &text).env("BERTH_FAILPOINTS", rule)
    });
    let (disk, pause) = parts.expect("it was made");
    house.ok(&["volume", "create", "v"]);
    fs::write(folder(&disk, &house).join("data/file"), "v").expect("a file in the volume");
    (house, disk, pause)
}

/// The volume's folder in the pool.
fn folder(disk: &LoopFs, house: &House) -> std::path::PathBuf {
    let id = house.daemon.control().volume("v")["id"].as_str().expect("an id").to_owned();
    disk.path().join("pool/volumes").join(id)
}

/// The snapshots that are on disk.
fn on_disk(disk: &LoopFs, house: &House) -> usize {
    fs::read_dir(folder(disk, house).join("snapshots")).map_or(0, Iterator::count)
}

fn state(house: &House, job: &str) -> Value {
    house.json(&["job", "inspect", job])[0]["state"].clone()
}

#[test]
fn a_snapshot_that_is_taken_for_a_backup_is_seen_by_nobody_and_goes_with_it() {
    let (house, disk, pause) = paused("backup.snapshot.write", 1);
    let job = house.ok(&["backup", "create", "v", "--detach"]);
    pause.reached();
    assert_eq!(on_disk(&disk, &house), 1, "the backup is made from a snapshot");
    assert_eq!(house.json(&["snapshot", "ls"]), Value::Array(Vec::new()));
    assert_eq!(house.json(&["volume", "inspect", "v"])[0]["snapshots"], 0);
    assert_eq!(house.json(&["backup", "ls"]), Value::Array(Vec::new()), "it is not made yet");
    pause.release();
    house.ok(&["job", "wait", &job]);
    assert_eq!(house.json(&["backup", "ls"])[0]["snapshot"], Value::Null);
    assert_ne!(house.json(&["backup", "ls"])[0]["consistency"], "live");
    poll::holds("the snapshot is gone", SOON, || on_disk(&disk, &house) == 0);
}

#[test]
fn a_cancelled_backup_leaves_nothing() {
    let (house, disk, pause) = paused("backup.snapshot.write", 1);
    let job = house.ok(&["backup", "create", "v", "--detach"]);
    pause.reached();
    house.ok(&["job", "cancel", &job]);
    pause.release();
    house.daemon.berth(&["job", "wait", &job]);
    poll::holds("the snapshot is gone", SOON, || on_disk(&disk, &house) == 0);
    let made = house.json(&["backup", "ls"]).as_array().expect("a list").len();
    let cancelled = state(&house, &job) == "cancelled";
    assert_eq!(made, usize::from(!cancelled), "cancelled or made, not both");
    house.ok(&["backup", "create", "v"]);
    house.ok(&["repository", "prune"]);
}

#[test]
fn a_killed_daemon_leaves_no_snapshot_no_half_backup_and_no_lock_that_blocks() {
    let (mut house, disk, pause) = paused("backup.snapshot.write", 1);
    let job = house.ok(&["backup", "create", "v", "--detach"]);
    pause.reached();
    house.daemon.kill();
    house.daemon.setup = house.daemon.setup.clone().env("BERTH_FAILPOINTS", "");
    house.daemon.restart();
    poll::holds("the snapshot is gone", SOON, || on_disk(&disk, &house) == 0);
    assert_eq!(house.json(&["snapshot", "ls"]), Value::Array(Vec::new()));
    assert_eq!(house.json(&["backup", "ls"]), Value::Array(Vec::new()));
    let job = &house.json(&["job", "inspect", &job])[0];
    assert_eq!(job["state"], "failed", "{job}");
    assert!(job["hint"].as_str().is_some_and(|hint| hint.contains("run it again")), "{job}");
    // What was uploaded is found; the lock of the dead one is no obstacle.
    house.ok(&["backup", "create", "v"]);
    house.ok(&["repository", "prune"]);
    assert_eq!(house.json(&["backup", "ls"]).as_array().expect("a list").len(), 1);
}

#[test]
fn a_volume_is_not_taken_away_from_its_backup() {
    let (mut house, disk, pause) = paused("backup.snapshot.write", 1);
    house.daemon.setup = house.daemon.setup.clone().env("BERTH_TEST_DEADLINE_SECONDS", "1");
    house.daemon.restart();
    let job = house.ok(&["backup", "create", "v", "--detach"]);
    pause.reached();
    let said = house.refused(&["volume", "rm", "v"], 4);
    assert!(said.contains("berth job ls"), "{said}");
    pause.release();
    house.ok(&["job", "wait", &job]);
    poll::holds("the snapshot is gone", SOON, || on_disk(&disk, &house) == 0);
    house.ok(&["volume", "rm", "v"]);
    assert_eq!(house.json(&["backup", "ls", "v"]).as_array().expect("a list").len(), 1);
}

#[test]
fn what_waits_for_a_thread_is_queued_and_can_be_cancelled_at_once() {
    let mut pauses = Vec::new();
    let house = House::with(|setup, stage| {
        pauses = (1..=4).map(|nth| Pause::at(stage.path(), "backup.snapshot.write", nth)).collect();
        let rules: Vec<_> = pauses.iter().map(Pause::rule).collect();
        setup.env("BERTH_FAILPOINTS", rules.join(";"))
    });
    let begin = |name: &str| {
        house.volume(name);
        house.ok(&["backup", "create", name, "--detach"])
    };
    let running: Vec<_> = ["a", "b", "c", "d"].map(begin).into();
    pauses.iter().for_each(Pause::reached);
    for job in &running {
        assert_eq!(state(&house, job), "running");
    }
    let (waiting, unwanted) = (begin("e"), begin("f"));
    for job in [&waiting, &unwanted] {
        poll::equal("its state", SOON, &Value::from("queued"), || state(&house, job));
    }
    house.ok(&["job", "cancel", &unwanted]);
    poll::equal("its state", SOON, &Value::from("cancelled"), || state(&house, &unwanted));
    assert_eq!(state(&house, &waiting), "queued");
    pauses.iter().for_each(Pause::release);
    house.ok(&["job", "wait", &waiting]);
    assert_eq!(state(&house, &waiting), "done");
    house
        .ok(&[&["job", "wait"][..], &running.iter().map(String::as_str).collect::<Vec<_>>()]
            .concat());
    assert_eq!(house.json(&["backup", "ls"]).as_array().expect("a list").len(), 5);
}
